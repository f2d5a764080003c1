// Trains a model on a corpus: one step at a time, so that the engine can look at the model in between and the
// command line can log.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

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

  /// One step: batch, forward, loss, backward, update. Throws NonFiniteTraining naming the first tensor that
  /// went wrong, before it would have reached the weights.
  HistoryPoint step();

  /// Mean loss (nats a token) over the first eval_batches·B held-out windows, dropout off.
  [[nodiscard]] double evaluate();

  /// Steps done so far; the state that resumes bit for bit.
  [[nodiscard]] int64_t steps_done() const { return step_; }
  [[nodiscard]] TrainerState state() const;
  void restore(const TrainerState& state);
  /// Takes another configuration from the next step on; memory is planned anew when batch, context or
  /// constants differ.
  void configure(const TrainConfig& config);
  [[nodiscard]] const TrainConfig& config() const { return config_; }
  [[nodiscard]] const Corpus& corpus() const { return *corpus_; }

 private:
  void build();
  [[nodiscard]] std::vector<float> block_norms() const;
  [[noreturn]] void fail_non_finite(double loss, double norm);

  Model& model_;
  std::shared_ptr<const Corpus> corpus_;
  TrainConfig config_;
  Random random_;
  int64_t step_ = 0;
  std::unique_ptr<Executor> train_, eval_;
  std::vector<int> norm_group_;  ///< by entry of grad_squares: 0 embeddings, 1 + block, L + 1 the end
  RunInputs inputs_;
};

}  // namespace headlight
