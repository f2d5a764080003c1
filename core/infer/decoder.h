// A model that remembers: feed it tokens of one or several sequences, and it computes what is new alone, with
// the keys and values of the rest in a cache. Which token comes next is the caller's
// (core/infer/generation.h, core/run/predictor.h); here it is drawn with as few of the logits leaving the
// device as the draw takes.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "core/infer/kv_cache.h"
#include "core/infer/packed_weights.h"
#include "core/model/model.h"
#include "core/run/executor.h"
#include "core/text/sampler.h"

namespace headlight {

class Decoder {
 public:
  struct Options {
    int64_t batch = 1;     ///< B: sequences
    int64_t capacity = 0;  ///< S: tokens of each; 0: n_positions
    int64_t chunk = 512;   ///< tokens of a sequence that one pass takes
    bool fused = true;  ///< attention in one step; few tokens in as few steps as the backend has kernels for
    WeightStorage weights = {};
    size_t memory_limit = 0;  ///< bytes of all of MemoryNeed; 0: none
    /// Of a single sequence: behind a greedy draw the device goes on with its token by itself, as far as this
    /// many tokens, before anybody feeds it; feeding another one, or forgetting, undoes that.
    int64_t ahead = 0;
  };

  /// What it takes beyond the model's own fp32 weights, in bytes.
  struct MemoryNeed {
    size_t weights = 0;      ///< packed ones
    size_t cache = 0;        ///< keys and values
    size_t activations = 0;  ///< of the longest pass
    [[nodiscard]] size_t total() const { return weights + cache + activations; }
  };
  /// Worked out before anything is allocated.
  [[nodiscard]] static MemoryNeed predict(const Model& model, const Options& options);

  /// Keeps a reference to the model. `weights` packed before (by another decoder of the same model), or null:
  /// packed here where the options ask for it. Throws Error where the model cannot have a cache, where the
  /// limit would be passed, or memory is short.
  Decoder(const Model& model, const Options& options, std::shared_ptr<const PackedWeights> weights = nullptr);
  ~Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  [[nodiscard]] const Options& options() const { return options_; }
  [[nodiscard]] int64_t capacity() const { return cache_.capacity(); }
  /// Tokens of sequence b that the cache holds.
  [[nodiscard]] int64_t length(int64_t b) const { return lengths_[static_cast<size_t>(b)]; }
  [[nodiscard]] const std::shared_ptr<const PackedWeights>& packed() const { return weights_; }
  [[nodiscard]] MemoryNeed memory() const;
  /// Bytes of keys and values that one token of one sequence keeps.
  [[nodiscard]] size_t bytes_per_token() const;
  /// Bytes of activations that the last pass worked in.
  [[nodiscard]] size_t pass_bytes() const { return pass_bytes_; }

  /// Appends tokens[b] to sequence b, for each b (none: it rests), in chunks. Throws Error where they do not
  /// fit or an id is not in the vocabulary, and Cancelled between two steps; what was not finished then
  /// counts as never fed. Does not wait for a device that works on its own.
  void feed(std::span<const std::vector<int32_t>> tokens, const std::atomic<bool>* cancel = nullptr);
  /// Logits [V] behind the last token fed to sequence b; valid until it is fed again, also in vain.
  [[nodiscard]] std::span<const float> logits(int64_t b);
  /// The best of them, and what a draw at this temperature needs of the rest; likewise. Without any where a
  /// later pass of other sequences has taken the place of these logits on the device.
  [[nodiscard]] BestLogits best(int64_t b, double temperature);
  /// One token drawn from the logits behind sequence b: from the best where they are enough. `text` as in
  /// headlight::draw.
  [[nodiscard]] Draw draw(int64_t b, const SamplerConfig& config, Random& random,
                          std::span<const int32_t> text);
  /// Forgets what follows the first `length` tokens of sequence b, if anything does.
  void truncate(int64_t b, int64_t length);

  /// Feeds one chunk and records it: every step, with hook names and cell terms. `fused` as in
  /// ProgramOptions.
  [[nodiscard]] std::shared_ptr<const Run> record(std::span<const std::vector<int32_t>> tokens,
                                                  const Capture& capture, bool fused);

 private:
  [[nodiscard]] std::unique_ptr<Executor> make_executor(std::shared_ptr<const Program> program,
                                                        const Capture& capture) const;
  [[nodiscard]] Executor& executor(int64_t T);
  void check(std::span<const std::vector<int32_t>> tokens) const;
  [[nodiscard]] RunInputs inputs(std::span<const std::vector<int32_t>> tokens, std::span<const size_t> done,
                                 int64_t T) const;
  void run(std::span<const std::vector<int32_t>> tokens, const std::atomic<bool>* cancel);
  /// The logits that lie in `pass`, to the host.
  void fetch(const Executor& pass);
  /// The k best of each row of its logits; `host` holds them once a later mark is reached.
  void choose(const Executor& pass, kernels::BestOfRow* host, double temperature, int64_t k,
              const kernels::Feedback& feedback);
  [[nodiscard]] BestLogits view(const kernels::BestOfRow& row, double temperature, int64_t k) const;
  [[nodiscard]] kernels::Backend& backend() const { return model_.parameters->backend(); }
  [[nodiscard]] int64_t ranked() const;
  void go_ahead(double temperature);
  void drop_ahead();
  /// drop_ahead(), and the logits behind the last token fed are on the device again.
  void come_back();

  const Model& model_;
  Options options_;
  std::shared_ptr<const PackedWeights> weights_;
  KvCache cache_;
  std::vector<int64_t> lengths_;
  std::vector<std::vector<float>> logits_;  ///< by sequence, where they were asked for or had to make room
  std::vector<const Executor*> lie_in_;     ///< by sequence: the pass that left them on the device, or null
  DeviceMemory best_rows_;                  ///< BestOfRow [B]
  std::vector<kernels::BestOfRow> best_;    ///< of all sequences, at best_temperature_
  double best_temperature_ = 0;             ///< 0: not chosen yet
  /// A token that the device has chosen and gone on with.
  struct Ahead {
    kernels::BestOfRow best;
    uint64_t mark = 0;  ///< behind the choice
    bool fed = false;   ///< the pass behind it is on its way
  };
  std::deque<Ahead> ahead_;
  double ahead_temperature_ = 0;
  int32_t last_token_ = 0;  ///< that was fed to the first sequence
  size_t pass_bytes_ = 0;
  std::map<int64_t, std::unique_ptr<Executor>>
      executors_;  ///< by T: one token, a whole chunk, and the last other
};

}  // namespace headlight
