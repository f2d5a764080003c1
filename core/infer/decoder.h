// A model that remembers: feed it tokens of one or several sequences, and it computes what is new alone, with
// the keys and values of the rest in a cache. Sampling is the caller's (core/infer/generation.h,
// core/run/predictor.h).
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "core/infer/kv_cache.h"
#include "core/infer/packed_weights.h"
#include "core/model/model.h"
#include "core/run/executor.h"

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
  /// counts as never fed.
  void feed(std::span<const std::vector<int32_t>> tokens, const std::atomic<bool>* cancel = nullptr);
  /// Logits [V] behind the last token fed to sequence b; valid until it is fed again.
  [[nodiscard]] std::span<const float> logits(int64_t b) const { return logits_[static_cast<size_t>(b)]; }
  /// Forgets what follows the first `length` tokens of sequence b.
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

  const Model& model_;
  Options options_;
  std::shared_ptr<const PackedWeights> weights_;
  KvCache cache_;
  std::vector<int64_t> lengths_;
  std::vector<std::vector<float>> logits_;
  size_t pass_bytes_ = 0;
  std::map<int64_t, std::unique_ptr<Executor>>
      executors_;  ///< by T: one token, a whole chunk, and the last other
};

}  // namespace headlight
