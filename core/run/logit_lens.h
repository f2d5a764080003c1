// The logit lens: what the unembedding would say if the stream ended at each point between two parts of the
// model. Read off a recorded run with the weights at hand, on the model's backend; asked for by the Residual
// view through the engine.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/model/parameters.h"
#include "core/run/run.h"

namespace headlight {

/// A place on the stream between two parts of the model.
struct StreamPoint {
  enum class Kind { embedding, after_attention, after_mlp } kind = Kind::embedding;
  int64_t block = 0;
  BufferId buffer = no_buffer;
  std::string name;  ///< hook name ("blocks.0.hook_resid_mid"), which may be an alias
};

/// Points that the run recorded, from the embedding upwards, by their hook names; a name that stands for an
/// earlier point's value is passed over. Names of those that it did not record are added to `missing`.
[[nodiscard]] std::vector<StreamPoint> stream_points(const Run& run, std::vector<std::string>& missing);

struct LensToken {
  int32_t token = -1;  ///< −1: not read
  float probability = 0;
};

/// What is read at one point for one token of the prompt: the most probable next token, and the two behind
/// it.
struct LensCell : LensToken {
  std::array<LensToken, 2> runners_up;
  float target_probability = -1;  ///< of the token that really comes next; −1 where none does
};

struct LogitLens {
  enum class Extent { all, column, none } extent = Extent::none;
  int64_t points = 0, T = 0;    ///< P = stream_points().size()
  std::vector<LensCell> cells;  ///< [P·T]
  int64_t column = 0;           ///< the only one read, where extent is column
  std::string missing;          ///< buffer without which there is no lens
};

/// Multiplications up to which the engine reads the whole lens of a run (some seconds); above it one column
/// alone.
inline constexpr double largest_lens = 3e11;
/// Multiplications that the whole lens of a run takes.
[[nodiscard]] double lens_work(const Run& run);

/// Reads every column, or one (clamped to the run's tokens; negative: the last). The matrices are the
/// model's own in fp32, as they are now. Throws Cancelled between two blocks of rows, and OutOfMemory.
[[nodiscard]] std::shared_ptr<const LogitLens> read_lens(const Run& run, const Parameters& parameters,
                                                         std::optional<int64_t> column,
                                                         const std::atomic<bool>* cancel = nullptr);

}  // namespace headlight
