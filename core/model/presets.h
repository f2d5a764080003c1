// Models that come with Headlight: the menu of the window and `--preset NAME`.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/model/config.h"
#include "core/train/schedule.h"

namespace headlight {

struct Preset {
  std::string name;      ///< "nano"
  std::string title_en;  ///< what it is, in a few words
  std::string title_vi;
  ModelConfig config;  ///< vocab_size is that of the built-in stories, or GPT-2's for one-head
  TrainConfig train;
  /// Without a text of the user's own, keep config.vocab_size although the stories need less.
  bool keep_vocabulary = false;
};

/// nano (the default, first), llama-nano (S9's block at the size of nano), one-head (S5), block (S7), multi-block (S6), mini (S11).
[[nodiscard]] std::span<const Preset> presets();

/// Throws Error with the nearest name and the whole list.
[[nodiscard]] const Preset& find_preset(std::string_view name);

}  // namespace headlight
