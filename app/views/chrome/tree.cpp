// The pass as a tree of steps by block.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/session/watch.h"
#include "app/views/chrome/chrome.h"
#include "app/widgets/icons.h"

namespace headlight::app {
namespace {

constexpr float step_css = 25.6f, group_css = 27;

/// Key of the group that a step belongs to.
std::string group_of(const Program& program, int index) {
  const Step& step = program.step(index);
  switch (step.phase) {
    case Phase::backward:
      return "backward";
    case Phase::update:
      return "update";
    case Phase::loss:
      return "loss";
    case Phase::forward:
      break;
  }
  if (step.block >= 0) return fmt::format("block.{}", step.block);
  for (int i = 0; i < index; ++i)
    if (program.step(i).block >= 0) return "out";
  return "embed";
}

std::string group_title(const Ui& ui, std::string_view group) {
  if (group.starts_with("block.")) return fmt::format("{} {}", ui.tr("tree.block"), group.substr(6));
  return ui.tr(fmt::format("tree.{}", group));
}

/// An empty box in the place of the time: the step's values are not at hand.
void not_held_mark(const Ui& ui, const Rect& time) {
  const float middle = std::round((time.y0 + time.y1) / 2), height = ui.px(3);
  ui.outline({time.x0, middle - height, time.x0 + ui.px(10), middle + height}, ui.theme().future, 1);
}

}  // namespace

std::vector<TreeRow> tree_rows(const Program& program) {
  std::vector<TreeRow> rows;
  std::string group;
  for (int i = 0; i < static_cast<int>(program.steps().size()); ++i) {
    const Step& step = program.step(i);
    const std::string own = group_of(program, i);
    if (own != group) {
      rows.push_back({TreeRow::Kind::group, own, {}, {}, i, 0});
      group = own;
    }
    const bool behind_loss = step.phase == Phase::backward || step.phase == Phase::update;
    const std::string block = behind_loss && step.block >= 0 ? fmt::format("{}·", step.block) : "";
    for (const std::string& name : step.fused_away)
      rows.push_back({TreeRow::Kind::fused, own, block + short_name(name), {}, i, 1});
    const auto shape = step.outputs.empty() || step.outputs[0] == no_buffer
                           ? std::string()
                           : program.buffer(step.outputs[0]).shape.text();
    rows.push_back({TreeRow::Kind::step, own, block + short_name(step.name), shape, i, 1});
  }
  return rows;
}

bool group_open(const Layout& layout, std::string_view group, std::string_view playhead_group) {
  const bool by_default = group != "backward" && group != "update";
  const bool toggled = layout.toggled_groups.contains(std::string(group));
  return (by_default != toggled) || group == playhead_group;
}

void StepTree::draw(const ViewContext& c, CommandQueue& commands) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  if (!c.run) {
    ui.text_in(c.area.inset(ui.px(18), ui.px(14)).cut_top(ui.px(24)), TextStyle::small, t.muted,
               ui.tr("tree.waiting"));
    return;
  }
  const auto& program = c.run->recorded_program;
  if (program != program_) {
    program_ = program;
    rows_ = tree_rows(*program);
    scrolled_to_ = -1;
  }
  const std::shared_ptr<const Run>& pinned = c.session.state.pins.run;
  const uint64_t compared[2] = {c.run->id, pinned ? pinned->id : 0};
  if (!std::equal(std::begin(compared), std::end(compared), changes_of_)) {
    changes_ = pinned ? step_changes(*c.run, *pinned) : std::vector<StepChange>();
    std::copy(std::begin(compared), std::end(compared), changes_of_);
  }
  if (held_of_ != c.run->id) {
    held_of_ = c.run->id;
    held_.clear();
    for (int i = 0; i < static_cast<int>(program->steps().size()); ++i)
      held_.push_back(holds_step(*c.run, i));
  }
  double slowest = 0;
  for (const double s : c.run->step_seconds) slowest = std::max(slowest, s);
  const std::string playhead_group = c.step >= 0 ? group_of(*program, c.step) : std::string();

  float y = c.area.y0 + ui.px(8) - ImGui::GetScrollY();
  const float top = y;
  const float time_room = ui.px(44);
  for (const TreeRow& row : rows_) {
    if (row.kind == TreeRow::Kind::group) {
      const bool open = group_open(c.session.state.layout, row.group, playhead_group);
      const Rect r{c.area.x0, y, c.area.x1, y + ui.px(group_css)};
      y = r.y1;
      if (r.y1 < c.area.y0 || r.y0 > c.area.y1) continue;
      const Press press = ui.press(fmt::format("tree.{}", row.group), r);
      const Color ink = press.hovered ? t.text : t.muted;
      const Rect inside{r.x0 + ui.px(18), r.y0 + ui.px(5), r.x1 - ui.px(14), r.y1};
      const float used = ui.text_in(inside, TextStyle::group, ink, upper(group_title(ui, row.group)));
      if (!open || press.hovered) {
        const Rect arrow{inside.x0 + used + ui.px(6), inside.y0, inside.x0 + used + ui.px(16), inside.y1};
        draw_icon(ui, open ? Icon::down : Icon::right, arrow, 7, ink);
      }
      if (press.clicked) commands.push("tree.toggle", row.group);
      continue;
    }
    if (!group_open(c.session.state.layout, row.group, playhead_group)) continue;
    const Rect r{c.area.x0, y, c.area.x1, y + ui.px(step_css)};
    y = r.y1;
    const bool current = row.kind == TreeRow::Kind::step && row.step == c.step;
    if (current && scrolled_to_ != c.step) {
      // Keeps the current step in sight, with a row or two around it.
      const float margin = ui.px(step_css) * 2, offset = r.y0 - top;
      const float scroll = ImGui::GetScrollY();
      if (offset - margin < scroll) ImGui::SetScrollY(std::max(offset - margin, 0.f));
      if (offset + margin > scroll + c.area.height()) ImGui::SetScrollY(offset + margin - c.area.height());
      scrolled_to_ = c.step;
    }
    if (r.y1 < c.area.y0 || r.y0 > c.area.y1) continue;
    const bool fused = row.kind == TreeRow::Kind::fused;
    const Press press =
        ui.press(fmt::format("step.{}", fused ? row.label : program->step(row.step).name), r, !fused);
    if (current) {
      ui.fill(r, t.row);
      ui.fill({r.x0, r.y0, r.x0 + ui.px(3), r.y1}, t.accent);
    } else if (press.hovered) {
      ui.fill(r, t.raised);
    }
    const Color ink = current ? t.strong : fused || row.step > c.step ? t.future : t.past;
    const StepChange change =
        fused || changes_.empty() ? StepChange::same : changes_[static_cast<size_t>(row.step)];
    // A dot where the pinned run has another value, a ring where it has none.
    const ImVec2 mark{r.x0 + ui.px(18), (r.y0 + r.y1) / 2};
    if (change == StepChange::changed) Ui::draw().AddCircleFilled(mark, ui.px(3), t.key, 12);
    if (change == StepChange::absent) Ui::draw().AddCircle(mark, ui.px(3), t.key, 12, ui.px(1.5f));
    Rect inside{r.x0 + ui.px(30), r.y0, r.x1 - ui.px(14), r.y1};
    const Rect time = inside.cut_right(time_room);
    const bool ran = !fused && row.step < c.run->steps_run;
    const bool held = fused || held_[static_cast<size_t>(row.step)];
    inside.cut_right(ui.px(8));
    const float shape = ui.measure(TextStyle::mono_small, row.shape).x;
    ui.text_in(inside.cut_right(shape), TextStyle::mono_small, row.step > c.step ? t.future : t.muted,
               row.shape, Align::right);
    inside.cut_right(ui.px(8));
    const float width = ui.measure(TextStyle::small, row.label).x;
    if (width > inside.width())
      ui.text({inside.x0, inside.y0 + (inside.height() - ui.line_height(TextStyle::small)) / 2},
              TextStyle::small, ink, elide(ui.fonts(), TextStyle::small, row.label, inside.width()));
    else
      ui.text_in(inside, TextStyle::small, ink, row.label);
    if (fused) {
      const float middle = (r.y0 + r.y1) / 2;
      ui.horizontal(inside.x0, inside.x0 + std::min(width, inside.width()), middle, t.future);
    } else if (!ran) {
      not_held_mark(ui, time);
      if (press.hovered)
        ui.tooltip(fmt::format("{}\n{}", program->step(row.step).name, ui.tr("tree.not_run")));
    } else if (slowest > 0 && static_cast<size_t>(row.step) < c.run->step_seconds.size()) {
      const double seconds = c.run->step_seconds[static_cast<size_t>(row.step)];
      const float length = std::max(ui.px(3), time_room * static_cast<float>(seconds / slowest));
      const float middle = (time.y0 + time.y1) / 2;
      if (held)
        ui.fill({time.x0, middle - ui.px(2), time.x0 + length, middle + ui.px(2)}, t.track, 2);
      else
        not_held_mark(ui, time);
      std::string note;
      if (change == StepChange::changed) note = "\n" + ui.tr("tree.changed");
      if (change == StepChange::absent) note = "\n" + ui.tr("tree.absent");
      if (!held) note += "\n" + ui.tr("tree.not_held");
      if (press.hovered)
        ui.tooltip(fmt::format("{}\n{:.1f} µs{}", program->step(row.step).name, seconds * 1e6, note));
    }
    if (press.clicked) commands.push("step.go", program->step(row.step).name);
  }
  if (c.run->with_cache()) {
    const Rect room{c.area.x0 + ui.px(18), y + ui.px(10), c.area.x1 - ui.px(14), y + ui.px(400)};
    y = room.y0 + ui.paragraph(room, TextStyle::caption, t.muted, ui.tr("tree.cached"));
  }
  ImGui::SetCursorScreenPos({c.area.x0, y + ui.px(10)});
  ImGui::Dummy({1, 1});
}

}  // namespace headlight::app
