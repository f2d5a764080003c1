// The engine's requests about the prompt, training and generation.
#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/engine/worker.h"

namespace headlight {

namespace {
constexpr int64_t kSampleTokens = 60;
}  // namespace

void Engine::Worker::on(const SetPrompt& request) {
  need_tokenizer(model_, "token ids, as in prompt.tokens 1,2,3");
  const Encoded encoded = model_.tokenizer->encode(request.text);
  if (!encoded.unknown.empty()) fail("{}", describe_unknown(encoded, *model_.tokenizer));
  if (encoded.ids.empty()) fail("the prompt is empty; type at least one token");
  set_prompt_tokens(encoded.ids);
}

void Engine::Worker::on(const SetPromptTokens& request) {
  if (request.tokens.empty()) fail("the prompt is empty; give at least one token");
  for (const int32_t id : request.tokens) {
    if (id < 0 || id >= model_.config.vocab_size) {
      fail("token {} is outside the vocabulary of {}; ids run from 0 to {}", id, model_.config.vocab_size,
           model_.config.vocab_size - 1);
    }
  }
  set_prompt_tokens(request.tokens);
}

void Engine::Worker::set_prompt_tokens(std::vector<int32_t> tokens) {
  const auto longest = static_cast<size_t>(model_.config.n_positions);
  if (tokens.size() > longest) {
    notify(Notice::Level::warning,
           fmt::format("the prompt has {} tokens, but n_positions is {}; its last {} are shown",
                       tokens.size(), longest, longest));
    tokens.assign(tokens.end() - static_cast<std::ptrdiff_t>(longest), tokens.end());
  }
  prompt_.clear();
  for (const int32_t id : tokens) prompt_ += display_token(model_.tokenizer.get(), id);
  prompt_tokens_ = std::move(tokens);
  generated_.clear();
  probe_due_ = true;
}

void Engine::Worker::on(const SetSampler& request) {
  validate(request.sampler);
  sampler_ = request.sampler;
  refresh_candidates();
}

void Engine::Worker::ensure_trainer() {
  if (trainer_) return;
  if (!model_.parameters) fail("there is no model yet; open one first");
  if (!corpus_) fail("there is no text to train on; open a text file or the built-in stories");
  trainer_ = std::make_unique<Trainer>(model_, corpus_, train_config_);
  if (resume_) {
    TrainerState state = *resume_;
    state.config = train_config_;
    trainer_->restore(state);
    resume_.reset();
  }
}

void Engine::Worker::on(const Train& request) {
  ensure_trainer();
  const int64_t now = trainer_->steps_done();
  // Past the planned end, a plain "train" goes on without one.
  train_until_ = request.steps > 0                                 ? now + request.steps
                 : request.steps == 0 && now < train_config_.steps ? train_config_.steps
                                                                   : -1;
  training_ = true;
  counted_training_ = request.steps > 0;
  status_ = TrainingStatus::running;
  failure_.clear();
}

void Engine::Worker::on(const PauseTraining&) {
  if (training_) stop_training(TrainingStatus::paused);
}

void Engine::Worker::stop_training(TrainingStatus status) {
  training_ = counted_training_ = false;
  status_ = status;
  probe_due_ = true;  // what is shown is what the training left behind
}

void Engine::Worker::on(const SetTrainConfig& request) {
  validate_for_training(request.config);
  if (trainer_) {
    try {
      trainer_->configure(request.config);
    } catch (...) {
      if (!trainer_->ready()) {
        resume_ = trainer_->state();
        trainer_.reset();
      }
      throw;
    }
  } else if (model_.parameters) {
    const auto weights = static_cast<size_t>(model_.parameters->count()) * sizeof(float);
    check_training_fits(model_.config, request.config, *backend_, weights);
  }
  train_config_ = request.config;
  // The entropy floor belongs to a window length, and so does the stories' corpus.
  if (corpus_ && corpus_->entropy_floor(1).has_value() && corpus_->longest_window() != train_config_.T) {
    if (trainer_) resume_ = trainer_->state();
    trainer_.reset();
    corpus_ = builtin_stories(train_config_.T);
  }
  drop_probe();
  probe_due_ = true;
}

void Engine::Worker::train_step() {
  try {
    with_memory([this] { ensure_trainer(); });
    trainer_->begin_step();
    if (predictor_) predictor_->forget();
    last_token_.reset();
    lens_due_ = false;      // the weights that the run was made with are gone
    duel_.running = false;  // both ways would have to start again
    const int64_t step = trainer_->steps_done();
    const auto due = [&](int64_t every) { return every > 0 && (step % every == 0 || step == 1); };
    const bool evaluates = due(train_config_.eval_every), samples = due(train_config_.sample_every);
    const bool ends = train_until_ >= 0 && step >= train_until_;
    collect_points(evaluates || samples || ends);
    if (!training_) return;
    if (evaluates) history_.add(ValidationPoint{step, trainer_->evaluate()});
    if (samples) history_.add(SamplePoint{step, sample_text()});
    if (ends) stop_training(step >= train_config_.steps ? TrainingStatus::finished : TrainingStatus::paused);
  } catch (const std::exception& error) {
    fail_training(error.what());
  }
}

void Engine::Worker::collect_points(bool wait) {
  if (!trainer_) return;
  try {
    do {
      std::vector<HistoryPoint> points = trainer_->finished(wait);
      if (points.empty()) return;
      for (HistoryPoint& point : points) {
        smoothed_rate_ = smoothed_rate_ == 0 ? point.tokens_per_second
                                             : 0.9 * smoothed_rate_ + 0.1 * point.tokens_per_second;
        history_.add(std::move(point));
      }
      history_changed_ = true;
    } while (wait);
  } catch (const std::exception& error) {
    fail_training(error.what());
  }
}

void Engine::Worker::fail_training(std::string why) {
  failure_ = std::move(why);
  notify(Notice::Level::error, failure_);
  stop_training(TrainingStatus::failed);
}

std::string Engine::Worker::sample_text() {
  // Always with the default sampler, so that texts of different steps compare.
  Predictor predictor(model_);
  Random random(train_config_.seed + static_cast<uint64_t>(trainer_->steps_done()));
  const std::span<const int32_t> held_out = corpus_->tokens(Split::validation);
  std::vector<int32_t> tokens(held_out.begin(), held_out.begin() + 1);
  std::string text = display_token(corpus_->tokenizer().get(), tokens[0]);
  for (int64_t i = 0; i < kSampleTokens; ++i) {
    tokens.push_back(predictor.draw(tokens, SamplerConfig{}, random).token);
    text += display_token(corpus_->tokenizer().get(), tokens.back());
  }
  return text;
}

void Engine::Worker::on(const Generate& request) {
  validate(request.sampler);
  if (prompt_tokens_.empty()) fail("the prompt is empty; type at least one token");
  // The same seed gives the same continuation of the same prompt.
  if (!(request.sampler == sampler_) || generated_.empty()) sampler_random_ = Random(request.sampler.seed);
  sampler_ = request.sampler;
  generate_left_ = std::max<int64_t>(0, request.count);
}

void Engine::Worker::on(const CancelGeneration&) {
  generate_left_ = 0;
  duel_.running = false;
}

void Engine::Worker::generate_one() {
  try {
    const auto start = Clock::now();
    Draw drawn;
    with_memory([&] { drawn = predictor_->draw(prompt_tokens_, sampler_, sampler_random_); });
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    generate_left_ -= 1;
    std::vector<GeneratedToken> generated = generated_;
    generated.push_back(
        {drawn.token, drawn.probability, drawn.entropy, drawn.u, drawn.low, drawn.high, seconds});
    std::vector<int32_t> tokens = prompt_tokens_;
    tokens.push_back(drawn.token);
    // A full context slides without a word about it each token.
    const auto longest = static_cast<size_t>(model_.config.n_positions);
    if (tokens.size() > longest)
      tokens.erase(tokens.begin(), tokens.end() - static_cast<std::ptrdiff_t>(longest));
    set_prompt_tokens(std::move(tokens));
    generated_ = std::move(generated);
  } catch (const std::exception& error) {
    generate_left_ = 0;
    notify(Notice::Level::error, error.what());
  }
}

}  // namespace headlight
