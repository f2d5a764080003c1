// Commands about the window itself: theme, language, zoom, panels, palette, undo.
#include <GLFW/glfw3.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/commands/command.h"
#include "core/base/error.h"

namespace headlight::app {
namespace {

constexpr double zoom_steps[] = {0.75, 0.9, 1, 1.1, 1.25, 1.5, 1.75, 2, 2.5, 3};

void zoom_by(Layout& layout, int direction) {
  if (direction > 0) {
    const auto* next = std::upper_bound(std::begin(zoom_steps), std::end(zoom_steps), layout.zoom + 1e-6);
    layout.zoom = next == std::end(zoom_steps) ? 3 : *next;
  } else {
    const auto* next = std::lower_bound(std::begin(zoom_steps), std::end(zoom_steps), layout.zoom - 1e-6);
    layout.zoom = next == std::begin(zoom_steps) ? 0.75 : *(next - 1);
  }
}

template <class Change>
auto layout_command(Change change) {
  return [change](CommandContext& c, std::string_view text) { change(c.session.state.layout, text); };
}

}  // namespace

void add_window_commands(CommandRegistry& r) {
  r.add({.id = "theme.set",
         .argument = "dark|light|high-contrast",
         .run = layout_command([](Layout& l, std::string_view text) {
           const auto kind = theme_from_name(text);
           if (!kind) fail("theme.set takes dark, light or high-contrast, not \"{}\".", text);
           l.theme = *kind;
         })});
  r.add({.id = "theme.next",
         .keys = {{GLFW_KEY_T, true}},
         .run = layout_command([](Layout& l, std::string_view) {
           l.theme = static_cast<ThemeKind>((static_cast<size_t>(l.theme) + 1) % theme_kinds().size());
         })});
  r.add(
      {.id = "language.set", .argument = "en|vi", .run = layout_command([](Layout& l, std::string_view text) {
                                                    const auto language = language_from_code(text);
                                                    if (!language)
                                                      fail("language.set takes en or vi, not \"{}\".", text);
                                                    l.language = *language;
                                                  })});
  r.add({.id = "language.next",
         .keys = {{GLFW_KEY_L, true}},
         .run = layout_command([](Layout& l, std::string_view) {
           l.language = l.language == Language::english ? Language::vietnamese : Language::english;
         })});
  r.add({.id = "zoom.in",
         .keys = {{GLFW_KEY_EQUAL, true}, {GLFW_KEY_EQUAL, true, true}, {GLFW_KEY_KP_ADD, true}},
         .run = layout_command([](Layout& l, std::string_view) { zoom_by(l, 1); })});
  r.add({.id = "zoom.out",
         .keys = {{GLFW_KEY_MINUS, true}, {GLFW_KEY_KP_SUBTRACT, true}},
         .run = layout_command([](Layout& l, std::string_view) { zoom_by(l, -1); })});
  r.add({.id = "zoom.reset",
         .keys = {{GLFW_KEY_0, true}},
         .run = layout_command([](Layout& l, std::string_view) { l.zoom = 1; })});
  r.add({.id = "zoom.set", .argument = "FACTOR", .run = layout_command([](Layout& l, std::string_view text) {
                                                   l.zoom = number_argument("zoom.set", text, 0.75, 3);
                                                 })});
  r.add({.id = "colors.set",
         .argument = "viridis|cividis",
         .run = layout_command([](Layout& l, std::string_view text) {
           const auto map = color_map_from_name(text);
           if (!map || *map == ColorMap::diverging)
             fail("colors.set takes viridis or cividis, not \"{}\".", text);
           l.magnitudes = *map;
         })});
  const auto flag = [&](const char* id, std::vector<KeyChord> keys, bool Layout::*member) {
    r.add({.id = id,
           .argument = "on|off",
           .keys = std::move(keys),
           .run = layout_command([id, member](Layout& l, std::string_view text) {
             l.*member = flag_argument(id, text, l.*member);
           })});
  };
  flag("motion", {}, &Layout::motion);
  flag("presenter", {{GLFW_KEY_F9}}, &Layout::presenter);
  flag("panel.tree", {{GLFW_KEY_B, true}}, &Layout::tree);
  flag("panel.inspector", {{GLFW_KEY_I, true}}, &Layout::inspector);
  flag("panel.bottom", {{GLFW_KEY_J, true}}, &Layout::bottom);
  r.add(
      {.id = "tree.toggle", .argument = "GROUP", .run = layout_command([](Layout& l, std::string_view text) {
                                                   const std::string group(text);
                                                   if (l.toggled_groups.erase(group) == 0)
                                                     l.toggled_groups.insert(group);
                                                 })});
  r.add({.id = "option.set",
         .argument = "NAME VALUE",
         .merge = "option",
         .run = layout_command([](Layout& l, std::string_view text) {
           const Invocation pair = parse_invocation(text);
           if (pair.id.empty()) fail("option.set takes a name and a value.");
           l.options[pair.id] = pair.argument;
         })});

  const auto overlay = [&](const char* id, std::vector<KeyChord> keys, Overlay which) {
    r.add({.id = id, .keys = std::move(keys), .run = [which](CommandContext& c, std::string_view) {
             c.session.overlay = c.session.overlay == which ? Overlay::none : which;
           }});
  };
  overlay("palette", {{GLFW_KEY_P, true}}, Overlay::palette);
  overlay("help", {{GLFW_KEY_F1}}, Overlay::help);
  r.add({.id = "fullscreen", .keys = {{GLFW_KEY_F11}}, .run = [](CommandContext& c, std::string_view) {
           c.session.fullscreen = !c.session.fullscreen;
         }});
  r.add({.id = "undo",
         .keys = {{GLFW_KEY_Z, true}},
         .repeats = true,
         .undoable = false,
         .can_run = [](const CommandContext& c) { return c.session.history.can_undo(); },
         .run = [](CommandContext& c, std::string_view) { c.session.history.undo(c.session.state); }});
  r.add({.id = "redo",
         .keys = {{GLFW_KEY_Z, true, true}, {GLFW_KEY_Y, true}},
         .repeats = true,
         .undoable = false,
         .can_run = [](const CommandContext& c) { return c.session.history.can_redo(); },
         .run = [](CommandContext& c, std::string_view) { c.session.history.redo(c.session.state); }});
  r.add({.id = "quit", .keys = {{GLFW_KEY_Q, true}}, .run = [](CommandContext& c, std::string_view) {
           c.session.quit = true;
         }});
}

}  // namespace headlight::app
