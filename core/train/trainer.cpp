// See trainer.h.
#include "core/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "core/base/error.h"
#include "core/model/builder.h"
#include "core/tape/op.h"

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
  validate(config_);
  if (corpus_->vocab_size() > model_.config.vocab_size) {
    fail(
        "the text \"{}\" has {} different {}, but the model's vocab_size is {}; set vocab_size={} or start a "
        "fresh model",
        corpus_->name(), corpus_->vocab_size(), corpus_->tokenizer()->kind(), model_.config.vocab_size,
        corpus_->vocab_size());
  }
  corpus_->check_window(config_.T);
  ProgramOptions options;
  options.backward = options.update = options.fused = options.training = true;
  options.train = config_;
  Executor::Options run_options;
  run_options.capture = {{}, 0};
  run_options.update_in_place = true;
  train_.reset();  // the old arena goes before the new one comes
  eval_.reset();
  train_ = std::make_unique<Executor>(build_program(model_.config, config_.B, config_.T, options),
                                      model_.parameters->backend(), *model_.parameters, run_options);
  ProgramOptions eval_options;
  eval_options.fused = true;
  eval_ = std::make_unique<Executor>(build_program(model_.config, config_.B, config_.T, eval_options),
                                     model_.parameters->backend(), *model_.parameters,
                                     Executor::Options{{{}, 0}, {}, false});
  const auto size = static_cast<size_t>(config_.B * config_.T);
  inputs_.tokens.resize(size);
  inputs_.targets.resize(size);

  norm_group_.clear();
  const Program& program = train_->program();
  for (const Step& step : program.steps()) {
    if (step.op->kind() != "squared_norms") continue;
    for (const BufferId id : step.inputs)
      norm_group_.push_back(group_of(program.buffer(id).name, model_.config.n_layer));
  }
}

HistoryPoint Trainer::step() {
  const auto start = std::chrono::steady_clock::now();
  corpus_->sample_batch(Split::train, random_, config_.B, config_.T, inputs_.tokens.data(),
                        inputs_.targets.data());
  inputs_.learning_rate = learning_rate_at(config_, step_);
  inputs_.adam_step = step_ + 1;
  inputs_.beta1 = config_.beta1;
  inputs_.beta2 = config_.beta2;
  inputs_.dropout_seed = config_.seed + static_cast<uint64_t>(step_) * 0x9E3779B97F4A7C15ULL;
  train_->set_inputs(inputs_);
  train_->run_phase(Phase::forward);
  train_->run_phase(Phase::loss);
  train_->run_phase(Phase::backward);
  // The first two update steps are the gradient's length; weights are touched only when it is a number.
  const Program::Range update = train_->program().range(Phase::update);
  train_->run_steps(update.first, update.first + 2);
  const double loss = train_->scalar("loss"), norm = train_->scalar("grad_norm");
  if (!std::isfinite(loss) || !std::isfinite(norm)) fail_non_finite(loss, norm);
  train_->run_steps(update.first + 2, update.last);
  model_.parameters->backend().synchronize();
  model_.trained = true;
  step_ += 1;

  HistoryPoint point;
  point.step = step_;
  point.train_loss = loss;
  point.learning_rate = inputs_.learning_rate;
  point.gradient_norm = norm;
  point.block_gradient_norms = block_norms();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  point.tokens_per_second = static_cast<double>(config_.B * config_.T) / std::max(seconds, 1e-9);
  return point;
}

std::vector<float> Trainer::block_norms() const {
  const std::vector<float> squares = train_->download(train_->program().require("grad_squares"));
  std::vector<float> norms(static_cast<size_t>(model_.config.n_layer) + 2, 0.0F);
  for (size_t i = 0; i < squares.size(); ++i) norms[static_cast<size_t>(norm_group_[i])] += squares[i];
  for (float& norm : norms) norm = std::sqrt(norm);
  return norms;
}

void Trainer::fail_non_finite(double loss, double norm) {
  // Run the step again, looking at every buffer as it is written; the same inputs give the same bits.
  const std::string first = train_->first_non_finite(inputs_);
  throw NonFiniteTraining(
      fmt::format("training paused at step {}: loss {}, gradient norm {}; the first tensor that is not "
                  "finite is {}. The weights are "
                  "those of step {}; lower learning_rate (now {:.3g}) or grad_clip (now {:.3g}) and go on",
                  step_ + 1, loss, norm, first, step_, inputs_.learning_rate, config_.grad_clip));
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
    build();
    throw;
  }
}

}  // namespace headlight
