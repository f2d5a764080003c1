// Smallest, largest and mean value over growing blocks of a long series, so that a chart of ten million
// points draws three values a pixel. Grows at the end as training goes on. Used by the line chart.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace headlight::app {

class SeriesPyramid {
 public:
  struct Extremes {
    float low = 0, high = 0;
    double sum = 0;
    size_t count = 0;  ///< of the values that are numbers
    [[nodiscard]] float mean() const { return static_cast<float>(sum / static_cast<double>(count)); }
  };

  void append(std::span<const float> values);
  void clear() { levels_.clear(), values_.clear(); }
  [[nodiscard]] size_t size() const { return values_.size(); }
  [[nodiscard]] float operator[](size_t i) const { return values_[i]; }
  /// Over [first, last), clipped to the series; NaN values are passed over. low > high where nothing is left.
  [[nodiscard]] Extremes extremes(size_t first, size_t last) const;

 private:
  static constexpr size_t fan = 8;

  std::vector<float> values_;
  std::vector<std::vector<Extremes>> levels_;  ///< levels_[k][i] covers fan^(k+1) values
};

}  // namespace headlight::app
