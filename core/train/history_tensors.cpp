// See history_tensors.h.
#include "core/train/history_tensors.h"

#include <algorithm>

#include "core/base/error.h"

namespace headlight {

namespace {
constexpr int64_t kValues = 4;
}

HistoryTensors::HistoryTensors(const History& history) {
  const size_t groups = history.empty() ? 0 : history.back().block_gradient_norms.size();
  for (size_t i = 0; i < history.size(); ++i) {
    const HistoryPoint& point = history[i];
    steps.push_back(point.step);
    for (const double value :
         {point.train_loss, point.learning_rate, point.gradient_norm, point.tokens_per_second}) {
      values.push_back(static_cast<float>(value));
    }
    for (size_t g = 0; g < groups; ++g) {
      block_norms.push_back(g < point.block_gradient_norms.size() ? point.block_gradient_norms[g] : 0.0F);
    }
  }
  for (const ValidationPoint& point : history.validation()) {
    validation_steps.push_back(point.step);
    validation_losses.push_back(static_cast<float>(point.loss));
  }
}

void HistoryTensors::add_to(SafetensorsWriter& writer) const {
  const auto N = static_cast<int64_t>(steps.size()), M = static_cast<int64_t>(validation_steps.size());
  if (N == 0) return;
  writer.add("history.steps", std::span<const int64_t>(steps), {N});
  writer.add("history.values", std::span<const float>(values), {N, kValues});
  writer.add("history.block_norms", std::span<const float>(block_norms),
             {N, static_cast<int64_t>(block_norms.size()) / N});
  if (M == 0) return;
  writer.add("history.validation_steps", std::span<const int64_t>(validation_steps), {M});
  writer.add("history.validation_losses", std::span<const float>(validation_losses), {M});
}

History read_history(const SafetensorsFile& file) {
  History history;
  if (!file.contains("history.steps")) return history;
  const std::vector<int64_t> steps = file.read_i64("history.steps");
  const std::vector<float> values = file.read_f32("history.values");
  const std::vector<float> norms = file.read_f32("history.block_norms");
  const size_t N = steps.size();
  if (N == 0 || values.size() != N * kValues || norms.size() % N != 0 ||
      !std::is_sorted(steps.begin(), steps.end())) {
    fail("{}: the record of the training (history.*) does not fit together; save the model again",
         file.path().string());
  }
  const size_t groups = norms.size() / N;
  for (size_t i = 0; i < N; ++i) {
    HistoryPoint point;
    point.step = steps[i];
    point.train_loss = static_cast<double>(values[i * kValues]);
    point.learning_rate = static_cast<double>(values[i * kValues + 1]);
    point.gradient_norm = static_cast<double>(values[i * kValues + 2]);
    point.tokens_per_second = static_cast<double>(values[i * kValues + 3]);
    point.block_gradient_norms.assign(norms.begin() + static_cast<std::ptrdiff_t>(i * groups),
                                      norms.begin() + static_cast<std::ptrdiff_t>((i + 1) * groups));
    history.add(std::move(point));
  }
  if (!file.contains("history.validation_steps")) return history;
  const std::vector<int64_t> validation_steps = file.read_i64("history.validation_steps");
  const std::vector<float> losses = file.read_f32("history.validation_losses");
  if (losses.size() != validation_steps.size()) {
    fail("{}: the record of the training (history.*) does not fit together; save the model again",
         file.path().string());
  }
  for (size_t i = 0; i < losses.size(); ++i) {
    history.add(ValidationPoint{validation_steps[i], static_cast<double>(losses[i])});
  }
  return history;
}

}  // namespace headlight
