// Planes of buffers and texts of tokens and numbers.
#include "app/views/run_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/base/utf8.h"

namespace headlight::app {

std::optional<BufferPlane::Cell> BufferPlane::cell(int64_t offset) const {
  const int64_t local = offset - first;
  if (local < 0 || plane.rows <= 0) return std::nullopt;
  const int64_t row = plane.row_stride > 0 ? local / plane.row_stride : 0;
  const int64_t col = (local - row * plane.row_stride) / std::max<int64_t>(plane.col_stride, 1);
  if (row >= plane.rows || col >= plane.cols) return std::nullopt;
  return Cell{row, col};
}

namespace {

/// Tells the textures of windows of rows apart; above the heads.
constexpr int64_t window_key = int64_t{1} << 20;

/// The recorded rows of a matrix that was not recorded whole; nothing where there is none.
void keep_held_rows(const Run& run, BufferPlane& p) {
  const auto& recorded = run.recorded[static_cast<size_t>(p.buffer)];
  if (recorded == nullptr || p.plane.rows < 2 || p.plane.row_stride <= 0) return;
  const ElementRange held = recorded->range();
  const int64_t stride = p.plane.row_stride, width = (p.plane.cols - 1) * p.plane.col_stride + 1;
  const int64_t from = std::max<int64_t>(held.first - p.first, 0);
  const int64_t first = (from + stride - 1) / stride;
  const int64_t last = std::min(p.plane.rows, (held.first + held.count - p.first - width) / stride + 1);
  if (held.first + held.count - p.first < width || first >= last) return;
  p.first_row = first;
  p.first += first * stride;
  p.plane.rows = last - first;
}

}  // namespace

BufferPlane buffer_plane(const Run& run, BufferId id, int64_t head, PlaneRows rows) {
  const Buffer& buffer = run.program().buffer(id);
  const Shape& shape = buffer.shape;
  BufferPlane p;
  p.buffer = id;
  p.name = buffer.name;
  const size_t rank = shape.rank();
  const size_t heads =
      static_cast<size_t>(std::find_if(shape.axes().begin(), shape.axes().end(),
                                       [](const Axis& a) { return a.letter == "H" || a.letter == "G"; }) -
                          shape.axes().begin());
  // Of heads that share keys, all show the one that they read.
  if (heads < rank && shape[heads].letter == "G") {
    head = head * shape.size(heads) / std::max<int64_t>(run.config.n_head, 1);
  }
  if (rank == 0) {
    p.plane = {nullptr, 1, 1, 1, 1};
  } else if (rank == 1) {
    p.plane = {nullptr, 1, shape.size(0), shape.size(0), 1};
    p.col_axis = shape[0].letter;
  } else {
    const int64_t cols = shape.last();
    p.plane = {nullptr, shape.size(rank - 2), cols, cols, 1};
    p.row_axis = shape[rank - 2].letter;
    p.col_axis = shape[rank - 1].letter;
    if (rank == 4 && heads < 4) {
      p.has_heads = true;
      const int64_t h = std::clamp<int64_t>(head, 0, shape.size(heads) - 1);
      p.plane_index = h;
      if (heads == 1) {  // [B, H, Tq, Tk]
        p.first = h * shape.size(2) * cols;
      } else if (heads == 2) {  // [B, T, H, D]
        p.plane.rows = shape.size(1);
        p.plane.row_stride = shape.size(2) * cols;
        p.row_axis = shape[1].letter;
        p.first = h * cols;
      }
    } else if (rank == 3 && heads == 1) {  // [B, H, T]: one row for each head
      p.has_heads = true;
    } else if (rank == 3 && heads == 2) {  // [B, T, H]: one column for each head
      p.has_heads = true;
    }
  }
  p.all_rows = p.plane.rows;
  if (shape.count() == 0) return p;
  if (rows == PlaneRows::held && !run.has(id, p.extent())) keep_held_rows(run, p);
  p.plane.data = run.range(id, p.extent()).data();
  return p;
}

std::optional<BufferPlane> buffer_plane(const Run& run, std::string_view name, int64_t head) {
  const auto id = run.program().find(name);
  if (!id) return std::nullopt;
  return buffer_plane(run, *id, head);
}

ValueRange finite_range(const Plane& plane) {
  ValueRange range{INFINITY, -INFINITY};
  if (!plane.empty()) {
    for (int64_t i = 0; i < plane.rows; ++i) {
      for (int64_t j = 0; j < plane.cols; ++j) {
        const float v = plane.at(i, j);
        if (!std::isfinite(v)) continue;
        range.low = std::min(range.low, v);
        range.high = std::max(range.high, v);
      }
    }
  }
  return range.low > range.high ? ValueRange{0, 0} : range;
}

ComparedPlane compared_plane(const std::shared_ptr<const Run>& run, const Pins& pins, std::string_view name,
                             int64_t head) {
  ComparedPlane result;
  const auto held_plane = [&](const Run& of) -> std::optional<BufferPlane> {
    const auto id = of.program().find(name);
    if (!id) return std::nullopt;
    return buffer_plane(of, *id, head, PlaneRows::held);
  };
  const auto a = held_plane(*run);
  if (!a) return result;
  result.a = *a;
  result.plane = a->plane;
  result.owner = run;
  result.on_device = run->on_device(a->buffer, a->extent());
  result.key = {run->id, 0, a->buffer, a->plane_index + a->first_row * window_key};
  ValueRange range = finite_range(a->plane);
  if (pins.run && pins.run != run) {
    const auto b = held_plane(*pins.run);
    const bool same = b && !b->plane.empty() && !a->plane.empty() && b->plane.rows == a->plane.rows &&
                      b->plane.cols == a->plane.cols && b->first_row == a->first_row;
    if (same) {
      const ValueRange other = finite_range(b->plane);
      range = {std::min(range.low, other.low), std::max(range.high, other.high)};
      if (pins.compare == Compare::b) {
        result.plane = b->plane;
        result.owner = pins.run;
        result.on_device = pins.run->on_device(b->buffer, b->extent());
        result.key = {pins.run->id, 0, b->buffer, b->plane_index + b->first_row * window_key};
      } else if (pins.compare == Compare::difference) {
        auto values = std::make_shared<std::vector<float>>();
        values->reserve(static_cast<size_t>(a->plane.rows * a->plane.cols));
        for (int64_t i = 0; i < a->plane.rows; ++i) {
          for (int64_t j = 0; j < a->plane.cols; ++j) {
            const float x = a->plane.at(i, j), y = b->plane.at(i, j);
            values->push_back(x == y ? 0.f : x - y);  // −∞ − −∞ is no difference
          }
        }
        result.plane = {values->data(), a->plane.rows, a->plane.cols, a->plane.cols, 1};
        result.owner = values;
        result.on_device = nullptr;
        result.key = {run->id, pins.run->id, a->buffer, a->plane_index + a->first_row * window_key};
        result.difference = true;
        range = finite_range(result.plane);
      }
    }
  }
  result.is_signed = result.difference || range.low < 0;
  if (result.is_signed) {
    const float extreme = std::max(std::max(std::abs(range.low), std::abs(range.high)), 1e-12f);
    result.low = -extreme;
    result.high = extreme;
  } else {
    result.low = 0;
    result.high = std::max(range.high, 1e-12f);
  }
  return result;
}

namespace {

/// Bytes of the visible character that `text` begins with; 0 for control characters and what is not UTF-8.
size_t shown_length(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) return first < 0x20 || first == 0x7F ? 0 : 1;
  const size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  const std::string_view character = text.substr(0, length);
  if (character.size() < length || valid_utf8_length(character) != length) return 0;
  return utf8_code_point_at(character, 0) < 0xA0 ? 0 : length;  // the second set of control characters
}

}  // namespace

std::string bytes_hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    text += fmt::format("{}{:02X}", text.empty() ? "" : " ", static_cast<unsigned char>(c));
  }
  return text;
}

std::string chip_text(std::string_view token) {
  std::string text;
  size_t i = 0;
  while (i < token.size()) {
    const char c = token[i];
    if (c == ' ') {
      text += "·";
    } else if (c == '\n') {
      text += "↵";
    } else if (c == '\t') {
      text += "→";
    } else if (const size_t length = shown_length(token.substr(i)); length > 0) {
      text += token.substr(i, length);
      i += length;
      continue;
    } else {
      // Bytes that are no character by themselves, or one that cannot be seen: side by side between marks.
      size_t end = i + 1;
      while (end < token.size() && token[end] != ' ' && token[end] != '\n' && token[end] != '\t' &&
             shown_length(token.substr(end)) == 0) {
        ++end;
      }
      text += "‹" + bytes_hex(token.substr(i, end - i)) + "›";
      i = end;
      continue;
    }
    ++i;
  }
  return text.empty() ? "∅" : text;
}

std::string axis_text(std::string_view token) {
  while (token.size() > 1 && token.front() == ' ') token.remove_prefix(1);
  return chip_text(token);
}

void crop_rows(ComparedPlane& shown, int64_t first, int64_t last) {
  BufferPlane& a = shown.a;
  shown.key.plane += first * window_key;
  if (shown.plane.data != nullptr) shown.plane.data += first * shown.plane.row_stride;
  if (shown.on_device)
    shown.on_device = {shown.on_device, shown.on_device.get() + first * shown.plane.row_stride};
  if (a.plane.data != nullptr) a.plane.data += first * a.plane.row_stride;
  a.first += first * a.plane.row_stride;
  a.first_row += first;
  shown.plane.rows = a.plane.rows = last - first;
}

int64_t cache_capacity(const Run& run) {
  for (const Buffer& buffer : run.program().buffers())
    if (buffer.role == Role::state && buffer.shape.rank() == 4) return buffer.shape.size(2);
  return 0;
}

int64_t places_in_use(const Run& run, const Buffer& buffer) {
  const auto past = static_cast<int64_t>(run.past.size());
  return buffer.role == Role::state ? past : past + run.program().T();
}

std::optional<std::vector<float>> values_in_use(const Run& run, BufferId id, const ElementRange& range) {
  const Buffer& buffer = run.program().buffer(id);
  const auto& axes = buffer.shape.axes();
  const auto places = std::find_if(axes.begin(), axes.end(), [](const Axis& a) { return a.letter == "S"; });
  const int64_t used = places_in_use(run, buffer);
  if (places == axes.end() || used >= places->size) return std::nullopt;
  int64_t inner = 1;  // elements of one place
  for (auto after = places + 1; after != axes.end(); ++after) inner *= after->size;
  const std::span<const float> all = run.range(id, range);
  std::vector<float> values;
  for (int64_t i = 0; i < std::ssize(all); ++i)
    if ((range.first + i) / inner % places->size < used) values.push_back(all[static_cast<size_t>(i)]);
  return values;
}

std::vector<std::string> token_texts(const Snapshot& snapshot, const Run& run) {
  std::vector<std::string> texts;
  for (const int32_t id : run.text()) {
    const auto& tokenizer = snapshot.model.tokenizer;
    const bool known = tokenizer && id >= 0 && id < tokenizer->vocab_size();
    texts.push_back(known ? tokenizer->token_text(id) : std::to_string(id));
  }
  return texts;
}

std::vector<StepChange> step_changes(const Run& run, const Run& pinned) {
  std::vector<StepChange> changes;
  for (const Step& step : run.program().steps()) {
    StepChange change = StepChange::same;
    for (const BufferId id : step.outputs) {
      if (id == no_buffer || change != StepChange::same) continue;
      const auto other = pinned.program().find(run.program().buffer(id).name);
      if (!other) {
        change = StepChange::absent;
        continue;
      }
      if (!run.has(id) || !pinned.has(*other)) continue;
      const std::span<const float> a = run.values(id), b = pinned.values(*other);
      // Bits, not numbers: NaN equals itself, and what was computed alike is alike to the last bit.
      if (a.size() != b.size() || std::memcmp(a.data(), b.data(), a.size_bytes()) != 0)
        change = StepChange::changed;
    }
    changes.push_back(change);
  }
  return changes;
}

std::string short_name(std::string_view name) {
  std::string text(name);
  for (const std::string_view block : {"blocks.", "h."}) {
    if (!text.starts_with(block)) continue;
    const size_t dot = text.find('.', block.size());
    if (dot != std::string::npos) text.erase(0, dot + 1);
    break;
  }
  // "ln1.hook_scale" keeps its norm, "attn.hook_q" is q; a parameter's "attn.c_proj" keeps its part, as the
  // MLP has one too.
  if (text.starts_with("attn.hook_")) text.erase(0, 5);
  if (const size_t at = text.find("hook_"); at != std::string::npos) text.erase(at, 5);
  return text;
}

std::string bytes_text(size_t bytes) {
  const double b = static_cast<double>(bytes);
  if (b < 1000) return fmt::format("{} B", bytes);
  if (b < 1e6) return fmt::format("{:.1f} kB", b / 1e3);
  if (b < 1e9) return fmt::format("{:.1f} MB", b / 1e6);
  return fmt::format("{:.2f} GB", b / 1e9);
}

std::string count_text(int64_t count) {
  const double n = static_cast<double>(count);
  if (n < 1e3) return std::to_string(count);
  if (n < 1e6) return fmt::format("{:.3g}k", std::min(n / 1e3, 999.0));
  if (n < 1e9) return fmt::format("{:.3g}M", std::min(n / 1e6, 999.0));
  return fmt::format("{:.3g}B", n / 1e9);
}

std::string grouped_text(int64_t count) {
  const std::string digits = std::to_string(count < 0 ? -count : count);
  std::string text = count < 0 ? "−" : "";
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

namespace {

/// A number as written for people: no "-0.00", − as the minus sign.
std::string polished(std::string text) {
  if (text.front() != '-') return text;
  if (text.find_first_of("123456789") == std::string::npos) return text.substr(1);
  return "−" + text.substr(1);
}

}  // namespace

std::string fixed_text(double value, int digits) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "−∞" : "∞";
  return polished(fmt::format("{:.{}f}", value, digits));
}

std::string number_text(double value, int digits) {
  const double size = std::abs(value);
  if (!std::isfinite(value) || size == 0 || (size >= 1e-4 && size < 1e6)) return fixed_text(value, digits);
  return polished(fmt::format("{:.2e}", value));
}

}  // namespace headlight::app
