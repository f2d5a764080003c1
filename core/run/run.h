// A run: the immutable recording of one execution of a program. Stepping, scrubbing, pinning and comparing
// are index arithmetic on it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/model/config.h"
#include "core/run/edit.h"
#include "core/tape/op.h"
#include "core/tape/program.h"

namespace headlight {

/// Which buffers to keep, and how many bytes of them at most. Globs earlier in the list are kept first.
struct Capture {
  std::vector<std::string> globs = {"*"};
  size_t budget_bytes = size_t{256} << 20;
};

/// Captured values of one buffer on the host.
struct Recorded {
  std::vector<float> values;      ///< floating-point buffers, 16-bit ones widened
  std::vector<int32_t> integers;  ///< i32 buffers
};

/// Summary of one buffer's finite values.
struct BufferStatistics {
  int64_t count = 0;       ///< all elements
  int64_t non_finite = 0;  ///< −∞ of masked scores, or NaN
  double mean = 0, standard_deviation = 0, minimum = 0, maximum = 0;
  std::vector<int64_t> histogram;  ///< equal bins from minimum to maximum
};

/// Immutable after the executor returns it.
class Run final : public CellReader {
 public:
  /// Unique within the process; caches of views are keyed by it.
  uint64_t id = 0;
  std::shared_ptr<const Program> recorded_program;
  ModelConfig config;
  std::vector<int32_t> tokens;   ///< [B·T]
  std::vector<int32_t> targets;  ///< [B·T], −1: not counted
  std::vector<Edit> edits;
  /// By BufferId; null where not captured.
  std::vector<std::shared_ptr<const Recorded>> recorded;
  /// Names that matched the capture but went over its budget.
  std::vector<std::string> left_out;
  size_t captured_bytes = 0;
  /// Seconds by step.
  std::vector<double> step_seconds;
  /// Training step of the weights it ran on.
  int64_t training_step = 0;
  /// The program's loss, NaN where there is none (no target).
  double loss = 0;
  std::string backend;

  [[nodiscard]] const Program& program() const override { return *recorded_program; }
  [[nodiscard]] bool has(BufferId id_) const {
    return id_ >= 0 && static_cast<size_t>(id_) < recorded.size() &&
           recorded[static_cast<size_t>(id_)] != nullptr;
  }
  /// Captured values, empty span when not captured.
  [[nodiscard]] std::span<const float> values(BufferId id_) const;
  [[nodiscard]] std::span<const float> values(std::string_view name) const;
  [[nodiscard]] double value(BufferId id_, int64_t offset) const override;
  /// How a cell came about; throws Error when a source was not captured or nothing computed the buffer.
  [[nodiscard]] CellTerms explain(BufferId id_, int64_t offset) const;
};

/// `bins` equal bins between the finite minimum and maximum.
[[nodiscard]] BufferStatistics statistics(std::span<const float> values, int bins = 40);

}  // namespace headlight
