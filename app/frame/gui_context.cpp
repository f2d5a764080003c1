// Settings of ImGui that never change.
#include "app/frame/gui_context.h"

#include "app/window/input.h"

namespace headlight::app {

GuiContext::GuiContext() : context_(ImGui::CreateContext()) {
  ImGui::SetCurrentContext(context_);
  ImGuiIO& io = ImGui::GetIO();
  io.IniFilename = nullptr;
  io.LogFilename = nullptr;
  io.BackendFlags |= ImGuiBackendFlags_RendererHasVtxOffset;
  io.ConfigInputTextCursorBlink = true;
  io.ConfigWindowsMoveFromTitleBarOnly = true;
  io.MouseDragThreshold = 3;
  InputQueue::map_keys();
  ImGuiStyle& style = ImGui::GetStyle();
  style.AntiAliasedLinesUseTex = false;  // the atlas holds text alone
  style.WindowPadding = {0, 0};
  style.WindowBorderSize = 0;
  style.ChildBorderSize = 0;
  style.ItemSpacing = {0, 0};
  style.WindowMinSize = {1, 1};
}

GuiContext::~GuiContext() { ImGui::DestroyContext(context_); }

}  // namespace headlight::app
