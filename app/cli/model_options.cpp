// See model_options.h.
#include "app/cli/model_options.h"

#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/engine/devices.h"
#include "core/model/config_json.h"
#include "core/model/presets.h"

namespace headlight::cli {

void ModelOptions::add_to(CLI::App& command) {
  auto* model_option =
      command.add_option("--model", model, "model folder (Hugging Face layout) or built-in name");
  command
      .add_option("--preset", preset,
                  "fresh model of a preset: nano, llama-nano, one-head, block, multi-block, mini")
      ->excludes(model_option);
  command.add_option("--set", sets, "key=value of the model's or the training's config (repeat it for more)")
      ->allow_extra_args(false);
  command.add_option("--seed", seed, "seed of weights, batches and sampling");
  command.add_option("--threads", threads, "CPU threads (0: one for each core)")->check(CLI::Range(0, 1024));
  command.add_option("--device", device, "cpu, cuda or auto")->check(CLI::IsMember({"cpu", "cuda", "auto"}));
}

std::pair<std::string, std::string> split_setting(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    fail("--set takes key=value, as in --set n_head=8, but was given \"{}\"", text);
  return {text.substr(0, equals), text.substr(equals + 1)};
}

std::unique_ptr<kernels::Backend> open_backend(const ModelOptions& options) {
  return open_device(options.device, options.threads);
}

OpenedSource open_source(const ModelOptions& options, const std::string& text, kernels::Backend& backend) {
  std::shared_ptr<const Corpus> corpus;
  OpenedSource source;
  if (!options.preset.empty()) {
    (void)find_preset(options.preset);  // a mistyped name should not wait for the text to be read
    if (!text.empty()) {
      corpus = std::make_shared<const Corpus>(
          options.tokenizer.empty() ? Corpus::from_text_file(text)
                                    : Corpus::from_text_file(text, load_tokenizer(options.tokenizer)));
    }
    std::optional<uint64_t> seed;
    if (options.seed >= 0) seed = static_cast<uint64_t>(options.seed);
    source = open_preset(options.preset, corpus, backend, seed);
  } else {
    const std::string name = options.model.empty() ? default_model_name : options.model;
    std::error_code ignored;
    const bool is_folder =
        name.find('/') != std::string::npos || std::filesystem::is_directory(name, ignored);
    if (is_folder) {
      Progress progress("opening");
      source = open_folder(name, backend, [&](double fraction) {
        progress.show(static_cast<int64_t>(fraction * 1000), 1000, name);
      });
      if (!source.remark.empty()) fmt::print(stderr, "{}\n", source.remark);
    } else {
      source = open_builtin(name, backend);
    }
    if (!text.empty()) {
      source.corpus = std::make_shared<const Corpus>(
          source.model.tokenizer ? Corpus::from_text_file(text, source.model.tokenizer)
                                 : Corpus::from_text_file(text));
    }
    if (options.seed >= 0) source.train.seed = static_cast<uint64_t>(options.seed);
  }
  ModelConfig config = source.model.config;
  for (const std::string& setting : options.sets) {
    const auto [key, value] = split_setting(setting);
    if (is_train_key(key)) {
      set_train_value(source.train, key, value);
    } else {
      set_config_value(config, key, value);
    }
  }
  validate(source.train);
  if (!(config == source.model.config)) {
    validate(config);
    Model changed = make_model(source.model.name, config, source.model.tokenizer, backend, source.model.seed);
    if (source.model.trained) changed.parameters->copy_matching(*source.model.parameters);
    changed.trained = source.model.trained;
    changed.folder = source.model.folder;
    source.model = std::move(changed);
  }
  return source;
}

std::vector<int32_t> prompt_tokens(const Model& model, const std::string& prompt, const std::string& tokens) {
  std::vector<int32_t> ids;
  if (!tokens.empty()) {
    ids = parse_token_ids("--tokens", tokens);
  } else {
    need_tokenizer(model, "--tokens 1,2,3 instead of --prompt");
    ids = encode_all(*model.tokenizer, prompt);
  }
  if (ids.empty()) fail("the prompt is empty; give at least one token");
  for (const int32_t id : ids) {
    if (id < 0 || id >= model.config.vocab_size) {
      fail("token {} is outside the vocabulary of {}; ids run from 0 to {}", id, model.config.vocab_size,
           model.config.vocab_size - 1);
    }
  }
  return ids;
}

nlohmann::json memory_to_json(const MemoryUse& use) {
  return {{"parameters", use.parameters},
          {"moments", use.moments},
          {"gradients", use.gradients},
          {"activations", use.activations},
          {"total", use.total()}};
}

Progress::Progress(std::string what) : what_(std::move(what)), terminal_(isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() {
  if (terminal_ && last_permille_ >= 0) std::fputs("\n", stderr);
}

void Progress::show(int64_t done, int64_t total, const std::string& words) {
  const int permille = total > 0 ? static_cast<int>(done * 1000 / total) : 0;
  if (!terminal_ || permille == last_permille_) return;
  last_permille_ = permille;
  constexpr int width = 30;
  std::string bar(static_cast<size_t>(permille * width / 1000), '#');
  bar.resize(width, '.');
  fmt::print(stderr, "\r{} [{}] {:3d} %  {}\x1b[K", what_, bar, permille / 10, words);
  std::fflush(stderr);
}

}  // namespace headlight::cli
