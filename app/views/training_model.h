// What the Training view says, worked out from a snapshot without ImGui: the state in words, losses and
// perplexities at a step, gradient norms by part, settings as text, parameters by part.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/i18n/strings.h"
#include "core/engine/snapshot.h"

namespace headlight::app {

/// One line of the table of losses.
struct LossRow {
  enum class Kind { train, validation, floor, uniform } kind = Kind::train;
  std::optional<double> loss;  ///< nats a token; empty: not measured (yet)
  [[nodiscard]] std::optional<double> perplexity() const;
};

/// One part of the model's parameters.
struct ParameterPart {
  std::string_view key;  ///< "embedding", "position", "attention", "mlp", "norm", "unembedding"
  int64_t count = 0;
  double share = 0;  ///< of all
};

/// A setting that the view edits.
struct TrainingSetting {
  std::string key;    ///< of set_train_value
  std::string value;  ///< as text
};

struct TrainingModel {
  enum class Kind { no_text, fresh, from_file, running, running_on, paused, finished, failed };
  Kind kind = Kind::fresh;
  int64_t step = 0, planned = 0;       ///< steps done; steps of the schedule
  std::optional<double> seconds_left;  ///< to the planned end at the present speed
  std::string failure;                 ///< the engine's sentence

  std::optional<int64_t> shown_step;       ///< the step that the numbers are of; empty: nothing recorded
  std::array<LossRow, 4> losses;           ///< train, validation, floor, uniform
  std::optional<int64_t> validation_step;  ///< of the validation loss
  std::optional<double> gradient_norm, learning_rate, tokens_per_second;  ///< at shown_step

  std::vector<TrainingSetting> settings;  ///< in the order of the view, the switches not among them
  Schedule schedule = Schedule::cosine;
  ElementType precision = ElementType::f32;
  bool checkpoint = false;
  double clip = 0;  ///< 0: none

  MemoryUse memory;             ///< what training takes with these settings
  size_t memory_available = 0;  ///< for it; 0: not known
  int64_t parameters = 0;
  std::vector<ParameterPart> parts;  ///< those that there are
  std::string model_name;
  std::array<std::string, 2>
      model_title;  ///< of the preset by that name, by Language; empty where it is none

  std::string corpus;  ///< empty: no text
  int64_t train_tokens = 0, validation_tokens = 0, vocabulary = 0;
  std::string token_kind;  ///< "characters", "words"; empty without a tokenizer
};

/// `step`: where the scrubber or the pointer stands; empty: the last.
[[nodiscard]] TrainingModel prepare_training(const Snapshot& snapshot, std::optional<int64_t> step);

/// The state of the training in one sentence.
[[nodiscard]] std::string training_sentence(const Strings& strings, Language language,
                                            const TrainingModel& model);

/// Parts of HistoryPoint::block_gradient_norms by name: embeddings, block 0 … L−1, end.
[[nodiscard]] std::string gradient_part_name(const Strings& strings, Language language, size_t part,
                                             size_t parts);

/// "12 s", "3 min", "1.5 h".
[[nodiscard]] std::string duration_text(double seconds);

}  // namespace headlight::app
