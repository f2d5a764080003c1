// The engine's requests about the model: open, switch, reset, corpus, save.
#include <algorithm>
#include <numeric>

#include "core/base/error.h"
#include "core/engine/worker.h"
#include "core/run/run_file.h"

namespace headlight {

namespace {
constexpr std::chrono::milliseconds kProgressEvery{50};
}

void Engine::Worker::forget_training() {
  trainer_.reset();
  resume_.reset();
  history_.clear();
  history_changed_ = true;
  status_ = TrainingStatus::idle;
  training_ = counted_training_ = false;
  failure_.clear();
  smoothed_rate_ = 0;
}

void Engine::Worker::adopt(OpenedSource source) {
  // The new model is whole before the old one goes.
  forget_training();
  drop_probe();
  predictor_.reset();
  on(CloseDuel{});
  run_.reset();
  shelf_.clear();
  edits_.clear();
  generated_.clear();
  generate_left_ = 0;
  model_ = std::move(source.model);
  corpus_ = std::move(source.corpus);
  train_config_ = source.train;
  resume_ = source.trainer;
  history_ = std::move(source.history);
  predictor_ = std::make_unique<Predictor>(model_);
  if (model_.tokenizer) return on(SetPrompt{default_prompt(model_, corpus_.get())});
  try {
    need_tokenizer(model_, "token ids, as in prompt.tokens 1,2,3");
  } catch (const Error& error) {
    notify(Notice::Level::warning, error.what());
  }
  // Without a text to begin with, the first ids stand there until somebody gives others.
  std::vector<int32_t> ids(
      static_cast<size_t>(std::min({int64_t{8}, model_.config.vocab_size, model_.config.n_positions})));
  std::iota(ids.begin(), ids.end(), 0);
  set_prompt_tokens(std::move(ids));
}

void Engine::Worker::on(const OpenPreset& request) { adopt(open_builtin(request.name, *backend_)); }

void Engine::Worker::on(const OpenFolder& request) {
  auto shown_at = Clock::now();
  const auto show = [&](double fraction) {
    if (Clock::now() - shown_at < kProgressEvery) return;
    shown_at = Clock::now();
    loading_ = LoadingState{request.path, fraction};
    publish();
  };
  OpenedSource source;
  try {
    source = open_folder(request.path, *backend_, show);
  } catch (...) {
    loading_.reset();
    throw;
  }
  loading_.reset();
  if (!source.remark.empty()) notify(Notice::Level::warning, source.remark);
  // The text at hand stays when the model knows its vocabulary.
  if (!source.corpus && corpus_ && source.model.tokenizer &&
      source.model.tokenizer->kind() == corpus_->tokenizer()->kind() &&
      source.model.tokenizer->vocab_size() == corpus_->vocab_size()) {
    source.corpus = corpus_;
  }
  adopt(std::move(source));
}

void Engine::Worker::drop_programs() {
  if (trainer_) resume_ = trainer_->state();
  trainer_.reset();
  drop_probe();
  predictor_.reset();
  on(CloseDuel{});
}

void Engine::Worker::free_caches() {
  drop_probe();
  probe_due_ = true;
  if (predictor_) predictor_ = std::make_unique<Predictor>(model_);
  if (trainer_ && !training_) {
    resume_ = trainer_->state();
    trainer_.reset();
  }
  backend_->release_caches();
}

void Engine::Worker::on(const SetDevice& request) {
  std::unique_ptr<kernels::Backend> other = options_.open_device(request.kind, options_.threads);
  if (other->kind() == backend_->kind()) return;
  if (!model_.parameters) {
    backend_ = std::move(other);
    return;
  }
  // Whole on the new device before the old one is left: weights, moments, the probe's memory and the
  // trainer's.
  std::unique_ptr<Parameters> parameters;
  try {
    parameters = std::make_unique<Parameters>(*other, *model_.parameters);
  } catch (const OutOfMemory& error) {
    fail("{}; it stays on {}", error.what(), backend_->description());
  }
  drop_programs();
  const auto exchange = [&] {
    std::swap(backend_, other);
    std::swap(model_.parameters, parameters);
    predictor_ = std::make_unique<Predictor>(model_);
  };
  exchange();
  try {
    ensure_probe();
    if (training_) ensure_trainer();
  } catch (...) {
    drop_programs();
    exchange();
    throw;
  }
  memory_of_.reset();
  probe_due_ = true;
  notify(Notice::Level::info, fmt::format("the model runs on {} now", backend_->description()));
}

void Engine::Worker::replace_parameters(const ModelConfig& config) {
  auto fresh = std::make_unique<Parameters>(*backend_, config, model_.seed);
  for (const Parameters::Entry& entry : model_.parameters->entries()) {
    if (fresh->find(entry.spec.name) == nullptr)
      shelf_[entry.spec.name] = model_.parameters->download(entry.value, entry);
  }
  fresh->copy_matching(*model_.parameters);
  for (const Parameters::Entry& entry : fresh->entries()) {
    const auto kept = shelf_.find(entry.spec.name);
    if (kept == shelf_.end() || model_.parameters->find(entry.spec.name) != nullptr) continue;
    if (static_cast<int64_t>(kept->second.size()) == entry.spec.shape.count()) {
      fresh->upload(entry.value, entry, kept->second);
    }
    shelf_.erase(kept);
  }
  drop_programs();
  model_.parameters = std::move(fresh);
  model_.config = config;
  predictor_ = std::make_unique<Predictor>(model_);
}

void Engine::Worker::on(const ChangeConfig& request) {
  if (!model_.parameters) fail("there is no model yet; open one first");
  validate(request.config);
  if (model_.tokenizer && request.config.vocab_size < model_.tokenizer->vocab_size()) {
    fail("vocab_size {} is smaller than the {} {} of the text; set vocab_size={}", request.config.vocab_size,
         model_.tokenizer->vocab_size(), model_.tokenizer->kind(), model_.tokenizer->vocab_size());
  }
  if (request.config == model_.config) return;
  replace_parameters(request.config);
  train_config_.T = std::min(train_config_.T, request.config.n_positions);
  if (resume_) resume_->config.T = train_config_.T;
  set_prompt_tokens(prompt_tokens_);
}

void Engine::Worker::on(const ResetModel& request) {
  if (!model_.parameters) fail("there is no model yet; open one first");
  auto fresh = std::make_unique<Parameters>(*backend_, model_.config, request.seed);
  forget_training();
  drop_probe();
  predictor_.reset();
  on(CloseDuel{});
  shelf_.clear();
  model_.parameters = std::move(fresh);
  model_.seed = request.seed;
  model_.trained = false;
  train_config_.seed = request.seed;
  predictor_ = std::make_unique<Predictor>(model_);
  probe_due_ = true;
}

void Engine::Worker::on(const OpenCorpus& request) {
  if (!model_.parameters) fail("there is no model yet; open one first");
  if (request.path.empty()) {
    std::shared_ptr<const Corpus> stories = builtin_stories(train_config_.T);
    if (model_.tokenizer && model_.tokenizer->kind() == "words" &&
        model_.tokenizer->vocab_size() == stories->vocab_size()) {
      trainer_.reset();
      corpus_ = std::move(stories);
      return;
    }
    ModelConfig config = model_.config;
    config.vocab_size = stories->vocab_size();
    OpenedSource source;
    source.model = make_model(model_.name, config, stories->tokenizer(), *backend_, model_.seed);
    source.train = train_config_;
    source.corpus = std::move(stories);
    adopt(std::move(source));
    return;
  }
  // A model that knows every character already, or takes any bytes, keeps its weights; otherwise the text
  // needs another vocabulary, and that a fresh model.
  if (model_.tokenizer && model_.tokenizer->kind() != "words") {
    try {
      corpus_ = std::make_shared<const Corpus>(Corpus::from_text_file(request.path, model_.tokenizer));
      if (trainer_) resume_ = trainer_->state();
      trainer_.reset();
      probe_due_ = true;
      return;
    } catch (const Error&) {
      // The file itself may be at fault: reading it afresh below says so.
    }
  }
  auto corpus = std::make_shared<const Corpus>(Corpus::from_text_file(request.path));
  ModelConfig config = model_.config;
  config.vocab_size = corpus->vocab_size();
  OpenedSource source;
  source.train = train_config_;
  source.train.T = std::min(source.train.T, corpus->longest_window());
  source.model = make_model(model_.name, config, corpus->tokenizer(), *backend_, model_.seed);
  source.corpus = std::move(corpus);
  adopt(std::move(source));
  notify(Notice::Level::info,
         fmt::format("{}: {} characters in the vocabulary, {} tokens to train on; the model starts fresh",
                     corpus_->name(), corpus_->vocab_size(), corpus_->tokens(Split::train).size()));
}

void Engine::Worker::on(const SaveFolder& request) {
  if (!model_.parameters) fail("there is no model yet; open one first");
  std::optional<TrainerState> state = resume_;
  if (trainer_) state = trainer_->state();
  save_model_folder(request.path, model_, state, history_);
  model_.folder = request.path;
  notify(Notice::Level::info, fmt::format("saved to {}", request.path));
}

void Engine::Worker::on(const ExportRun& request) {
  if (!run_) fail("there is no run to export yet");
  write_run(request.path, *run_);
  notify(Notice::Level::info, fmt::format("{} buffers written to {}",
                                          std::count_if(run_->recorded.begin(), run_->recorded.end(),
                                                        [](const auto& data) { return data != nullptr; }),
                                          request.path));
}

}  // namespace headlight
