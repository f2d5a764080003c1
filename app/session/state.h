// What the user has set up: small structs with one owner each. All of it is a value: undo keeps copies, the
// session file holds it as JSON, commands are the only writers.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "app/i18n/strings.h"
#include "app/render/color_map.h"
#include "app/theme/theme.h"
#include "core/infer/packed_weights.h"
#include "core/model/config.h"
#include "core/run/edit.h"
#include "core/run/run.h"
#include "core/text/sampler.h"
#include "core/train/schedule.h"

namespace headlight::app {

enum class ViewId { pass, attention, residual, training, generate, tokens };
inline constexpr int view_count = 6;
/// "pass", "attention", …: in commands, files and on the command line.
[[nodiscard]] std::string_view view_name(ViewId id);
[[nodiscard]] std::optional<ViewId> view_from_name(std::string_view name);

/// Where the pass stands: the step's name, so that it survives a change of the program.
struct Playhead {
  std::string step;  ///< empty: the last pattern of the forward pass, or what comes nearest
  bool operator==(const Playhead&) const = default;
};

/// A cell by name, so that it survives a new run.
struct CellPick {
  std::string buffer;
  int64_t offset = 0;
  bool operator==(const CellPick&) const = default;
};

/// Which part of the model the views look at.
/// Starts at the induction head of the model that the window opens on; clamped to what a model has.
struct Selection {
  int block = 1;
  int head = 1;
  bool operator==(const Selection&) const = default;
};

enum class Compare { a, b, difference };

/// What was pinned to be looked at or compared with.
struct Pins {
  std::optional<CellPick> cell;
  std::shared_ptr<const Run> run;  ///< "B"; not saved
  Compare compare = Compare::a;
  bool operator==(const Pins&) const = default;
};

/// The model, its switches and the prompt as the user wants them; an empty optional leaves it to the model.
struct Probe {
  std::string preset = {};  ///< preset or built-in model; empty when `folder` is set
  std::string folder = {};  ///< in Hugging Face layout
  std::optional<ModelConfig> config = {};
  std::optional<std::string> prompt = {};
  std::vector<Edit> edits = {};
  SamplerConfig sampler = {};
  std::optional<TrainConfig> train = {};
  std::string corpus = {};  ///< text file; empty: the built-in stories
  /// Of the prompt run the last token alone, with a cache and weights stored like this; not saved.
  std::optional<WeightStorage> cache = {};
  bool operator==(const Probe&) const = default;
};

/// True where the prompt of such a model can be run with a cache.
[[nodiscard]] bool can_use_cache(const ModelConfig& config, const Probe& probe);

/// How the window looks.
struct Layout {
  ViewId view = ViewId::pass;
  ThemeKind theme = ThemeKind::dark;
  Language language = Language::english;
  double zoom = 1;
  ColorMap magnitudes = ColorMap::viridis;
  bool motion = true;
  bool presenter = false;
  bool tree = true, inspector = true, bottom = true;
  /// Groups of the tree that are not as by default (forward open, backward and update closed).
  std::set<std::string> toggled_groups;
  /// Small settings of the views by name ("attention.stage" → "softmax").
  std::map<std::string, std::string, std::less<>> options;
  bool operator==(const Layout&) const = default;
};

struct SessionState {
  Playhead playhead;
  Selection selection;
  Pins pins;
  Probe probe;
  Layout layout;
  bool operator==(const SessionState&) const = default;

  /// A view's setting, or `fallback` where the user has not set it.
  [[nodiscard]] std::string option(std::string_view key, std::string_view fallback) const;
};

}  // namespace headlight::app
