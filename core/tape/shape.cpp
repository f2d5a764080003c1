// See shape.h.
#include "core/tape/shape.h"

#include <fmt/format.h>

namespace headlight {

int64_t Shape::count() const {
  int64_t n = 1;
  for (const Axis& axis : axes_) n *= axis.size;
  return n;
}

int64_t Shape::offset(const std::vector<int64_t>& index) const {
  int64_t flat = 0;
  for (size_t i = 0; i < axes_.size(); ++i) flat = flat * axes_[i].size + index[i];
  return flat;
}

std::vector<int64_t> Shape::index(int64_t offset) const {
  std::vector<int64_t> result(axes_.size());
  for (size_t i = axes_.size(); i-- > 0;) {
    result[i] = offset % axes_[i].size;
    offset /= axes_[i].size;
  }
  return result;
}

std::string Shape::text() const {
  std::string result;
  size_t first = 0;
  while (first + 1 < axes_.size() && axes_[first].size == 1) ++first;
  for (size_t i = first; i < axes_.size(); ++i) {
    result += (result.empty() ? "" : "×") + fmt::format("{}", axes_[i].size);
  }
  return result.empty() ? "1" : result;
}

std::string Shape::lettered() const {
  std::string result;
  for (const Axis& axis : axes_) {
    result += (result.empty() ? "" : " · ") + fmt::format("{} {}", axis.letter, axis.size);
  }
  return result.empty() ? "1" : result;
}

}  // namespace headlight
