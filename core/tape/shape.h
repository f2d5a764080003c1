// Shapes whose axes carry their letters (B, T, C, H, D, …), so that a view can label them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace headlight {

/// One axis: its letter in the field's notation ("B", "Tq", …; a string literal) and its length.
struct Axis {
  std::string_view letter;
  int64_t size = 0;
  bool operator==(const Axis&) const = default;
};

/// Row-major shape. A scalar has no axes and one element.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<Axis> axes) : axes_(axes) {}
  explicit Shape(std::vector<Axis> axes) : axes_(std::move(axes)) {}

  [[nodiscard]] size_t rank() const { return axes_.size(); }
  [[nodiscard]] const Axis& operator[](size_t i) const { return axes_[i]; }
  [[nodiscard]] const std::vector<Axis>& axes() const { return axes_; }
  [[nodiscard]] int64_t size(size_t i) const { return axes_[i].size; }
  /// Length of the last axis, 1 for a scalar.
  [[nodiscard]] int64_t last() const { return axes_.empty() ? 1 : axes_.back().size; }
  /// Number of elements.
  [[nodiscard]] int64_t count() const;
  /// Elements divided by last().
  [[nodiscard]] int64_t rows() const { return count() / last(); }
  /// Flat offset of an index (one entry for each axis) and back.
  [[nodiscard]] int64_t offset(const std::vector<int64_t>& index) const;
  [[nodiscard]] std::vector<int64_t> index(int64_t offset) const;
  /// "15×64", without axes of length 1 in front; "1" for a scalar.
  [[nodiscard]] std::string text() const;
  /// "B 1 · T 15 · C 64".
  [[nodiscard]] std::string lettered() const;

  bool operator==(const Shape&) const = default;

 private:
  std::vector<Axis> axes_;
};

}  // namespace headlight
