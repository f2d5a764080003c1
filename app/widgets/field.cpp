// Fields.
#include "app/widgets/field.h"

#include <imgui_stdlib.h>

namespace headlight::app {
namespace {

constexpr float padding = 8, radius = 6;

void begin(FieldEdit& edit, std::string_view id, std::string_view value) {
  edit.id = id;
  edit.text = value;
  edit.focus_frames = 2;
}

}  // namespace

std::optional<std::string> field(const Ui& ui, std::string_view id, const Rect& rect, FieldEdit& edit,
                                 const FieldSpec& spec) {
  const Theme& t = ui.theme();
  if (edit.open_next) {
    edit.open_next = false;
    begin(edit, id, spec.value);
  }
  if (edit.id != id) {
    const Press press = ui.press(id, rect);
    ui.fill(rect, press.hovered ? t.hovered : t.raised, radius);
    const bool empty = spec.value.empty();
    ui.text_in(rect.inset(ui.px(padding), 0), TextStyle::mono, empty ? t.muted : t.text,
               empty ? spec.hint : spec.value, spec.align);
    if (press.hovered && !spec.tooltip.empty()) ui.tooltip(spec.tooltip);
    if (press.clicked) begin(edit, id, spec.value);
    return std::nullopt;
  }

  ui.controls().add(id, rect, rect);
  ImGui::SetCursorScreenPos(rect.min());
  ImGui::PushFont(ui.fonts().font(TextStyle::mono));
  ImGui::PushStyleColor(ImGuiCol_FrameBg, t.raised);
  ImGui::PushStyleColor(ImGuiCol_Text, t.text);
  ImGui::PushStyleColor(ImGuiCol_TextSelectedBg, fade(t.accent, 0.35f));
  ImGui::PushStyleVar(ImGuiStyleVar_FrameRounding, ui.px(radius));
  ImGui::PushStyleVar(ImGuiStyleVar_FramePadding,
                      ImVec2(ui.px(padding), (rect.height() - ui.line_height(TextStyle::mono)) / 2));
  ImGui::PushID(id.data(), id.data() + id.size());
  ImGui::SetNextItemWidth(rect.width());
  if (edit.focus_frames > 0) ImGui::SetKeyboardFocusHere();
  ImGui::InputText("##field", &edit.text, ImGuiInputTextFlags_AutoSelectAll);
  const bool active = ImGui::IsItemActive();
  const bool left = ImGui::IsItemDeactivated();
  const bool cancelled = left && ImGui::IsKeyPressed(ImGui::GetKeyIndex(ImGuiKey_Escape));
  const bool tab = active && ImGui::IsKeyPressed(ImGui::GetKeyIndex(ImGuiKey_Tab));
  ImGui::PopID();
  ImGui::PopStyleVar(2);
  ImGui::PopStyleColor(3);
  ImGui::PopFont();
  ui.outline(rect, t.accent, 1.5f, radius);
  if (active && edit.focus_frames > 0) --edit.focus_frames;
  if (!tab && (!left || edit.focus_frames > 0)) return std::nullopt;
  edit.id.clear();
  edit.open_next = tab;
  if (cancelled || edit.text == spec.value) return std::nullopt;
  return edit.text;
}

}  // namespace headlight::app
