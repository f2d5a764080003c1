// The record of a training: one point a step, shared with the window without copying what is already there.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace headlight {

/// What one training step left behind. Losses in nats a token.
struct HistoryPoint {
  int64_t step = 0;
  double train_loss = 0;
  double learning_rate = 0;
  double gradient_norm = 0;                 ///< before clipping
  std::vector<float> block_gradient_norms;  ///< [L + 2]: embeddings, blocks 0…L−1, final norm and unembedding
  double tokens_per_second = 0;             ///< of this step
};

/// A held-out evaluation.
struct ValidationPoint {
  int64_t step = 0;
  double loss = 0;
};

/// Text that the model wrote at a step.
struct SamplePoint {
  int64_t step = 0;
  std::string text;
};

/// Append-only. Copies share their full chunks, so that a copy costs one pointer for each `chunk_size`
/// points.
class History {
 public:
  static constexpr size_t chunk_size = 1024;

  void add(HistoryPoint point);
  void add(ValidationPoint point) { validation_.push_back(point); }
  void add(SamplePoint point) { samples_.push_back(std::move(point)); }
  void clear();

  [[nodiscard]] size_t size() const { return full_.size() * chunk_size + tail_.size(); }
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] const HistoryPoint& operator[](size_t i) const {
    return i / chunk_size < full_.size() ? (*full_[i / chunk_size])[i % chunk_size]
                                         : tail_[i - full_.size() * chunk_size];
  }
  [[nodiscard]] const HistoryPoint& back() const { return (*this)[size() - 1]; }
  [[nodiscard]] const std::vector<ValidationPoint>& validation() const { return validation_; }
  [[nodiscard]] const std::vector<SamplePoint>& samples() const { return samples_; }

 private:
  std::vector<std::shared_ptr<const std::vector<HistoryPoint>>> full_;
  std::vector<HistoryPoint> tail_;
  std::vector<ValidationPoint> validation_;
  std::vector<SamplePoint> samples_;
};

}  // namespace headlight
