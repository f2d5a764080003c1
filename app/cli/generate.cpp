// `headlight generate`: continues a prompt, token by token.
#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/cli/model_options.h"
#include "app/cli/subcommands.h"
#include "core/base/error.h"
#include "core/run/predictor.h"

namespace headlight::cli {
namespace {

struct GenerateOptions {
  ModelOptions model;
  std::string prompt, tokens;
  int64_t max_new = 50;
  SamplerConfig sampler;
  bool json = false;
};

void generate(GenerateOptions& options) {
  options.sampler.seed = options.model.seed >= 0 ? static_cast<uint64_t>(options.model.seed) : 0;
  validate(options.sampler);
  const std::unique_ptr<kernels::Backend> backend = open_backend(options.model);
  const OpenedSource source = open_source(options.model, "", *backend);
  const Tokenizer* tokenizer = source.model.tokenizer.get();
  const std::string prompt = options.prompt.empty() && options.tokens.empty()
                                 ? default_prompt(source.model, source.corpus.get())
                                 : options.prompt;
  std::vector<int32_t> ids = prompt_tokens(source.model, prompt, options.tokens);
  const size_t prompt_size = ids.size();

  Predictor predictor(source.model);
  Random random(options.sampler.seed);
  nlohmann::json drawn = nlohmann::json::array();
  std::string text;
  if (!options.json) {
    for (const int32_t id : ids) fmt::print("{}", display_token(tokenizer, id));
  }
  for (int64_t i = 0; i < options.max_new; ++i) {
    const Predictor::Drawn next = predictor.draw(ids, options.sampler, random);
    ids.push_back(next.token);
    const std::string piece = display_token(tokenizer, next.token);
    text += piece;
    if (options.json) {
      drawn.push_back({{"token", next.token},
                       {"text", piece},
                       {"probability", next.probability},
                       {"entropy", next.entropy}});
    } else {
      fmt::print("{}", piece);
      std::fflush(stdout);
    }
  }
  if (!options.json) {
    fmt::print("\n");
    return;
  }
  const nlohmann::json result = {
      {"prompt", prompt},
      {"prompt_tokens",
       std::vector<int32_t>(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(prompt_size))},
      {"text", text},
      {"tokens", drawn}};
  fmt::print("{}\n", result.dump(2));
}

}  // namespace

void add_generate(CLI::App& app) {
  auto options = std::make_shared<GenerateOptions>();
  CLI::App* command = app.add_subcommand("generate", "continue a prompt");
  options->model.add_to(*command);
  command->add_option("--prompt", options->prompt, "text to go on from");
  command->add_option("--tokens", options->tokens, "the prompt as token ids: 1,2,3");
  command->add_option("--max-new", options->max_new, "tokens to append")->check(CLI::NonNegativeNumber);
  command->add_option("--temperature", options->sampler.temperature, "softmax temperature, above 0");
  command->add_option("--top-k", options->sampler.top_k, "keep the k most likely tokens (0: all)");
  command->add_option("--top-p", options->sampler.top_p,
                      "keep the most likely tokens up to this probability");
  command->add_flag("--greedy", options->sampler.greedy, "always the most likely token");
  command->add_flag("--json", options->json, "print one JSON value");
  command->callback([options] { generate(*options); });
}

}  // namespace headlight::cli
