// A small field for one number or name: a value that turns into a text field when clicked.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "app/widgets/ui.h"

namespace headlight::app {

/// Which field is being edited and what was typed so far. A view keeps one for all its fields.
struct FieldEdit {
  std::string id;  ///< of the field; empty: none
  std::string text;
  int focus_frames = 0;    ///< frames until the field has the keyboard
  bool open_next = false;  ///< Tab was pressed: the next field that is drawn opens
};

struct FieldSpec {
  std::string_view value;
  std::string_view hint = {};  ///< shown muted where there is no value
  std::string_view tooltip = {};
  Align align = Align::right;
};

/// Height of a field, CSS pixels.
inline constexpr float field_height = 28;

/// Returns what was typed, when Enter, Tab or a click elsewhere ends the editing and it differs from the
/// value; Esc keeps the value.
std::optional<std::string> field(const Ui& ui, std::string_view id, const Rect& rect, FieldEdit& edit,
                                 const FieldSpec& spec);

}  // namespace headlight::app
