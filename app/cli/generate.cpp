// `headlight generate`: continues one prompt or several, token by token.
#include <fmt/format.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "app/cli/model_options.h"
#include "app/cli/subcommands.h"
#include "core/base/error.h"
#include "core/infer/generation.h"

namespace headlight::cli {
namespace {

struct GenerateOptions {
  ModelOptions model;
  std::vector<std::string> prompts;
  std::string batch, tokens, weights = "fp32";
  GenerationOptions generation;
  double memory_limit_mb = 0;
  bool no_cache = false, stop_when_full = false, json = false;
};

std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free);

/// One prompt a line; empty lines are left out.
std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream file(path);
  if (!file) fail("{} cannot be read; give a text file with one prompt a line", path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) lines.push_back(line);
  }
  if (lines.empty()) fail("{} holds no prompt; write one a line", path);
  return lines;
}

nlohmann::json sequence_json(const GeneratedSequence& sequence, const std::string& prompt,
                             const Tokenizer* tokenizer) {
  nlohmann::json tokens = nlohmann::json::array();
  for (size_t i = 0; i < sequence.tokens.size(); ++i) {
    const Draw& draw = sequence.draws[i];
    tokens.push_back({{"token", draw.token},
                      {"text", display_token(tokenizer, draw.token)},
                      {"probability", draw.probability},
                      {"probability_before_cuts", draw.before},
                      {"entropy", draw.entropy},
                      {"u", draw.u},
                      {"share", {draw.low, draw.high}},
                      {"kept", draw.kept},
                      {"seconds", sequence.seconds[i]}});
  }
  nlohmann::json result = {{"prompt", prompt},
                           {"prompt_tokens", sequence.prompt},
                           {"text", sequence.text},
                           {"tokens", tokens},
                           {"finish", finish_name(sequence.finish)}};
  if (!sequence.stopped_by.empty()) result["stopped_by"] = sequence.stopped_by;
  return result;
}

nlohmann::json result_json(const Generation& generation, const GenerateOptions& options,
                           const std::vector<std::string>& prompts, const Model& model) {
  const Tokenizer* tokenizer = model.tokenizer.get();
  const auto& sequences = generation.sequences();
  nlohmann::json result = nlohmann::json::object();
  if (sequences.size() == 1) {
    result = sequence_json(sequences[0], prompts[0], tokenizer);
  } else {
    result["sequences"] = nlohmann::json::array();
    for (size_t b = 0; b < sequences.size(); ++b) {
      result["sequences"].push_back(sequence_json(sequences[b], prompts[b], tokenizer));
    }
  }
  const Generation::Timing& timing = generation.timing();
  result["weights"] = weight_storage_text(options.generation.weights);
  result["cache"] = options.generation.cache && generation.no_cache().empty();
  result["fp32_weight_bytes"] = model.parameters->value_bytes();
  result["memory_bytes"] = generation.memory_bytes();
  result["prefill"] = {{"tokens", timing.prompt_tokens}, {"seconds", timing.prefill_seconds}};
  result["decode"] = {{"tokens", timing.decoded_tokens}, {"seconds", timing.decode_seconds}};
  if (generation.packed() != nullptr) {
    nlohmann::json errors = nlohmann::json::object();
    for (const PackedWeights::Tensor& tensor : generation.packed()->tensors()) {
      errors[tensor.name] = tensor.relative_error;
    }
    result["relative_errors"] = errors;
  }
  return result;
}

void generate(GenerateOptions& options) {
  GenerationOptions& asked = options.generation;
  asked.sampler.seed = options.model.seed >= 0 ? static_cast<uint64_t>(options.model.seed) : 0;
  asked.weights = parse_weight_storage(options.weights);
  asked.cache = !options.no_cache;
  asked.when_full = options.stop_when_full ? WhenFull::stop : WhenFull::slide;
  asked.memory_limit = static_cast<size_t>(options.memory_limit_mb * 1e6);
  validate(asked.sampler);
  const std::unique_ptr<kernels::Backend> backend = open_backend(options.model);
  const OpenedSource source = open_source(options.model, "", *backend);
  const Tokenizer* tokenizer = source.model.tokenizer.get();

  std::vector<std::string> texts = options.prompts;
  if (!options.batch.empty()) {
    for (std::string& line : lines_of(options.batch)) texts.push_back(std::move(line));
  }
  std::vector<std::vector<int32_t>> prompts;
  if (!options.tokens.empty()) {
    prompts.push_back(prompt_tokens(source.model, "", options.tokens));
    texts.insert(texts.begin(), "");
  } else if (texts.empty()) {
    texts.push_back(default_prompt(source.model, source.corpus.get()));
  }
  for (size_t i = prompts.size(); i < texts.size(); ++i)
    prompts.push_back(prompt_tokens(source.model, texts[i], ""));

  Generation generation(source.model, prompts, asked);
  if (const PackedWeights* packed = generation.packed()) {
    // Nothing else runs this model: what is packed need not be held twice.
    for (const PackedWeights::Tensor& tensor : packed->tensors())
      source.model.parameters->give_up(tensor.name);
  }
  if (!generation.no_cache().empty()) fmt::print(stderr, "headlight: {}\n", generation.no_cache());
  const bool streamed = !options.json && prompts.size() == 1;
  const auto prompt_text = [&](size_t b) {
    std::string text;
    for (const int32_t id : prompts[b]) text += display_token(tokenizer, id);
    return text;
  };
  if (streamed) {
    fmt::print("{}", prompt_text(0));
    std::fflush(stdout);
  }
  const auto before = std::signal(SIGINT, [](int) { interrupted.store(true, std::memory_order_relaxed); });
  const auto show = [&](const GeneratedStep& step) {
    if (!streamed) return;
    fmt::print("{}", step.text);
    std::fflush(stdout);
  };
  while (generation.step(show, &interrupted)) {
  }
  std::signal(SIGINT, before);
  if (options.json) {
    // A token may be a part of a character: U+FFFD stands for it.
    fmt::print("{}\n", result_json(generation, options, texts, source.model)
                           .dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
    return;
  }
  if (streamed) fmt::print("\n");
  for (size_t b = 0; !streamed && b < prompts.size(); ++b) {
    fmt::print("{}{}{}\n", b > 0 ? "\n" : "", prompt_text(b), generation.sequences()[b].text);
  }
}

}  // namespace

void add_generate(CLI::App& app) {
  auto options = std::make_shared<GenerateOptions>();
  GenerationOptions& generation = options->generation;
  SamplerConfig& sampler = generation.sampler;
  CLI::App* command = app.add_subcommand("generate", "continue a prompt");
  options->model.add_to(*command);
  command->add_option("--prompt", options->prompts, "text to go on from (repeat it for a batch)")
      ->allow_extra_args(false);
  command->add_option("--batch", options->batch, "file with one prompt a line: all are continued together");
  command->add_option("--tokens", options->tokens, "a prompt as token ids: 1,2,3");
  command->add_option("--max-new", generation.max_new, "tokens to append")->check(CLI::NonNegativeNumber);
  command->add_option("--temperature", sampler.temperature, "softmax temperature, above 0");
  command->add_option("--top-k", sampler.top_k, "keep the k most likely tokens (0: all)");
  command->add_option("--top-p", sampler.top_p, "keep the most likely tokens up to this probability");
  command->add_option("--min-p", sampler.min_p,
                      "keep tokens at least this share as likely as the first (0: all)");
  command->add_option("--repetition-penalty", sampler.repetition_penalty,
                      "divide the logits of tokens that occurred (1: no penalty)");
  command->add_flag("--greedy", sampler.greedy, "always the most likely token");
  command->add_option("--stop", generation.stops, "end where this text appears (repeat it for more)")
      ->allow_extra_args(false);
  command->add_option("--stop-token", generation.stop_tokens, "end at this token id (repeat it for more)")
      ->allow_extra_args(false);
  command->add_option("--weights", options->weights, "fp32, bf16, int8 or int8:32, int8:64, int8:128");
  command->add_flag("--no-cache", options->no_cache, "compute every token again for each new one");
  command->add_flag("--stop-when-full", options->stop_when_full,
                    "end when the context is full (else it slides, and each token computes all of it)");
  command->add_option("--chunk", generation.chunk, "tokens of a prompt in one pass")
      ->check(CLI::PositiveNumber);
  command->add_option("--time-limit", generation.time_limit, "seconds (0: none)")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--memory-limit", options->memory_limit_mb, "MB beside the model's own weights (0: none)")
      ->check(CLI::NonNegativeNumber);
  command->add_flag("--json", options->json, "print one JSON value");
  command->callback([options] { generate(*options); });
}

}  // namespace headlight::cli
