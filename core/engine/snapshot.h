// What the engine publishes: an immutable picture of the model, the current run and the training. The window
// reads the newest one each frame and never waits for it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/engine/devices.h"
#include "core/model/config.h"
#include "core/run/run.h"
#include "core/text/sampler.h"
#include "core/text/tokenizer.h"
#include "core/train/history.h"
#include "core/train/memory_use.h"
#include "core/train/schedule.h"

namespace headlight {

/// The model that the runs come from.
struct ModelState {
  std::string name;  ///< preset, built-in name or folder
  ModelConfig config;
  ParameterCount parameters;
  uint64_t seed = 0;
  bool trained = false;  ///< weights came from a file or from training, not fresh from the seed
  std::shared_ptr<const Tokenizer> tokenizer;
  std::string folder;  ///< where it was opened from or last saved; empty: nowhere yet
};

/// The text that it trains on.
struct CorpusState {
  std::string name;
  int64_t train_tokens = 0, validation_tokens = 0;
  std::optional<double> entropy_floor;  ///< nats a token, where the source is known
};

enum class TrainingStatus { idle, running, paused, finished, failed };

struct TrainingState {
  TrainingStatus status = TrainingStatus::idle;
  int64_t step = 0;
  TrainConfig config;
  std::shared_ptr<const History> history;  ///< never null
  double tokens_per_second = 0;            ///< smoothed
  std::string failure;                     ///< the sentence, when failed
};

/// One token that generation appended, with what it was chosen from.
struct GeneratedToken {
  int32_t token = 0;
  double probability = 0;
  double entropy = 0;        ///< of the untruncated distribution, nats
  double u = 0;              ///< the random number
  double low = 0, high = 1;  ///< the token's share of [0, 1): u fell into it
  double seconds = 0;        ///< model and sampler
};

struct GenerationState {
  bool running = false;
  std::vector<GeneratedToken> tokens;  ///< appended since the request, in order
  std::vector<Candidate> candidates;   ///< for the next token, after the current prompt, most probable first
};

/// One token of the KV-cache duel, by both ways.
struct DuelToken {
  int32_t token = 0;
  bool same = true;  ///< both ways drew it; false: `token` is the cached way's
  struct Way {
    double seconds = 0;
    int64_t computed = 0;  ///< tokens that went through the model
    size_t kept = 0;       ///< bytes that stay between tokens: keys and values
    size_t work = 0;       ///< bytes of activations while it ran
  } cached, plain;
};

struct DuelState {
  bool running = false;
  int64_t prompt = 0;  ///< tokens of the prompt
  int64_t asked = 0;   ///< tokens to append; 0: there is no duel
  std::vector<DuelToken> tokens;
};

/// A sentence for a toast.
struct Notice {
  enum class Level { info, warning, error } level = Level::info;
  uint64_t id = 0;  ///< grows by one
  std::string text;
};

/// A model being read from its folder.
struct LoadingState {
  std::string path;
  double fraction = 0;  ///< of its bytes
};

/// What the probe records and how far it runs: a request to the engine, and part of what it answers.
struct SetCapture {
  /// The engine adds what it needs itself: the last logits and the digests of every pattern.
  Capture capture;
  /// The last phase that the probe runs; nothing: all of them, but for a model so large that gradients and
  /// updates would take longer and more memory than everything else only as far as the loss.
  std::optional<Phase> last;
  bool fused = false;  ///< run the rewritten program
  bool operator==(const SetCapture&) const = default;
};

/// A recording that could not be made, with the sentence that says why.
struct RecordingFailure {
  SetCapture asked;
  std::string sentence;
};

struct Snapshot {
  uint64_t version = 0;
  ModelState model;
  CorpusState corpus;
  TrainingState training;
  GenerationState generation;
  DuelState duel;
  std::string prompt;                  ///< as text
  std::vector<int32_t> prompt_tokens;  ///< what the run was made on
  std::shared_ptr<const Run> run;      ///< null only before the first one
  /// Set while what was asked for last cannot be recorded; `run` is then an older one.
  std::shared_ptr<const RecordingFailure> recording_failure;
  std::vector<Notice> notices;       ///< the last few
  std::string device;                ///< "CPU ×2"
  std::string device_kind;           ///< "cpu" or "cuda"
  std::vector<DeviceState> devices;  ///< what can be chosen and what cannot, with the reason
  MemoryUse memory;                  ///< what training the model takes, before it is allocated
  size_t memory_available = 0;       ///< for it, on this device; 0: not known
  bool busy = false;                 ///< a request is being worked on
  std::optional<LoadingState> loading;
};

}  // namespace headlight
