// The engine's thread: takes requests, does the work, publishes.
#include "core/engine/worker.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/base/thread_priority.h"
#include "core/train/training_program.h"

namespace headlight {

namespace {
constexpr size_t kNoticesKept = 8;

/// True where only the newest request of this kind counts.
bool replaces_older(const Request& request) {
  return std::holds_alternative<SetPrompt>(request) || std::holds_alternative<SetPromptTokens>(request) ||
         std::holds_alternative<SetEdits>(request) || std::holds_alternative<SetCapture>(request) ||
         std::holds_alternative<ChangeConfig>(request) || std::holds_alternative<SetSampler>(request) ||
         std::holds_alternative<SetTrainConfig>(request) || std::holds_alternative<SetCache>(request) ||
         std::holds_alternative<ReadLens>(request);
}
}  // namespace

Engine::Worker::Worker(Options options) : options_(std::move(options)) {
  backend_ = options_.open_device("cpu", options_.threads);
  publish();
  thread_ = std::thread([this] { loop(); });
}

Engine::Worker::~Worker() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    cancel_probe_ = true;
  }
  work_.notify_all();
  thread_.join();
}

void Engine::Worker::post(Request request) {
  {
    const std::lock_guard lock(mutex_);
    // An older request of the same kind that nobody began on would be work for nothing, as long as nothing
    // that depends on it stands between.
    if (!queue_.empty() && replaces_older(request) && queue_.back().index() == request.index()) {
      queue_.back() = std::move(request);
    } else {
      queue_.push_back(std::move(request));
    }
    cancel_probe_ = true;
  }
  work_.notify_all();
}

std::shared_ptr<const Snapshot> Engine::Worker::snapshot() const {
  const std::lock_guard lock(mutex_);
  return published_;
}

void Engine::Worker::drain() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return stopping_ || (queue_.empty() && !busy_); });
}

void Engine::Worker::loop() {
  lower_thread_priority();
  if (options_.device != "cpu") {
    Request device = SetDevice{options_.device};
    handle(device);
  }
  while (true) {
    std::deque<Request> requests;
    {
      std::unique_lock lock(mutex_);
      const bool waits_for_nobody = queue_.empty() && !counted_training_ && generate_left_ == 0 &&
                                    !duel_.running && !probe_due_ && !lens_due_;
      if (waits_for_nobody && busy_) {
        busy_ = false;
        idle_.notify_all();
      }
      work_.wait(lock,
                 [this] { return stopping_ || !queue_.empty() || has_work() || probe_due_ || lens_due_; });
      if (stopping_) break;
      requests.swap(queue_);
      busy_ = busy_ || !requests.empty();
      cancel_probe_ = false;
    }
    // A request finds the training between two steps, and no probe under way.
    if (!requests.empty()) {
      finish_probe();
      collect_points(true);
    }
    for (Request& request : requests) handle(request);
    if (training_) train_step();
    if (generate_left_ > 0) generate_one();
    // The lens is read off the run that there is.
    const bool lens_alone =
        !requests.empty() && std::all_of(requests.begin(), requests.end(), [](const Request& request) {
          return std::holds_alternative<ReadLens>(request);
        });
    const bool duelled = duel_.running;
    if (duelled) duel_one();
    if (duelled && !probe_due_ && requests.empty()) publish();
    if (lens_alone && !probe_due_) {
      publish();
    } else if (probe_due_ || !requests.empty()) {
      probe();
      if (devices_.empty())
        devices_ = list_devices();  // behind the first picture: asking a driver takes time
      publish();
    } else if (training_ && probe_beside_training()) {
      collect_points(false);
      publish();
    } else if (lens_due_) {
      finish_lens();
      publish();
    }
  }
  const std::lock_guard lock(mutex_);
  idle_.notify_all();
}

void Engine::Worker::handle(Request& request) {
  try {
    with_memory([&] { std::visit([this](const auto& r) { on(r); }, request); });
  } catch (const std::exception& error) {
    notify(Notice::Level::error, error.what());
  }
}

void Engine::Worker::measure_memory() {
  if (!model_.parameters) return;
  std::pair<ModelConfig, TrainConfig> now{model_.config, train_config_};
  if (memory_of_ == now) return;
  memory_of_ = std::move(now);
  memory_ = {};
  memory_available_ = 0;
  try {
    memory_ = memory_of_training(model_.config, train_config_, has_joint_steps(*backend_));
  } catch (const Error&) {
    return;  // settings that no training can start with: their own sentence comes when it is tried
  }
  memory_available_ = backend_->available_bytes();
  if (memory_available_ == 0) return;
  memory_available_ +=
      trainer_ ? trainer_->held_bytes() : static_cast<size_t>(model_.parameters->count()) * 4;
}

void Engine::Worker::notify(Notice::Level level, std::string text) {
  notices_.push_back({level, next_notice_++, std::move(text)});
  if (notices_.size() > kNoticesKept) notices_.erase(notices_.begin());
}

void Engine::Worker::publish() {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->version = ++version_;
  snapshot->model = {model_.name,  model_.config,  count_parameters(model_.config),
                     model_.seed,  model_.trained, model_.tokenizer,
                     model_.folder};
  if (corpus_) {
    snapshot->corpus = {corpus_->name(), static_cast<int64_t>(corpus_->tokens(Split::train).size()),
                        static_cast<int64_t>(corpus_->tokens(Split::validation).size()),
                        corpus_->entropy_floor(train_config_.T)};
  }
  if (history_changed_) {
    published_history_ = std::make_shared<const History>(history_);
    history_changed_ = false;
  }
  snapshot->training.status = status_;
  snapshot->training.step = training_step();
  snapshot->training.config = train_config_;
  snapshot->training.history = published_history_;
  snapshot->training.tokens_per_second = smoothed_rate_;
  snapshot->training.failure = failure_;
  snapshot->generation = {generate_left_ > 0, generated_, candidates_};
  snapshot->duel = duel_;
  snapshot->prompt = prompt_;
  snapshot->prompt_tokens = prompt_tokens_;
  snapshot->run = run_;
  snapshot->recording_failure = recording_failure_;
  snapshot->notices = notices_;
  snapshot->device = backend_->description();
  snapshot->device_kind = backend_->kind();
  snapshot->devices = devices_;
  measure_memory();
  snapshot->memory = memory_;
  snapshot->memory_available = memory_available_;
  snapshot->busy = has_work() || loading_.has_value();
  snapshot->loading = loading_;
  {
    const std::lock_guard lock(mutex_);
    published_ = std::move(snapshot);
  }
  if (options_.wake) options_.wake();
}

}  // namespace headlight
