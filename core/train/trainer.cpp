// See trainer.h.
#include "core/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/error.h"
#include "core/tape/op.h"
#include "core/train/memory_use.h"
#include "core/train/training_program.h"

namespace headlight {

namespace {
/// The embeddings' gradient norm comes first, the blocks' follow, the final norm's and the unembedding's are
/// last.
int group_of(std::string_view parameter, int64_t L) {
  if (parameter.starts_with("wte") || parameter.starts_with("wpe")) return 0;
  if (parameter.starts_with("h.")) return 1 + std::stoi(std::string(parameter.substr(2)));
  return static_cast<int>(L) + 1;
}
}  // namespace

Trainer::Trainer(Model& model, std::shared_ptr<const Corpus> corpus, const TrainConfig& config)
    : model_(model), corpus_(std::move(corpus)), config_(config), random_(config.seed) {
  build();
}

Trainer::~Trainer() = default;

void Trainer::build() {
  validate_for_training(config_);
  if (corpus_->vocab_size() > model_.config.vocab_size) {
    fail(
        "the text \"{}\" has {} different {}, but the model's vocab_size is {}; set vocab_size={} or start a "
        "fresh model",
        corpus_->name(), corpus_->vocab_size(), corpus_->tokenizer()->kind(), model_.config.vocab_size,
        corpus_->vocab_size());
  }
  corpus_->check_window(config_.T);
  kernels::Backend& backend = model_.parameters->backend();
  check_training_fits(model_.config, config_, backend, held_bytes());
  Executor::Options run_options;
  run_options.capture = {{}, 0};
  run_options.update_in_place = true;
  train_.reset();  // the old arena goes before the new one comes
  eval_.reset();
  Parameters& parameters = *model_.parameters;
  train_ = std::make_unique<Executor>(training_program(model_.config, config_, has_joint_steps(backend)),
                                      backend, parameters, run_options);
  eval_ = std::make_unique<Executor>(evaluation_program(model_.config, config_), backend, parameters,
                                     Executor::Options{{{}, 0}, {}, false});
  gate_unset_ = true;

  norm_group_.clear();
  const Program& program = train_->program();
  for (const Step& step : program.steps()) {
    if (step.op->kind() != "squared_norms") continue;
    for (const BufferId id : step.inputs)
      norm_group_.push_back(group_of(program.buffer(id).name, model_.config.n_layer));
  }
}

size_t Trainer::held_bytes() const {
  const auto weights = static_cast<size_t>(model_.parameters->count()) * sizeof(float);
  return weights * (model_.parameters->has_moments() ? 3 : 1) + (train_ ? train_->arena_bytes() : 0) +
         (eval_ ? eval_->arena_bytes() : 0);
}

void Trainer::begin_step() {
  kernels::Backend& backend = model_.parameters->backend();
  if (under_way_.size() >= most_under_way)
    (void)backend.reached(under_way_[under_way_.size() - most_under_way].mark, true);
  Begun& begun = under_way_.emplace_back();  // a deque does not move its elements
  begun.start = Clock::now();
  begun.random_before = random_.counter();
  RunInputs& inputs = begun.inputs;
  inputs.tokens.resize(static_cast<size_t>(config_.B * config_.T));
  inputs.targets.resize(inputs.tokens.size());
  corpus_->sample_batch(Split::train, random_, config_.B, config_.T, inputs.tokens.data(),
                        inputs.targets.data());
  inputs.learning_rate = learning_rate_at(config_, step_);
  inputs.adam_step = step_ + 1;
  inputs.beta1 = config_.beta1;
  inputs.beta2 = config_.beta2;
  inputs.dropout_seed = config_.seed + static_cast<uint64_t>(step_) * 0x9E3779B97F4A7C15ULL;
  // Steps behind a bad one must find the gate as it left it, so only the first one opens it.
  inputs.open_gate = std::exchange(gate_unset_, false);
  train_->set_inputs(inputs);
  train_->run_whole();

  const Program& program = train_->program();
  begun.squares.resize(norm_group_.size());
  train_->download_later(program.require("loss"), {&begun.loss, 1});
  train_->download_later(program.require("grad_norm"), {&begun.norm, 1});
  train_->download_later(program.require("grad_squares"), begun.squares);
  begun.mark = backend.mark();
  step_ += 1;
}

std::vector<HistoryPoint> Trainer::finished(bool wait) {
  std::vector<HistoryPoint> points;
  kernels::Backend& backend = model_.parameters->backend();
  Clock::time_point start = last_finish_;
  while (!under_way_.empty() && backend.reached(under_way_.front().mark, wait)) {
    const Begun& begun = under_way_.front();
    if (!std::isfinite(begun.loss) || !std::isfinite(begun.norm)) {
      // The points before it are handed out first; the next call finds this step again.
      if (!points.empty()) break;
      fail_non_finite();
    }
    if (points.empty()) start = std::max(start, begun.start);
    points.push_back(point_of(begun));
    under_way_.pop_front();
  }
  if (points.empty()) return points;
  model_.trained = true;
  // Steps that are seen to be done together share the time since the last look.
  last_finish_ = Clock::now();
  const std::chrono::duration<double> taken = last_finish_ - start;
  const auto tokens = static_cast<double>(points.size()) * static_cast<double>(config_.B * config_.T);
  for (HistoryPoint& point : points) point.tokens_per_second = tokens / std::max(taken.count(), 1e-9);
  return points;
}

HistoryPoint Trainer::step() {
  begin_step();
  return finished(true).back();
}

HistoryPoint Trainer::point_of(const Begun& begun) const {
  HistoryPoint point;
  point.step = begun.inputs.adam_step;
  point.train_loss = static_cast<double>(begun.loss);
  point.learning_rate = begun.inputs.learning_rate;
  point.gradient_norm = static_cast<double>(begun.norm);
  point.block_gradient_norms = block_norms(begun.squares);
  return point;
}

std::vector<float> Trainer::block_norms(const std::vector<float>& squares) const {
  std::vector<float> norms(static_cast<size_t>(model_.config.n_layer) + 2, 0.0F);
  for (size_t i = 0; i < squares.size(); ++i) norms[static_cast<size_t>(norm_group_[i])] += squares[i];
  for (float& norm : norms) norm = std::sqrt(norm);
  return norms;
}

void Trainer::fail_non_finite() {
  model_.parameters->backend().synchronize();
  const Begun bad = std::move(under_way_.front());
  under_way_.clear();
  step_ = bad.inputs.adam_step - 1;
  random_ = Random(random_.seed(), bad.random_before);
  gate_unset_ = true;
  // Run the step again, looking at every buffer as it is written; the same inputs give the same bits.
  const std::string first = train_->first_non_finite(bad.inputs);
  throw NonFiniteTraining(
      fmt::format("training paused at step {}: loss {}, gradient norm {}; the first tensor that is not "
                  "finite is {}. The weights are "
                  "those of step {}; lower learning_rate (now {:.3g}) or grad_clip (now {:.3g}) and go on",
                  step_ + 1, bad.loss, bad.norm, first, step_, bad.inputs.learning_rate, config_.grad_clip));
}

double Trainer::evaluate() {
  const int64_t T = config_.T, B = config_.B;
  const int64_t windows = std::min(corpus_->eval_windows(T), config_.eval_batches * B);
  RunInputs inputs;
  inputs.tokens.resize(static_cast<size_t>(B * T));
  inputs.targets.resize(static_cast<size_t>(B * T));
  double sum = 0;
  for (int64_t first = 0; first < windows; first += B) {
    const int64_t count = std::min(B, windows - first);
    std::fill(inputs.tokens.begin(), inputs.tokens.end(), 0);
    std::fill(inputs.targets.begin(), inputs.targets.end(), -1);  // rows that fill up the batch do not count
    for (int64_t b = 0; b < count; ++b) {
      corpus_->eval_window(first + b, T, inputs.tokens.data() + b * T, inputs.targets.data() + b * T);
    }
    eval_->set_inputs(inputs);
    eval_->run_phase(Phase::forward);
    eval_->run_phase(Phase::loss);
    sum += eval_->scalar("loss") * static_cast<double>(count);
  }
  return sum / static_cast<double>(windows);
}

TrainerState Trainer::state() const { return {config_, step_, random_.seed(), random_.counter()}; }

void Trainer::restore(const TrainerState& state) {
  step_ = state.step;
  random_ = Random(state.random_seed, state.random_counter);
  if (!(state.config == config_)) configure(state.config);
}

void Trainer::configure(const TrainConfig& config) {
  const TrainConfig before = config_;
  config_ = config;
  try {
    build();
  } catch (...) {
    config_ = before;
    if (!ready()) build();
    throw;
  }
}

}  // namespace headlight
