// Trains a model on a corpus, step by step, so that the engine can look at the model in between and the
// command line can log. A device may be some steps behind what it was given: nobody waits for it but who
// wants a number.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/random.h"
#include "core/model/model.h"
#include "core/model/model_folder.h"
#include "core/run/executor.h"
#include "core/text/corpus.h"
#include "core/train/history.h"
#include "core/train/schedule.h"

namespace headlight {

/// A loss or gradient that is no number. The update was not made: the weights are those of the last good
/// step.
class NonFiniteTraining : public Error {
 public:
  using Error::Error;
};

class Trainer {
 public:
  /// Keeps references to model and corpus. Throws Error when context, batch or vocabulary do not fit.
  Trainer(Model& model, std::shared_ptr<const Corpus> corpus, const TrainConfig& config);
  ~Trainer();

  /// Steps that a device may be behind: few enough that a pause comes at once.
  static constexpr size_t most_under_way = 8;

  /// Gives the backend one step: batch, forward, loss, backward, update. Returns at once where the backend
  /// works beside the host and fewer than most_under_way steps are unfinished.
  void begin_step();
  /// What was done since the last call, in order; `wait`: after waiting for every step that was begun. Throws
  /// NonFiniteTraining naming the first tensor that went wrong: that step and those behind it have not
  /// touched the weights, and training goes on from before it.
  std::vector<HistoryPoint> finished(bool wait);
  /// Both, for one step. No other step may be under way.
  HistoryPoint step();

  /// Mean loss (nats a token) over the first eval_batches·B held-out windows, dropout off.
  [[nodiscard]] double evaluate();

  /// Steps begun so far.
  [[nodiscard]] int64_t steps_done() const { return step_; }
  /// The state that resumes bit for bit; no step may be under way, here and in the two below.
  [[nodiscard]] TrainerState state() const;
  void restore(const TrainerState& state);
  /// Takes another configuration from the next step on; memory is planned anew when batch, context or
  /// constants differ.
  void configure(const TrainConfig& config);
  [[nodiscard]] const TrainConfig& config() const { return config_; }
  /// False when configure() found no memory, neither for the new configuration nor for the old one again: the
  /// trainer can only tell its state().
  [[nodiscard]] bool ready() const { return train_ != nullptr && eval_ != nullptr; }
  /// Bytes of weights, moments and arenas.
  [[nodiscard]] size_t held_bytes() const;
  [[nodiscard]] const Corpus& corpus() const { return *corpus_; }

 private:
  using Clock = std::chrono::steady_clock;
  /// A step that the backend was given; its numbers arrive in the order of the device's work.
  struct Begun {
    RunInputs inputs;
    uint64_t random_before = 0;  ///< counter of random_ before its batch was drawn
    uint64_t mark = 0;           ///< reached when the numbers are there
    Clock::time_point start;
    float loss = 0, norm = 0;
    std::vector<float> squares;  ///< Σ dW² of each parameter
  };

  void build();
  [[nodiscard]] HistoryPoint point_of(const Begun& begun) const;
  [[nodiscard]] std::vector<float> block_norms(const std::vector<float>& squares) const;
  [[noreturn]] void fail_non_finite();

  Model& model_;
  std::shared_ptr<const Corpus> corpus_;
  TrainConfig config_;
  Random random_;
  int64_t step_ = 0;
  std::unique_ptr<Executor> train_, eval_;
  std::vector<int> norm_group_;  ///< by entry of grad_squares: 0 embeddings, 1 + block, L + 1 the end
  std::deque<Begun> under_way_;
  bool gate_unset_ = true;  ///< the next step opens the gate of its program
  Clock::time_point last_finish_;
};

}  // namespace headlight
