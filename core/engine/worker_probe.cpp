// The probe: the prompt run and recorded for the views, whole or its last token with a cache; what is
// recorded, the candidates for the next token and the logit lens.
#include <algorithm>
#include <numeric>
#include <utility>

#include "core/base/error.h"
#include "core/engine/worker.h"
#include "core/model/builder.h"

namespace headlight {

namespace {
/// The probe may take this share of a training's time.
constexpr double kProbeShare = 0.1;
/// Up to this many tokens the digests of every stage of attention cost next to nothing.
constexpr int64_t kMostTokensOfAllDigests = 128;
/// Multiplications of a logit lens that are done before its run is shown: a few milliseconds.
constexpr double kLensAtOnce = 1e8;
}  // namespace

void Engine::Worker::on(const SetEdits& request) {
  std::vector<Edit> before = std::move(edits_);
  edits_ = request.edits;
  drop_probe();
  probe_due_ = true;
  try {
    ensure_probe();
  } catch (...) {
    edits_ = std::move(before);
    throw;
  }
}

void Engine::Worker::on(const SetCapture& request) {
  const bool same_program = capture_.fused == request.fused;
  capture_ = request;
  probe_due_ = true;
  if (!probe_executor_) return;
  // Planning the same steps again would cost a large model more than running them.
  if (!same_program || probe_executor_->last_phase() != probe_phase()) {
    probe_executor_.reset();
    return;
  }
  try {
    probe_executor_->set_capture(probe_capture(probe_executor_->program().T()));
  } catch (...) {
    probe_executor_.reset();
    throw;
  }
}

Capture Engine::Worker::probe_capture(int64_t T) const {
  Capture capture = capture_.capture;
  capture.watched.insert(capture.watched.begin(), {.glob = "unembed.hook_out", .rows = 1});
  capture.digests.push_back("blocks.*.attn.hook_pattern");
  if (T <= kMostTokensOfAllDigests) {
    capture.digests.push_back("blocks.*.attn.hook_scores_*");
    capture.digests.push_back("blocks.*.attn.hook_attn_scores");
  }
  return capture;
}

Phase Engine::Worker::probe_phase() const {
  if (capture_.last) return *capture_.last;
  return count_parameters(model_.config).total() <= most_parameters_updated_unasked ? Phase::update
                                                                                    : Phase::loss;
}

void Engine::Worker::ensure_probe() {
  const auto T = static_cast<int64_t>(prompt_tokens_.size());
  if (!model_.parameters || T == 0) return;
  if (cache_ && why_whole_prompt().empty()) {
    probe_executor_.reset();
    return;
  }
  last_token_.reset();
  if (probe_executor_ && probe_executor_->program().T() == T) return;
  ProgramOptions options;
  options.backward = options.update = true;
  // Edits reach buffers that a rewrite would not materialise.
  options.fused = capture_.fused && edits_.empty();
  options.train = train_config_;
  options.precision = train_config_.precision;
  options.checkpointing = train_config_.checkpoint;
  options.edits = edits_;
  probe_executor_.reset();
  try {
    probe_executor_ =
        std::make_unique<Executor>(build_program(model_.config, 1, T, options), *backend_, *model_.parameters,
                                   Executor::Options{probe_capture(T), edits_, false, {}, probe_phase()});
  } catch (const OutOfMemory& error) {
    throw OutOfMemory(
        fmt::format("{}; {}", error.what(),
                    what_prompt_would_fit(model_.config, T, options, backend_->available_bytes())));
  }
}

void Engine::Worker::drop_probe() {
  probe_under_way_.reset();
  probe_executor_.reset();
  last_token_.reset();
}

void Engine::Worker::on(const SetCache& request) {
  cache_ = request.weights;
  told_whole_prompt_.clear();
  drop_probe();
  probe_due_ = true;
}

std::string Engine::Worker::why_whole_prompt() const {
  if (!cache_ || !model_.parameters) return "";
  if (!edits_.empty())
    return "edits reach all of its tokens, and the cache holds what they were without them";
  return why_no_cache(model_);
}

std::shared_ptr<const Run> Engine::Worker::run_probe(const RunInputs& inputs) {
  ensure_probe();
  if (probe_executor_) return probe_executor_->run(inputs, &cancel_probe_);
  if (!last_token_) last_token_ = std::make_unique<LastTokenPass>(model_, *cache_);
  return last_token_->record(prompt_tokens_, probe_capture(1), capture_.fused, &cancel_probe_);
}

int64_t Engine::Worker::training_step() const {
  return trainer_ ? trainer_->steps_done() : resume_ ? resume_->step : 0;
}

RunInputs Engine::Worker::probe_inputs() const {
  RunInputs inputs;
  inputs.tokens = prompt_tokens_;
  inputs.targets.assign(prompt_tokens_.begin() + 1, prompt_tokens_.end());
  inputs.targets.push_back(-1);
  inputs.learning_rate = learning_rate_at(train_config_, training_step());
  inputs.adam_step = training_step() + 1;
  inputs.beta1 = train_config_.beta1;
  inputs.beta2 = train_config_.beta2;
  return inputs;
}

void Engine::Worker::probe() {
  lens_due_ = false;
  probe_under_way_.reset();
  if (!model_.parameters || prompt_tokens_.empty()) {
    probe_due_ = false;
    return;
  }
  const auto start = Clock::now();
  try {
    std::shared_ptr<const Run> recorded;
    with_memory([&] { recorded = run_probe(probe_inputs()); });
    show(*recorded, training_step());
  } catch (const Cancelled&) {
    probe_due_ = true;  // something newer is in the queue; after it the probe runs again
    return;
  } catch (const std::exception& error) {
    fail_probe(error);
  }
  plan_next_probe(start, std::chrono::duration<double>(Clock::now() - start).count());
}

bool Engine::Worker::probe_beside_training() {
  if (!probe_under_way_ && Clock::now() < next_probe_) return false;
  // The lens is read with the weights of the run, and a pass with a cache goes through a decoder.
  if (lens_.on || cache_ || !model_.parameters || prompt_tokens_.empty()) {
    probe();
    return true;
  }
  if (!probe_under_way_) {
    const auto start = Clock::now();
    try {
      with_memory([&] {
        ensure_probe();
        probe_under_way_ = {probe_executor_->start(probe_inputs(), &cancel_probe_), training_step(), start};
      });
    } catch (const Cancelled&) {
      probe_due_ = true;
      return false;
    } catch (const std::exception& error) {
      fail_probe(error);
      plan_next_probe(start, std::chrono::duration<double>(Clock::now() - start).count());
      return true;
    }
    probe_under_way_->host_seconds = std::chrono::duration<double>(Clock::now() - start).count();
  }
  if (!probe_under_way_->run->ready()) return false;
  finish_probe();
  return true;
}

void Engine::Worker::finish_probe() {
  if (!probe_under_way_) return;
  const ProbeUnderWay under_way = std::exchange(probe_under_way_, std::nullopt).value();
  const auto start = Clock::now();
  // What the device did for it, or what it took of this thread, which gives the device its steps.
  double cost = under_way.host_seconds;
  try {
    const std::shared_ptr<const Run> recorded = under_way.run->finish();
    cost = std::max(cost, std::accumulate(recorded->step_seconds.begin(), recorded->step_seconds.end(), 0.0));
    show(*recorded, under_way.step);
  } catch (const std::exception& error) {
    fail_probe(error);
  }
  cost += std::chrono::duration<double>(Clock::now() - start).count();
  plan_next_probe(under_way.start, cost);
}

void Engine::Worker::show(const Run& recorded, int64_t step) {
  auto run = std::make_shared<Run>(recorded);
  run->config = model_.config;
  run->training_step = step;
  run->lens = first_lens(*run);
  run_ = std::move(run);
  recording_failure_.reset();
  refresh_candidates();
  probe_due_ = false;
  tell_why_whole_prompt();
}

void Engine::Worker::fail_probe(const std::exception& error) {
  probe_due_ = false;
  drop_probe();
  recording_failure_ = std::make_shared<const RecordingFailure>(RecordingFailure{capture_, error.what()});
  notify(Notice::Level::error, error.what());
}

void Engine::Worker::plan_next_probe(Clock::time_point start, double cost) {
  const double wait = std::max(1.0 / options_.snapshots_per_second, cost / kProbeShare);
  next_probe_ =
      start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(cost + wait));
}

void Engine::Worker::refresh_candidates() {
  candidates_.clear();
  if (!run_) return;
  const auto id = run_->program().find("unembed.hook_out");
  if (!id) return;
  const Shape& shape = run_->program().buffer(*id).shape;
  const std::span<const float> logits = run_->range(*id, part_range({.rows = 1}, shape));
  if (logits.empty()) return;
  try {
    candidates_ = candidates(logits, sampler_, run_->text());
  } catch (const Error& error) {
    notify(Notice::Level::error, error.what());
  }
}

void Engine::Worker::tell_why_whole_prompt() {
  const std::string why = why_whole_prompt();
  if (why == told_whole_prompt_) return;
  told_whole_prompt_ = why;
  if (!why.empty()) notify(Notice::Level::warning, fmt::format("the whole prompt is run: {}", why));
}

void Engine::Worker::on(const ReadLens& request) {
  lens_ = request;
  lens_due_ = false;
  // A run that is on its way brings its own; while weights change, the next one soon does.
  if (!lens_.on || !run_ || probe_due_ || training_) return;
  if (run_->lens && run_->lens->extent == LogitLens::Extent::all) return;
  auto run = std::make_shared<Run>(*run_);
  run->lens = first_lens(*run);
  run_ = std::move(run);
}

std::shared_ptr<const LogitLens> Engine::Worker::first_lens(const Run& run) {
  if (!lens_.on) return nullptr;
  const double work = lens_work(run);
  const bool whole = work <= kLensAtOnce;
  // While weights change, the rest would be read with others than the run's.
  lens_due_ = !whole && work <= largest_lens && !training_;
  try {
    return read_lens(run, *model_.parameters, whole ? std::nullopt : std::optional(lens_.column));
  } catch (const OutOfMemory& error) {
    // The run itself is worth showing without it.
    lens_due_ = false;
    notify(Notice::Level::warning, error.what());
    return nullptr;
  }
}

void Engine::Worker::finish_lens() {
  try {
    auto run = std::make_shared<Run>(*run_);
    run->lens = read_lens(*run, *model_.parameters, std::nullopt, &cancel_probe_);
    run_ = std::move(run);
    lens_due_ = false;
  } catch (const Cancelled&) {
    // Something newer is in the queue; unless it makes another run, the lens is read behind it.
  } catch (const std::exception& error) {
    lens_due_ = false;
    notify(Notice::Level::error, error.what());
  }
}

}  // namespace headlight
