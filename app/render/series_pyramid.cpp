// A tree of minima, maxima and sums, eight children to a node.
#include "app/render/series_pyramid.h"

#include <algorithm>
#include <cmath>

namespace headlight::app {
namespace {

constexpr SeriesPyramid::Extremes nothing{INFINITY, -INFINITY, 0, 0};

void take(SeriesPyramid::Extremes& e, const SeriesPyramid::Extremes& other) {
  if (other.low < e.low) e.low = other.low;
  if (other.high > e.high) e.high = other.high;
  e.sum += other.sum;
  e.count += other.count;
}

void take(SeriesPyramid::Extremes& e, float value) {
  if (!std::isnan(value)) take(e, {value, value, value, 1});
}

}  // namespace

void SeriesPyramid::append(std::span<const float> values) {
  const size_t first = values_.size();
  values_.insert(values_.end(), values.begin(), values.end());
  // Nodes from the one that holds the first new value on are made again, level by level.
  size_t from = first / fan, below = values_.size();
  for (size_t level = 0; below > 1; ++level) {
    const size_t count = (below + fan - 1) / fan;
    if (levels_.size() <= level) levels_.emplace_back();
    auto& nodes = levels_[level];
    nodes.resize(count, nothing);
    for (size_t i = from; i < count; ++i) {
      Extremes e = nothing;
      for (size_t child = i * fan; child < std::min((i + 1) * fan, below); ++child) {
        if (level == 0)
          take(e, values_[child]);
        else
          take(e, levels_[level - 1][child]);
      }
      nodes[i] = e;
    }
    below = count;
    from /= fan;
  }
}

SeriesPyramid::Extremes SeriesPyramid::extremes(size_t first, size_t last) const {
  Extremes e = nothing;
  last = std::min(last, values_.size());
  while (first < last) {
    // The largest node that starts here and ends in time.
    size_t level = 0, width = 1;
    while (level < levels_.size() && first % (width * fan) == 0 && first + width * fan <= last) {
      width *= fan;
      ++level;
    }
    if (level == 0)
      take(e, values_[first]);
    else
      take(e, levels_[level - 1][first / width]);
    first += width;
  }
  return e;
}

}  // namespace headlight::app
