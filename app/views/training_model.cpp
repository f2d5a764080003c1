// Numbers and sentences of the Training view.
#include "app/views/training_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "app/views/run_data.h"
#include "core/model/presets.h"

namespace headlight::app {
namespace {

constexpr std::array setting_keys = {"learning_rate", "min_learning_rate", "warmup_steps", "steps", "batch",
                                     "context",       "grad_clip",         "weight_decay", "beta1", "beta2",
                                     "eval_every",    "sample_every"};

TrainingModel::Kind kind_of(const Snapshot& snapshot) {
  using enum TrainingModel::Kind;
  const TrainingState& training = snapshot.training;
  switch (training.status) {
    case TrainingStatus::running:
      return training.step < training.config.steps ? running : running_on;
    case TrainingStatus::paused:
      return paused;
    case TrainingStatus::finished:
      return finished;
    case TrainingStatus::failed:
      return failed;
    case TrainingStatus::idle:
      break;
  }
  if (snapshot.corpus.train_tokens == 0) return no_text;
  return snapshot.model.trained ? from_file : fresh;
}

void read_history(const Snapshot& snapshot, std::optional<int64_t> step, TrainingModel& m) {
  const History& history = *snapshot.training.history;
  if (history.empty()) return;
  const int64_t first = history[0].step;
  const int64_t at = std::clamp(step.value_or(history.back().step), first, history.back().step);
  const HistoryPoint& point = history[static_cast<size_t>(at - first)];
  m.shown_step = point.step;
  m.losses[0].loss = point.train_loss;
  m.gradient_norm = point.gradient_norm;
  m.learning_rate = point.learning_rate;
  m.tokens_per_second = point.tokens_per_second;
  // The newest evaluation that was there at that step.
  const auto& held_out = history.validation();
  const auto after = std::upper_bound(held_out.begin(), held_out.end(), point.step,
                                      [](int64_t s, const ValidationPoint& p) { return s < p.step; });
  if (after != held_out.begin()) {
    m.losses[1].loss = std::prev(after)->loss;
    m.validation_step = std::prev(after)->step;
  }
}

std::string value_text(const nlohmann::json& value) {
  if (!value.is_number_float()) return value.is_string() ? value.get<std::string>() : value.dump();
  return fmt::format("{:g}", value.get<double>());
}

}  // namespace

std::optional<double> LossRow::perplexity() const {
  return loss ? std::optional(std::exp(*loss)) : std::nullopt;
}

TrainingModel prepare_training(const Snapshot& snapshot, std::optional<int64_t> step) {
  const TrainingState& training = snapshot.training;
  TrainingModel m;
  m.kind = kind_of(snapshot);
  m.step = training.step;
  m.planned = training.config.steps;
  m.failure = training.failure;
  if (m.kind == TrainingModel::Kind::running && training.tokens_per_second > 0) {
    const auto tokens = static_cast<double>((m.planned - m.step) * training.config.B * training.config.T);
    m.seconds_left = tokens / training.tokens_per_second;
  }

  using enum LossRow::Kind;
  m.losses = {LossRow{train, {}}, LossRow{validation, {}}, LossRow{floor, snapshot.corpus.entropy_floor},
              LossRow{uniform, std::log(static_cast<double>(snapshot.model.config.vocab_size))}};
  read_history(snapshot, step, m);

  const nlohmann::json settings = train_config_to_json(training.config);
  for (const char* key : setting_keys) m.settings.push_back({key, value_text(settings.at(key))});
  m.schedule = training.config.schedule;
  m.precision = training.config.precision;
  m.checkpoint = training.config.checkpoint;
  m.memory = snapshot.memory;
  m.memory_available = snapshot.memory_available;
  m.clip = training.config.grad_clip;

  const ParameterCount& count = snapshot.model.parameters;
  m.parameters = count.total();
  const std::array<std::pair<std::string_view, int64_t>, 6> parts = {{{"embedding", count.embedding},
                                                                      {"position", count.position},
                                                                      {"attention", count.attention},
                                                                      {"mlp", count.mlp},
                                                                      {"norm", count.norm},
                                                                      {"unembedding", count.unembedding}}};
  for (const auto& [key, number] : parts)
    if (number > 0)
      m.parts.push_back({key, number, static_cast<double>(number) / static_cast<double>(m.parameters)});
  m.model_name = snapshot.model.name;
  for (const Preset& preset : presets())
    if (preset.name == m.model_name) m.model_title = {preset.title_en, preset.title_vi};

  m.corpus = snapshot.corpus.name;
  m.train_tokens = snapshot.corpus.train_tokens;
  m.validation_tokens = snapshot.corpus.validation_tokens;
  m.vocabulary = snapshot.model.config.vocab_size;
  if (snapshot.model.tokenizer) m.token_kind = snapshot.model.tokenizer->kind();
  return m;
}

std::string training_sentence(const Strings& strings, Language language, const TrainingModel& m) {
  const auto say = [&](std::string_view key, const auto&... values) {
    return fmt::format(fmt::runtime(strings.get(language, key)), values...);
  };
  using enum TrainingModel::Kind;
  switch (m.kind) {
    case no_text:
      return say("training_view.status.no_text");
    case fresh:
      return say("training_view.status.fresh", number_text(*m.losses[3].loss));
    case from_file:
      return say("training_view.status.from_file", grouped_text(m.step));
    case running:
      return m.seconds_left
                 ? say("training_view.status.running", grouped_text(m.step), grouped_text(m.planned),
                       duration_text(*m.seconds_left))
                 : say("training_view.status.running_first", grouped_text(m.step), grouped_text(m.planned));
    case running_on:
      return say("training_view.status.running_on", grouped_text(m.step), grouped_text(m.planned));
    case paused:
      return say("training_view.status.paused", grouped_text(m.step), grouped_text(m.planned));
    case finished:
      return say("training_view.status.finished", grouped_text(m.step));
    case failed:
      return say("training_view.status.failed", m.failure);
  }
  return {};
}

std::string gradient_part_name(const Strings& strings, Language language, size_t part, size_t parts) {
  if (part == 0) return strings.get(language, "training_view.part.embeddings");
  if (part + 1 == parts) return strings.get(language, "training_view.part.end");
  return fmt::format(fmt::runtime(strings.get(language, "training_view.part.block")), part - 1);
}

std::string duration_text(double seconds) {
  if (seconds < 90) return fmt::format("{:.0f} s", std::ceil(seconds));
  if (seconds < 90 * 60) return fmt::format("{:.0f} min", seconds / 60);
  return fmt::format("{:.1f} h", seconds / 3600);
}

}  // namespace headlight::app
