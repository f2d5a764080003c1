// The engine's inside: the thread's loop and what it owns. Included by engine.cpp and worker_*.cpp alone.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/out_of_memory.h"
#include "core/engine/builtin.h"
#include "core/engine/engine.h"
#include "core/infer/last_token.h"
#include "core/run/executor.h"
#include "core/run/logit_lens.h"
#include "core/run/predictor.h"
#include "core/train/trainer.h"

namespace headlight {

class Engine::Worker {
 public:
  explicit Worker(Options options);
  ~Worker();

  void post(Request request);
  [[nodiscard]] std::shared_ptr<const Snapshot> snapshot() const;
  void drain();

 private:
  using Clock = std::chrono::steady_clock;

  // The loop (worker.cpp).
  void loop();
  [[nodiscard]] bool has_work() const { return training_ || generate_left_ > 0 || duel_.running; }
  void handle(Request& request);
  void publish();
  void notify(Notice::Level level, std::string text);

  // Requests about the model (worker_model.cpp).
  void on(const OpenPreset& request);
  void on(const OpenFolder& request);
  void on(const ChangeConfig& request);
  void on(const ResetModel& request);
  void on(const OpenCorpus& request);
  void on(const SaveFolder& request);
  void on(const ExportRun& request);
  void on(const SetDevice& request);
  void adopt(OpenedSource source);
  void replace_parameters(const ModelConfig& config);
  void forget_training();
  /// Drops every program that holds addresses of weights or memory of the device; training goes on from
  /// resume_.
  void drop_programs();
  /// Gives back what can be made again: the probe's and the predictor's memory, an idle trainer's.
  void free_caches();
  /// Calls work(); where memory is short, frees caches and calls it once more.
  template <class Work>
  void with_memory(const Work& work) {
    try {
      work();
    } catch (const OutOfMemory&) {
      free_caches();
      work();
    }
  }
  void measure_memory();

  // Requests about the prompt, training and generation (worker_run.cpp).
  void on(const SetPrompt& request);
  void on(const SetPromptTokens& request);
  void on(const Train& request);
  void on(const PauseTraining& request);
  void on(const SetTrainConfig& request);
  void on(const Generate& request);
  void on(const CancelGeneration& request);
  void on(const Duel& request);
  void on(const CloseDuel& request);
  void on(const SetSampler& request);

  // Requests about the probe (worker_probe.cpp).
  void on(const SetEdits& request);
  void on(const SetCapture& request);
  void on(const SetCache& request);
  void on(const ReadLens& request);
  /// Builds the probe for the prompt's length where it is missing. Throws Error where an edit does not fit.
  void ensure_probe();
  void drop_probe();
  /// What the probe records: what was asked for and what the engine always needs.
  [[nodiscard]] Capture probe_capture(int64_t T) const;
  /// The last phase that the probe runs.
  [[nodiscard]] Phase probe_phase() const;
  /// Runs the prompt and shows it.
  void probe();
  /// The same between two steps of a training that goes on: begins a probe, or shows the one under way once
  /// it is there. True when there is something new to show.
  [[nodiscard]] bool probe_beside_training();
  /// Shows the probe under way, if there is one; waits for it.
  void finish_probe();
  [[nodiscard]] RunInputs probe_inputs() const;
  [[nodiscard]] int64_t training_step() const;
  /// One pass of the probe: the whole prompt, or its last token with a cache.
  [[nodiscard]] std::shared_ptr<const Run> run_probe(const RunInputs& inputs);
  void show(const Run& recorded, int64_t step);
  void fail_probe(const std::exception& error);
  /// `cost`: seconds that a probe begun at `start` took from a training.
  void plan_next_probe(Clock::time_point start, double cost);
  /// Why the prompt is not run with a cache although one is wanted, as a sentence; empty where it is.
  [[nodiscard]] std::string why_whole_prompt() const;
  void tell_why_whole_prompt();
  /// The lens of a run that was just recorded: all of it where that takes no time, else one column; the rest
  /// becomes due.
  [[nodiscard]] std::shared_ptr<const LogitLens> first_lens(const Run& run);
  /// Puts the whole lens into the published run.
  void finish_lens();
  void refresh_candidates();
  void train_step();
  /// Takes over what the trainer has finished; `wait`: every step that was begun.
  void collect_points(bool wait);
  void fail_training(std::string why);
  void stop_training(TrainingStatus status);
  void generate_one();
  void duel_one();
  void ensure_trainer();
  [[nodiscard]] std::string sample_text();
  void set_prompt_tokens(std::vector<int32_t> tokens);

  Options options_;
  std::thread thread_;

  // Shared with other threads, under mutex_.
  mutable std::mutex mutex_;
  std::condition_variable work_, idle_;
  std::deque<Request> queue_;
  bool stopping_ = false;
  bool busy_ = false;
  std::shared_ptr<const Snapshot> published_;
  std::atomic<bool> cancel_probe_{false};

  // The engine thread's own.
  std::unique_ptr<kernels::Backend> backend_;
  Model model_;
  std::shared_ptr<const Corpus> corpus_;
  TrainConfig train_config_;
  std::unique_ptr<Trainer> trainer_;
  std::optional<TrainerState> resume_;  ///< of an opened checkpoint, until the trainer exists
  std::map<std::string, std::vector<float>>
      shelf_;  ///< weights that a switch took away, to come back with it
  History history_;
  std::shared_ptr<const History> published_history_ = std::make_shared<const History>();
  bool history_changed_ = false;

  std::string prompt_;
  std::vector<int32_t> prompt_tokens_;
  std::vector<Edit> edits_;
  SetCapture capture_;
  std::unique_ptr<Executor>
      probe_executor_;  ///< for the prompt's length; dropped when anything it was built from changes
  /// A probe beside a training whose values are on their way.
  struct ProbeUnderWay {
    std::unique_ptr<PendingRun> run;
    int64_t step = 0;  ///< of the training, when it began
    Clock::time_point start;
    double host_seconds = 0;  ///< that beginning it took
  };
  std::optional<ProbeUnderWay> probe_under_way_;  ///< ends before its executor
  std::optional<WeightStorage> cache_;            ///< wanted: the last token with a cache
  std::string told_whole_prompt_;                 ///< why there was none, as it was told
  std::unique_ptr<LastTokenPass> last_token_;     ///< likewise dropped, as is the probe's executor
  std::shared_ptr<const RecordingFailure> recording_failure_;
  ReadLens lens_;
  bool lens_due_ = false;  ///< the run's lens is to be read whole
  std::shared_ptr<const Run> run_;
  std::optional<LoadingState> loading_;
  bool probe_due_ = false;
  Clock::time_point next_probe_{};

  bool training_ = false;
  int64_t train_until_ = 0;        ///< step to stop at; negative: none
  bool counted_training_ = false;  ///< drain() waits for it
  TrainingStatus status_ = TrainingStatus::idle;
  std::string failure_;
  double smoothed_rate_ = 0;

  SamplerConfig sampler_;
  Random sampler_random_{0};
  int64_t generate_left_ = 0;
  std::unique_ptr<Predictor> predictor_;
  std::vector<GeneratedToken> generated_;
  std::vector<Candidate> candidates_;

  // The KV-cache duel (worker_duel.cpp).
  struct Duelist {
    std::unique_ptr<Predictor> predictor;
    Random random{0};
  };
  DuelState duel_;
  Duelist duel_cached_, duel_plain_;
  SamplerConfig duel_sampler_;
  std::vector<int32_t> duel_text_;

  std::vector<DeviceState> devices_;
  MemoryUse memory_;  ///< of memory_of_
  size_t memory_available_ = 0;
  std::optional<std::pair<ModelConfig, TrainConfig>> memory_of_;

  std::vector<Notice> notices_;
  uint64_t next_notice_ = 1, version_ = 0;
};

}  // namespace headlight
