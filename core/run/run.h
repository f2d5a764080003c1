// A run: the immutable recording of one execution of a program. Stepping, scrubbing, pinning and comparing
// are index arithmetic on it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/model/config.h"
#include "core/run/capture.h"
#include "core/run/edit.h"
#include "core/run/head_digest.h"
#include "core/tape/op.h"
#include "core/tape/program.h"

namespace headlight {

struct LogitLens;

/// Captured values of one buffer on the host: all of it, or elements from `first` on.
struct Recorded {
  std::vector<float> values;      ///< floating-point buffers, 16-bit ones widened
  std::vector<int32_t> integers;  ///< i32 buffers
  int64_t first = 0;
  /// The same values as fp32 on the device that computed them; null where they were not kept there.
  std::shared_ptr<const float> on_device = nullptr;
  [[nodiscard]] ElementRange range() const {
    return {first, static_cast<int64_t>(integers.empty() ? values.size() : integers.size())};
  }
};

/// Bins of the histograms that are shown.
inline constexpr int statistics_bins = 40;

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
  /// With a cache: the tokens that lay in it before this run, of the first sequence; those in `tokens` come
  /// behind them.
  std::vector<int32_t> past;
  std::vector<Edit> edits;
  /// What was asked to be recorded.
  Capture capture;
  /// By BufferId; null where nothing was captured.
  std::vector<std::shared_ptr<const Recorded>> recorded;
  /// By BufferId; null where no digests were asked for.
  std::vector<std::shared_ptr<const BufferDigest>> digests;
  /// By BufferId: statistics that the backend took of a watched buffer that was not recorded whole, else
  /// null.
  std::vector<std::shared_ptr<const BufferStatistics>> measured;
  /// Names that matched the capture but went over its budget: not recorded, or only in part.
  std::vector<std::string> left_out;
  size_t captured_bytes = 0;  ///< on the host
  size_t matched_bytes = 0;   ///< captured_bytes where nothing was left out
  /// Steps [0, steps_run) of the program were run.
  int steps_run = 0;
  /// Seconds by step, of the backend's own work; 0 for those that were not run.
  std::vector<double> step_seconds;
  /// Training step of the weights it ran on.
  int64_t training_step = 0;
  /// The program's loss, NaN where there is none (no target).
  double loss = 0;
  std::string backend;
  /// What the unembedding reads off the stream at every depth; null where nobody asked for it.
  std::shared_ptr<const LogitLens> lens;

  /// True for a pass of new tokens with the keys and values of the others in a cache.
  [[nodiscard]] bool with_cache() const { return program().find("positions").has_value(); }
  /// The first sequence from its beginning: `past`, then what was run.
  [[nodiscard]] std::vector<int32_t> text() const;
  [[nodiscard]] const Program& program() const override { return *recorded_program; }
  /// True where the whole buffer was captured.
  [[nodiscard]] bool has(BufferId id_) const;
  /// True where at least these elements were.
  [[nodiscard]] bool has(BufferId id_, const ElementRange& range_) const;
  /// Captured elements of a floating-point buffer; empty where one of them was not captured.
  [[nodiscard]] std::span<const float> range(BufferId id_, const ElementRange& range_) const;
  /// The same elements on the device; null where they were not kept there.
  [[nodiscard]] std::shared_ptr<const float> on_device(BufferId id_, const ElementRange& range_) const;
  /// Captured values of the whole buffer, empty span where it was not captured whole.
  [[nodiscard]] std::span<const float> values(BufferId id_) const;
  [[nodiscard]] std::span<const float> values(std::string_view name) const;
  [[nodiscard]] double value(BufferId id_, int64_t offset) const override;
  /// One head's digest of a buffer [B,H,Tq,Tk], null where none was taken.
  [[nodiscard]] std::shared_ptr<const HeadDigest> digest(BufferId id_, int64_t head) const;
  /// Statistics of the whole of a buffer that the run watched but did not record whole, else null.
  [[nodiscard]] const BufferStatistics* statistics(BufferId id_) const;
  /// How a cell came about; throws Error when a source was not captured or nothing computed the buffer.
  [[nodiscard]] CellTerms explain(BufferId id_, int64_t offset) const;
};

/// `bins` equal bins between the finite minimum and maximum; at most kernels::most_bins.
[[nodiscard]] BufferStatistics statistics(std::span<const float> values, int bins = statistics_bins);
/// What a backend found.
[[nodiscard]] BufferStatistics buffer_statistics(const kernels::ValueStatistics& found,
                                                 std::span<const uint64_t> histogram);

}  // namespace headlight
