// Executes a program: plans its memory once, then runs it as often as asked, recording what the capture
// names. Used by the engine's probe, the trainer and the command line.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/model/device_memory.h"
#include "core/model/parameters.h"
#include "core/run/capture.h"
#include "core/run/external_buffers.h"
#include "core/run/memory_plan.h"
#include "core/run/pending_run.h"
#include "core/run/run.h"
#include "core/run/watcher.h"
#include "core/tape/program.h"
#include "kernels/backend.h"

namespace headlight {

/// What a run is given.
struct RunInputs {
  std::vector<int32_t> tokens;   ///< [B·T]
  std::vector<int32_t> targets;  ///< [B·T], −1: not counted; may be empty without a loss
  /// With a cache [B]: places in use before this run, and how many of the T tokens are real.
  std::vector<int32_t> positions, counts;
  uint64_t dropout_seed = 0;
  double learning_rate = 0;  ///< for update
  int64_t adam_step = 1;     ///< t of AdamW's bias correction, from 1
  double beta1 = 0.9, beta2 = 0.999;
  bool open_gate = true;  ///< for gated programs; false leaves the gate as the last run left it
};

/// Thrown out of Executor::run() when the cancel flag was raised between two steps.
class Cancelled {};

class Executor {
 public:
  struct Options {
    Capture capture;               ///< what runs record; an empty glob list records nothing
    std::vector<Edit> edits;       ///< buffer edits (op edits are built into the program)
    bool update_in_place = false;  ///< update steps overwrite the parameters: training
    /// Asked first for parameters and state; they outlive the executor.
    std::vector<const ExternalBuffers*> external = {};
    Phase last = Phase::update;  ///< later phases are neither planned nor run
  };

  /// Throws Error when memory is short or an edit fits no buffer. Keeps references to backend and parameters.
  Executor(std::shared_ptr<const Program> program, kernels::Backend& backend, Parameters& parameters,
           Options options);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  /// From the next run on, records what `capture` names. Throws Error when memory is short; then only the
  /// destructor may follow.
  void set_capture(Capture capture);

  /// Runs every step and returns the recording. `cancel` is looked at between steps.
  [[nodiscard]] std::shared_ptr<const Run> run(const RunInputs& inputs,
                                               const std::atomic<bool>* cancel = nullptr);
  /// The same without waiting for a device that works on its own: the recording comes out of the result.
  [[nodiscard]] std::unique_ptr<PendingRun> start(const RunInputs& inputs,
                                                  const std::atomic<bool>* cancel = nullptr);

  /// The pieces, for the trainer: give the inputs, run a range of steps, read a scalar. set_inputs() throws
  /// Error where sizes do not fit or an id is not in the vocabulary.
  void set_inputs(const RunInputs& inputs);
  void run_phase(Phase phase);
  void run_steps(int first, int last);
  /// Every step. From the second time on a backend that can record them replays its recording, so that a
  /// step of training or a decoded token costs the host one call. `cancel` is looked at between the steps
  /// that are not replayed. For executors without edits.
  void run_whole(const std::atomic<bool>* cancel = nullptr);
  [[nodiscard]] double scalar(std::string_view name) const;
  /// Host copy of a floating-point buffer that is still alive after the last step, widened to fp32.
  [[nodiscard]] std::vector<float> download(BufferId id) const;
  /// An f32 buffer in the order of the device's work: `host` holds it once a later Backend::mark() is
  /// reached.
  void download_later(BufferId id, std::span<float> host) const;

  /// Runs forward, loss and backward again on `inputs` and names the first buffer with a value that is not
  /// finite, in the words of a sentence ("blocks.0.mlp.hook_pre[3, 17] = inf"). A mask's own −∞ does not
  /// count.
  [[nodiscard]] std::string first_non_finite(const RunInputs& inputs);

  [[nodiscard]] const Program& program() const { return *program_; }
  [[nodiscard]] Phase last_phase() const { return options_.last; }
  /// Where a buffer lies on the backend while the executor lives; null where it is not materialised.
  [[nodiscard]] void* memory(BufferId id) const { return memory_[static_cast<size_t>(id)]; }
  /// Bytes of the arena that the plan asked for.
  [[nodiscard]] size_t arena_bytes() const { return plan_.bytes; }

 private:
  void plan_recording();
  void bind();
  void release_arena();
  void run_step(int step);
  void apply_edits(int step);
  void upload(BufferId id, std::span<const float> values);
  // What a step wrote, or with −1 what no step writes, is asked for as far as the capture names it.
  void record(int step, PendingRun& pending);
  void keep(BufferId id, PendingRun& pending);
  void ask_for(BufferId id, const ElementRange& range, Recorded& data, PendingRun& pending);
  void watch(BufferId id, PendingRun& pending);
  /// Elements of a floating-point buffer as fp32 in memory of their own on the device; null where the backend
  /// has none to share.
  [[nodiscard]] std::shared_ptr<const float> copy_on_device(BufferId id, const ElementRange& range);
  /// Elements of a floating-point buffer, widened.
  [[nodiscard]] std::vector<float> download(BufferId id, const ElementRange& range) const;

  std::shared_ptr<const Program> program_;
  kernels::Backend& backend_;
  Parameters& parameters_;
  Options options_;
  int steps_ = 0;  ///< of the phases that are run
  CapturePlan captured_;
  std::vector<bool> wanted_;  ///< by buffer: somebody looks at it
  MemoryPlan plan_;
  DeviceMemory arena_;
  std::unique_ptr<kernels::Recording> recording_;  ///< of run_whole(); names memory of the arena
  int whole_runs_ = 0;
  std::unique_ptr<Watcher> watcher_;
  std::unique_ptr<kernels::Stopwatch> stopwatch_;  ///< of run(); made by the first one
  std::vector<void*> memory_;                      ///< by buffer; null: not materialised
  std::vector<std::vector<size_t>> edits_at_;      ///< by step: indices into options_.edits
};

/// Unique id for a new Run.
[[nodiscard]] uint64_t next_run_id();

}  // namespace headlight
