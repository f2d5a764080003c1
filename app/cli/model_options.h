// What subcommands that work on a model share: --model, --preset, --set, --threads, and opening what they
// name.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/engine/builtin.h"
#include "core/train/memory_use.h"
#include "kernels/backend.h"

namespace headlight::cli {

struct ModelOptions {
  std::string model;  ///< folder or built-in name
  std::string preset;
  std::vector<std::string> sets;  ///< "key=value" of the model's and the training's config
  int64_t seed = -1;              ///< of fresh weights; negative: the preset's
  int threads = 0;
  std::string device = "auto";
  std::string tokenizer;  ///< folder of the tokenizer that a preset takes with its text; empty: characters

  void add_to(CLI::App& command);
};

/// "key=value" cut in two. Throws Error naming the text.
[[nodiscard]] std::pair<std::string, std::string> split_setting(const std::string& text);

/// The backend that --device names. Throws Error with the reason where there is no such device.
[[nodiscard]] std::unique_ptr<kernels::Backend> open_backend(const ModelOptions& options);

/// The model that --model or --preset name (neither: the default one), with --set applied: keys of the model
/// start it afresh with that config unless it is a switch that keeps every weight. `text` is the corpus file
/// of a preset, empty: the stories.
[[nodiscard]] OpenedSource open_source(const ModelOptions& options, const std::string& text,
                                       kernels::Backend& backend);

/// Ids of --prompt or --tokens ("1,2,3"). Throws Error.
[[nodiscard]] std::vector<int32_t> prompt_tokens(const Model& model, const std::string& prompt,
                                                 const std::string& tokens);

/// Bytes by what they are for, with their total, as `--json` prints them.
[[nodiscard]] nlohmann::json memory_to_json(const MemoryUse& use);

/// A progress bar on a terminal; silent in a pipe.
class Progress {
 public:
  explicit Progress(std::string what);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  /// `done` of `total`, with a few words behind the bar.
  void show(int64_t done, int64_t total, const std::string& words);

 private:
  std::string what_;
  bool terminal_ = false;
  int last_permille_ = -1;
};

}  // namespace headlight::cli
