// Generation: prompts in, text out, token by token, for one sequence or a batch of unequal ones. The command
// line's `generate` runs it; each step can be cancelled, and every draw is handed out with what led to it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/infer/decoder.h"
#include "core/model/model.h"
#include "core/run/predictor.h"
#include "core/text/sampler.h"
#include "core/text/text_stream.h"

namespace headlight {

/// What happens when a sequence fills the model's context.
enum class WhenFull {
  slide,  ///< go on with the last n_positions tokens; each further token then computes all of them again, as
          ///< every one of them stands at another place
  stop,   ///< end the sequence
};

struct GenerationOptions {
  int64_t max_new = 50;              ///< tokens that a sequence appends at most
  SamplerConfig sampler;             ///< sequence b draws from the stream sampler.seed + b
  std::vector<std::string> stops;    ///< strings that end a sequence; they are not part of its text
  std::vector<int32_t> stop_tokens;  ///< tokens that end it; likewise
  WhenFull when_full = WhenFull::slide;
  bool cache = true;        ///< false: compute every token again for each new one
  WeightStorage weights;    ///< other than fp32 needs the cache
  int64_t chunk = 512;      ///< tokens of a prompt that one pass takes
  double time_limit = 0;    ///< seconds, looked at after each token; 0: none
  size_t memory_limit = 0;  ///< bytes, looked at before anything is allocated; 0: none
};

/// Why a sequence ended.
enum class Finish { running, length, stop, full, time, cancelled };
/// "length", "stop", …: for `--json`.
[[nodiscard]] std::string_view finish_name(Finish finish);

/// One new token of one sequence.
struct GeneratedStep {
  int64_t sequence = 0;
  Draw draw;
  std::string text;    ///< what may be shown now: not always this token's own
  double seconds = 0;  ///< since the token before it: model and sampler
};

struct GeneratedSequence {
  std::vector<int32_t> prompt, tokens;
  std::string text;  ///< of the new tokens, without a stop string
  Finish finish = Finish::running;
  std::string stopped_by;  ///< the stop string
  std::vector<Draw> draws;
  std::vector<double> seconds;  ///< by token
};

class Generation {
 public:
  /// Checks everything and allocates; computes nothing yet. Keeps a reference to the model. Throws Error
  /// where an option or a prompt does not fit or memory is short.
  Generation(const Model& model, std::vector<std::vector<int32_t>> prompts, const GenerationOptions& options);

  /// Appends one token to each sequence that still runs and hands it to `show`; the first call also computes
  /// the prompts. False when every sequence has ended. `cancel` is looked at between the steps of the model:
  /// the sequences then end as cancelled.
  bool step(const std::function<void(const GeneratedStep&)>& show = {},
            const std::atomic<bool>* cancel = nullptr);

  [[nodiscard]] const std::vector<GeneratedSequence>& sequences() const { return sequences_; }
  /// Seconds that the prompts took and that the tokens after the first one took, and their numbers.
  struct Timing {
    double prefill_seconds = 0, decode_seconds = 0;
    int64_t prompt_tokens = 0, decoded_tokens = 0;
  };
  [[nodiscard]] const Timing& timing() const { return timing_; }
  /// A sentence where the cache was asked for but cannot be had; empty otherwise.
  [[nodiscard]] const std::string& no_cache() const { return no_cache_; }
  /// Held now.
  [[nodiscard]] size_t memory_bytes() const;
  [[nodiscard]] const PackedWeights* packed() const { return decoder_ ? decoder_->packed().get() : nullptr; }

 private:
  void compute(const std::atomic<bool>* cancel);
  void append(size_t b, std::chrono::steady_clock::time_point start,
              const std::function<void(const GeneratedStep&)>& show);
  void end(size_t b, Finish finish);
  void end_all(Finish finish);
  [[nodiscard]] bool running() const;
  [[nodiscard]] std::string bytes_of(int32_t token) const;

  const Model& model_;
  GenerationOptions options_;
  std::string no_cache_;
  std::vector<GeneratedSequence> sequences_;
  std::vector<TextStream> streams_;
  std::vector<Random> randoms_;
  std::unique_ptr<Decoder> decoder_;
  std::vector<std::vector<int32_t>> fed_;               ///< what the decoder holds of each sequence
  std::vector<std::unique_ptr<Predictor>> predictors_;  ///< without a cache
  std::vector<std::vector<float>> logits_;              ///< likewise
  Timing timing_;
  double spent_ = 0;
  bool started_ = false;
};

}  // namespace headlight
