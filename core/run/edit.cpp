// See edit.h.
#include "core/run/edit.h"

#include <charconv>
#include <cmath>
#include <optional>

#include "core/base/error.h"

namespace headlight {

namespace {

constexpr const char* kForms =
    "TARGET[:head=N] followed by :zero, :scale=F, :replace=F[,F…], :mask=QUERY,KEY,open|closed or "
    ":temperature=F";

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

template <class Number>
std::optional<Number> number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

Edit parse_edit(std::string_view text) {
  const std::vector<std::string_view> parts = split(text, ':');
  Edit edit;
  edit.target = parts[0];
  const auto refuse = [&](std::string_view part) {
    fail("edit \"{}\" cannot be read at \"{}\"; write {}", text, part, kForms);
  };
  if (edit.target.empty() || parts.size() < 2) refuse(text);
  bool has_action = false;
  for (size_t i = 1; i < parts.size(); ++i) {
    const std::string_view part = parts[i];
    const size_t equals = part.find('=');
    const std::string_view key = part.substr(0, equals);
    const std::string_view value = equals == std::string_view::npos ? "" : part.substr(equals + 1);
    if (key == "head") {
      const auto head = number<int64_t>(value);
      if (!head || *head < 0) refuse(part);
      edit.head = *head;
      continue;
    }
    if (has_action) refuse(part);
    has_action = true;
    if (key == "zero" && value.empty()) {
      edit.kind = Edit::Kind::zero;
    } else if (key == "scale" || key == "temperature") {
      edit.kind = key == "scale" ? Edit::Kind::scale : Edit::Kind::temperature;
      const auto factor = number<double>(value);
      if (!factor || !std::isfinite(*factor) || (edit.kind == Edit::Kind::temperature && *factor <= 0))
        refuse(part);
      edit.factor = *factor;
    } else if (key == "replace") {
      edit.kind = Edit::Kind::replace;
      for (const std::string_view item : split(value, ',')) {
        const auto v = number<float>(item);
        // −∞ is a score like others; a NaN is a slip of the keyboard.
        if (!v || std::isnan(*v)) refuse(part);
        edit.values.push_back(*v);
      }
    } else if (key == "mask") {
      edit.kind = Edit::Kind::mask_cell;
      const std::vector<std::string_view> cell = split(value, ',');
      if (cell.size() != 3 || (cell[2] != "open" && cell[2] != "closed")) refuse(part);
      const auto query = number<int64_t>(cell[0]), source = number<int64_t>(cell[1]);
      if (!query || !source || *query < 0 || *source < 0) refuse(part);
      edit.query = *query;
      edit.key = *source;
      edit.open = cell[2] == "open";
    } else {
      refuse(part);
    }
  }
  if (!has_action) refuse(text);
  return edit;
}

std::string edit_text(const Edit& edit) {
  std::string text = edit.target;
  if (edit.head >= 0) text += fmt::format(":head={}", edit.head);
  switch (edit.kind) {
    case Edit::Kind::zero:
      return text + ":zero";
    case Edit::Kind::scale:
      return text + fmt::format(":scale={}", edit.factor);
    case Edit::Kind::temperature:
      return text + fmt::format(":temperature={}", edit.factor);
    case Edit::Kind::replace:
      return text + fmt::format(":replace={}", fmt::join(edit.values, ","));
    case Edit::Kind::mask_cell:
      return text + fmt::format(":mask={},{},{}", edit.query, edit.key, edit.open ? "open" : "closed");
  }
  return text;
}

}  // namespace headlight
