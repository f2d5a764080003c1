// The training's history as series that charts draw: grows with the history, copies nothing twice. Kept by
// App, read by the training strip and the Training view.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "app/render/series_pyramid.h"
#include "core/train/history.h"

namespace headlight::app {

struct HistorySeries {
  SeriesPyramid train_loss, gradient_norm, learning_rate, tokens_per_second;
  std::vector<SeriesPyramid> block_gradient_norms;          ///< [L + 2], as HistoryPoint has them
  std::vector<std::pair<int64_t, double>> validation_loss;  ///< by step
  int64_t first_step = 0;                                   ///< of the series' first value

  /// Takes over what is new; starts again when the history was cleared or another one.
  void update(const History& history);
  void clear();
  [[nodiscard]] int64_t last_step() const { return first_step + static_cast<int64_t>(train_loss.size()) - 1; }

 private:
  double first_loss_ = 0;
};

}  // namespace headlight::app
