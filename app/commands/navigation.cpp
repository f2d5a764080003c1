// Commands that move the playhead and the selection: steps, blocks, heads, cells, views.
#include <GLFW/glfw3.h>
#include <fmt/format.h>

#include <algorithm>

#include "app/commands/transport.h"
#include "core/base/error.h"

namespace headlight::app {
namespace {

bool has_run(const CommandContext& c) { return c.step() >= 0; }

/// Stands the playhead on a step; the selected block follows.
void go(CommandContext& c, int step) {
  const Program& program = *c.program();
  const int last = static_cast<int>(program.steps().size()) - 1;
  const Step& target = program.step(std::clamp(step, 0, last));
  c.session.state.playhead.step = target.name;
  if (target.block >= 0) c.session.state.selection.block = target.block;
}

bool can_step(const CommandContext& c) { return has_run(c) || moves_merges(c); }

/// Moves what the transport moves.
void move_transport(CommandContext& c, int64_t to) {
  if (moves_merges(c)) return go_to_merge(c, to);
  go(c, static_cast<int>(to));
}

/// First step of the next group (block or phase) in a direction.
int neighbour_group(const Program& program, int from, int direction) {
  const auto group = [&](int i) { return std::pair(program.step(i).phase, program.step(i).block); };
  const int count = static_cast<int>(program.steps().size());
  int i = from;
  while (i + direction >= 0 && i + direction < count && group(i) == group(from)) i += direction;
  while (i > 0 && group(i - 1) == group(i)) --i;
  return i;
}

CellPick parse_cell(std::string_view command, std::string_view text) {
  const size_t space = text.rfind(' ');
  if (space == std::string_view::npos) fail("{} takes a buffer's name and the offset of a cell.", command);
  return {std::string(text.substr(0, space)),
          integer_argument(command, text.substr(space + 1), 0, std::numeric_limits<int64_t>::max())};
}

/// The sum behind a cell as text, largest terms first.
std::string cell_as_text(const CommandContext& c, const CellPick& cell) {
  const Run& run = *c.snapshot.run;
  const BufferId id = run.program().require(cell.buffer);
  const CellTerms terms = run.explain(id, cell.offset);
  const auto name = [&](const CellRef& ref) {
    const Buffer& buffer = run.program().buffer(ref.buffer);
    std::string index;
    for (const int64_t i : buffer.shape.index(ref.offset))
      index += (index.empty() ? "" : ", ") + std::to_string(i);
    return fmt::format("{}[{}]", buffer.name, index);
  };
  std::string text = fmt::format("{} = {}\n{}\n", name({id, cell.offset}), terms.result, terms.formula);
  std::vector<const CellTerm*> order;
  for (const CellTerm& term : terms.terms) order.push_back(&term);
  std::stable_sort(order.begin(), order.end(), [](const CellTerm* a, const CellTerm* b) {
    return std::abs(a->value) > std::abs(b->value);
  });
  for (const CellTerm* term : order) {
    std::string factors;
    for (const CellRef& ref : term->factors)
      factors += fmt::format("{}{} = {}", factors.empty() ? "" : " · ", name(ref),
                             run.value(ref.buffer, ref.offset));
    text += fmt::format("{:+.6g}\t{}\n", term->value, factors);
  }
  if (terms.constant != 0) text += fmt::format("{:+.6g}\n", terms.constant);
  return text;
}

}  // namespace

void add_navigation_commands(CommandRegistry& r) {
  for (int v = 0; v < view_count; ++v) {
    const auto id = static_cast<ViewId>(v);
    r.add({.id = fmt::format("view.{}", view_name(id)),
           .keys = {{GLFW_KEY_F2 + v}},
           .run = [id](CommandContext& c, std::string_view) { c.session.state.layout.view = id; }});
  }
  r.add({
      .id = "play.toggle",
      .keys = {{GLFW_KEY_SPACE}},
      .can_run = can_step,
      .run =
          [](CommandContext& c, std::string_view) {
            const TransportPlace place = transport_place(c);
            c.session.playing = !c.session.playing;
            if (c.session.playing && place.at >= place.last) move_transport(c, 0);
          },
  });
  const auto step_command = [&](const char* id, int key, bool repeats, auto target) {
    r.add({.id = id,
           .keys = {{key}},
           .merge = "step",
           .repeats = repeats,
           .can_run = can_step,
           .run = [target](CommandContext& c, std::string_view) {
             move_transport(c, target(transport_place(c)));
           }});
  };
  step_command("step.next", GLFW_KEY_RIGHT, true, [](const TransportPlace& p) { return p.at + 1; });
  step_command("step.previous", GLFW_KEY_LEFT, true, [](const TransportPlace& p) { return p.at - 1; });
  step_command("step.first", GLFW_KEY_HOME, false, [](const TransportPlace&) { return int64_t{0}; });
  step_command("step.last", GLFW_KEY_END, false, [](const TransportPlace& p) { return p.last; });
  const auto block_command = [&](const char* id, int key, int direction) {
    r.add({.id = id,
           .keys = {{key}},
           .merge = "step",
           .repeats = true,
           .can_run = has_run,
           .run = [direction](CommandContext& c, std::string_view) {
             go(c, neighbour_group(*c.program(), c.step(), direction));
           }});
  };
  block_command("block.next", GLFW_KEY_DOWN, 1);
  block_command("block.previous", GLFW_KEY_UP, -1);
  r.add({.id = "step.go",
         .argument = "STEP",
         .merge = "step",
         .can_run = has_run,
         .run = [](CommandContext& c, std::string_view name) {
           const auto& steps = c.program()->steps();
           const auto it =
               std::find_if(steps.begin(), steps.end(), [&](const Step& s) { return s.name == name; });
           if (it != steps.end()) return go(c, static_cast<int>(it - steps.begin()));
           // Any output of a step leads to it; other names throw with the nearest.
           const int writer = c.program()->buffer(c.program()->require(name)).writer;
           if (writer < 0) fail("No step writes {}; it is given.", name);
           go(c, writer);
         }});
  for (int h = 0; h < 10; ++h)
    r.add({.id = fmt::format("head.{}", h),
           .keys = {{GLFW_KEY_0 + h}},
           .merge = "head",
           .can_run = [h](const CommandContext& c) { return h < c.snapshot.model.config.n_head; },
           .run = [h](CommandContext& c, std::string_view) { c.session.state.selection.head = h; }});
  r.add({.id = "head.select",
         .argument = "HEAD",
         .merge = "head",
         .run = [](CommandContext& c, std::string_view text) {
           c.session.state.selection.head = static_cast<int>(integer_argument(
               "head.select", text, 0, std::max<int64_t>(c.snapshot.model.config.n_head - 1, 0)));
         }});
  r.add({.id = "block.select",
         .argument = "BLOCK",
         .merge = "head",
         .run = [](CommandContext& c, std::string_view text) {
           c.session.state.selection.block = static_cast<int>(integer_argument(
               "block.select", text, 0, std::max<int64_t>(c.snapshot.model.config.n_layer - 1, 0)));
         }});
  r.add({.id = "cell.pin",
         .argument = "BUFFER OFFSET",
         .can_run = has_run,
         .run = [](CommandContext& c, std::string_view text) {
           const CellPick cell = parse_cell("cell.pin", text);
           const Buffer& buffer = c.program()->buffer(c.program()->require(cell.buffer));
           if (cell.offset >= buffer.shape.count())
             fail("{} has {} cells; {} is none of them.", cell.buffer, buffer.shape.count(), cell.offset);
           auto& pinned = c.session.state.pins.cell;
           if (pinned == cell)
             pinned.reset();
           else
             pinned = cell;
         }});
  r.add({.id = "cell.unpin",
         .keys = {{GLFW_KEY_ESCAPE}},
         .can_run = [](const CommandContext& c) { return c.session.state.pins.cell.has_value(); },
         .run = [](CommandContext& c, std::string_view) { c.session.state.pins.cell.reset(); }});
  r.add({.id = "cell.copy",
         .keys = {{GLFW_KEY_C, true}},
         .can_run = [](const CommandContext& c) { return has_run(c) && c.session.cell() != nullptr; },
         .run = [](CommandContext& c, std::string_view) { c.copy(cell_as_text(c, *c.session.cell())); }});
  r.add({.id = "run.pin",
         .keys = {{GLFW_KEY_P}},
         .can_run = has_run,
         .run = [](CommandContext& c, std::string_view) { c.session.state.pins.run = c.snapshot.run; }});
  r.add({.id = "run.unpin",
         .keys = {{GLFW_KEY_P, false, true}},
         .can_run = [](const CommandContext& c) { return c.session.state.pins.run != nullptr; },
         .run =
             [](CommandContext& c, std::string_view) {
               c.session.state.pins.run.reset();
               c.session.state.pins.compare = Compare::a;
             }});
  constexpr std::pair<const char*, Compare> modes[] = {
      {"compare.a", Compare::a}, {"compare.b", Compare::b}, {"compare.difference", Compare::difference}};
  for (const auto& [id, mode] : modes)
    r.add({.id = id,
           .can_run =
               [m = mode](const CommandContext& c) { return m == Compare::a || c.session.state.pins.run; },
           .run = [m = mode](CommandContext& c, std::string_view) { c.session.state.pins.compare = m; }});
}

}  // namespace headlight::app
