// The engine: one thread that owns the model, takes requests and publishes snapshots. Used by the window; the
// command line calls the same core without the thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/engine/devices.h"
#include "core/engine/snapshot.h"
#include "core/infer/packed_weights.h"
#include "core/run/edit.h"
#include "core/run/run.h"
#include "core/text/sampler.h"
#include "core/train/schedule.h"

namespace headlight {

// Requests. Those that replace an older one of their kind (prompt, switches, edits, capture, lens) are
// coalesced: only the newest is worked on.

/// A fresh model of a preset on its default corpus, or a built-in trained model by name.
struct OpenPreset {
  std::string name;
};
/// A folder in Hugging Face layout.
struct OpenFolder {
  std::string path;
};
/// A model with another config. Weights whose names and shapes still fit are kept; others come from the seed,
/// so that only the switch differs.
struct ChangeConfig {
  ModelConfig config;
};
/// Fresh weights from a seed; training starts at step 0.
struct ResetModel {
  uint64_t seed = 0;
};
struct SetPrompt {
  std::string text;
};
struct SetPromptTokens {
  std::vector<int32_t> tokens;
};
struct SetEdits {
  std::vector<Edit> edits;
};
/// How the probe runs the prompt from now on.
struct SetCache {
  /// Nothing: the whole prompt in one pass. Else its last token alone, with weights stored like this, and the
  /// keys and values of the other tokens out of a cache. Where there can be no cache, or while there are
  /// edits, the whole prompt is run all the same, with a notice.
  std::optional<WeightStorage> weights;
};
/// Whether runs come with their logit lens from now on.
struct ReadLens {
  bool on = false;
  /// The token whose column comes first, and alone where the whole lens is too much work; −1: the last one.
  int64_t column = -1;
  bool operator==(const ReadLens&) const = default;
};
struct Train {
  /// Steps to do; 0: until TrainConfig::steps, negative: without end.
  int64_t steps = 0;
};
struct PauseTraining {};
struct SetTrainConfig {
  TrainConfig config;
};
/// Train on this UTF-8 text file (empty path: the built-in stories).
struct OpenCorpus {
  std::string path;
};
struct Generate {
  int64_t count = 1;
  SamplerConfig sampler;
};
/// Ends generation and a duel; what they have done so far stays.
struct CancelGeneration {};
/// The KV-cache duel: the same continuation of the prompt with a cache of keys and values and without, token
/// by token, timed. The prompt itself does not change.
struct Duel {
  int64_t count = 1;
  SamplerConfig sampler;
};
/// Forgets the duel's result.
struct CloseDuel {};
/// Sampler shown in the candidates of the next token.
struct SetSampler {
  SamplerConfig sampler;
};
struct SaveFolder {
  std::string path;
};
/// Captured run as safetensors keyed by hook name.
struct ExportRun {
  std::string path;
};

/// The most parameters that the probe runs backward and update on without being asked to: their gradients,
/// moments and new values take 28 bytes each.
inline constexpr int64_t most_parameters_updated_unasked = 20'000'000;

/// Moves weights, moments, probe and training to another device: "cpu", "cuda", or "auto" (CUDA where it
/// works). Where that fails everything stays where it is.
struct SetDevice {
  std::string kind;
};

using Request =
    std::variant<OpenPreset, OpenFolder, ChangeConfig, ResetModel, SetPrompt, SetPromptTokens, SetEdits,
                 SetCapture, SetCache, ReadLens, Train, PauseTraining, SetTrainConfig, OpenCorpus, Generate,
                 CancelGeneration, Duel, CloseDuel, SetSampler, SaveFolder, ExportRun, SetDevice>;

/// Owns the thread. All members may be called from any thread and none waits for the work.
class Engine {
 public:
  struct Options {
    int threads = 0;             ///< 0: one for each core
    std::string device = "cpu";  ///< to start on; where it cannot be had, the CPU with a notice
    DeviceOpener open_device = headlight::open_device;
    double snapshots_per_second = 30;
    std::function<void()> wake;  ///< called from the engine's thread after each publication
  };
  explicit Engine(Options options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  void post(Request request);
  /// The newest snapshot; never null.
  [[nodiscard]] std::shared_ptr<const Snapshot> snapshot() const;
  /// Waits until every request posted before is worked off and published (training steps posted with a
  /// positive count included). For tests, `render` and closing; the frame loop never calls it.
  void drain();

 private:
  class Worker;
  std::unique_ptr<Worker> worker_;
};

}  // namespace headlight
