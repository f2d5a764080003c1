// What training measures at a step, and the files that keep it: JSONL (one object a line) and CSV. Written by
// the trainer and `headlight train --log`; drawn by the Training view.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

namespace headlight {

struct MetricPoint {
  int64_t step = 0;
  int64_t tokens = 0;              ///< seen since the start
  double train_loss = 0;           ///< nats per token, this step's batch
  std::optional<double> val_loss;  ///< nats per token, on steps that evaluate
  double grad_norm = 0;            ///< before clipping
  double learning_rate = 0;
  double tokens_per_second = 0;
  double seconds = 0;  ///< of training since the start
  bool operator==(const MetricPoint&) const = default;
};

/// One line, without the newline. Numbers that are not finite become null, as JSON has none.
[[nodiscard]] std::string to_jsonl(const MetricPoint& point);
/// The CSV column names and one row, without the newline; an absent validation loss is an empty cell.
[[nodiscard]] std::string csv_header();
[[nodiscard]] std::string to_csv(const MetricPoint& point);

/// Writes all points at once, atomically; CSV when the name ends in .csv, JSONL otherwise. Throws Error
/// naming the file.
void write_metrics(const std::filesystem::path& file, std::span<const MetricPoint> points);

/// A log that grows with training: each point is handed to the system when `add` returns, so that a crash
/// loses none.
class MetricsLog {
 public:
  /// Starts a new file, or with `append` goes on with an old one. CSV when the name ends in .csv, JSONL
  /// otherwise. Throws Error naming the file.
  explicit MetricsLog(std::filesystem::path file, bool append = false);
  ~MetricsLog();
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;
  /// Throws Error naming the file when it cannot be written (a full disk).
  void add(const MetricPoint& point);

 private:
  void write_line(const std::string& line);

  std::filesystem::path path_;
  std::FILE* file_ = nullptr;
  bool csv_ = false;
};

}  // namespace headlight
