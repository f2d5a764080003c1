// See buffer_edit.h.
#include "core/run/buffer_edit.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/tape/checkpointing.h"

namespace headlight {

namespace {

/// Axis number of H, or of the heads that share keys, or −1.
int head_axis(const Shape& shape) {
  for (size_t i = 0; i < shape.rank(); ++i) {
    if (shape[i].letter == "H" || shape[i].letter == "G") return static_cast<int>(i);
  }
  return -1;
}

}  // namespace

bool is_buffer_edit(const Edit& edit) {
  return edit.kind != Edit::Kind::mask_cell && edit.kind != Edit::Kind::temperature;
}

std::vector<BufferId> edited_buffers(const Program& program, std::string_view target) {
  std::vector<BufferId> buffers = program.match(target);
  const size_t matched = buffers.size();
  for (size_t i = 0; i < matched; ++i) {
    const auto again = program.find(fmt::format("{}{}", program.buffer(buffers[i]).name, again_suffix));
    if (again && std::find(buffers.begin(), buffers.end(), *again) == buffers.end())
      buffers.push_back(*again);
  }
  return buffers;
}

void edit_values(const Edit& edit, const Buffer& buffer, std::vector<float>& values) {
  const int axis = head_axis(buffer.shape);
  int64_t inner = 1, heads = 1;
  if (edit.head >= 0) {
    heads = buffer.shape.size(static_cast<size_t>(axis));
    for (size_t i = static_cast<size_t>(axis) + 1; i < buffer.shape.rank(); ++i)
      inner *= buffer.shape.size(i);
  }
  size_t next = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (edit.head >= 0 && static_cast<int64_t>(i) / inner % heads != edit.head) continue;
    switch (edit.kind) {
      case Edit::Kind::zero:
        values[i] = 0;
        break;
      case Edit::Kind::scale:
        values[i] = static_cast<float>(static_cast<double>(values[i]) * edit.factor);
        break;
      case Edit::Kind::replace:
        values[i] = edit.values.size() == 1 ? edit.values[0] : edit.values[next++];
        break;
      case Edit::Kind::mask_cell:
      case Edit::Kind::temperature:
        break;
    }
  }
}

void check_edit(const Edit& edit, const Buffer& buffer) {
  if (buffer.writer < 0)
    fail("\"{}\" is given, not computed, so edit \"{}\" cannot change it", buffer.name, edit_text(edit));
  int64_t expected = buffer.shape.count();
  if (edit.head >= 0) {
    const int axis = head_axis(buffer.shape);
    if (axis < 0)
      fail("\"{}\" has no heads; leave \":head\" out of edit \"{}\"", buffer.name, edit_text(edit));
    const int64_t heads = buffer.shape.size(static_cast<size_t>(axis));
    if (edit.head >= heads) {
      fail("\"{}\" has heads 0 to {}, but edit \"{}\" names head {}", buffer.name, heads - 1, edit_text(edit),
           edit.head);
    }
    expected /= heads;
  }
  const auto given = static_cast<int64_t>(edit.values.size());
  if (edit.kind == Edit::Kind::replace && given != 1 && given != expected) {
    fail("edit \"{}\" gives {} numbers, but \"{}\" takes 1 or {}", edit.target, given, buffer.name, expected);
  }
}

}  // namespace headlight
