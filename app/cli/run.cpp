// `headlight run`: one recorded pass, every captured buffer written under its hook name.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "app/cli/model_options.h"
#include "app/cli/subcommands.h"
#include "core/base/error.h"
#include "core/infer/last_token.h"
#include "core/model/builder.h"
#include "core/run/executor.h"
#include "core/run/predictor.h"
#include "core/run/run_file.h"
#include "core/train/memory_use.h"

namespace headlight::cli {
namespace {

struct RunOptions {
  ModelOptions model;
  std::string prompt, tokens, out;
  std::vector<std::string> hooks, edits;
  bool gradients = false, fused = false, json = false, cached = false;
  std::string weights = "fp32";
  double budget_mb = 2048;
};

/// The whole prompt in one pass.
std::shared_ptr<const Run> run_whole(const RunOptions& options, const OpenedSource& source,
                                     const std::vector<int32_t>& tokens, const Capture& capture) {
  ProgramOptions program_options;
  for (const std::string& text : options.edits) program_options.edits.push_back(parse_edit(text));
  program_options.backward = options.gradients;
  program_options.fused = options.fused;
  program_options.precision = source.train.precision;
  program_options.checkpointing = source.train.checkpoint;
  RunInputs inputs;
  inputs.tokens = tokens;
  inputs.targets.assign(tokens.begin() + 1, tokens.end());
  inputs.targets.push_back(-1);
  const auto program =
      build_program(source.model.config, 1, static_cast<int64_t>(tokens.size()), program_options);
  for (const std::string& glob : options.hooks) {
    if (program->match(glob).empty()) (void)program->require(glob);
  }
  Parameters& parameters = *source.model.parameters;
  Executor executor(program, parameters.backend(), parameters, {capture, program_options.edits});
  auto recorded = std::make_shared<Run>(*executor.run(inputs));
  recorded->config = source.model.config;
  return recorded;
}

/// The last token alone, with the others in a cache.
std::shared_ptr<const Run> run_cached(const RunOptions& options, const OpenedSource& source,
                                      const std::vector<int32_t>& tokens, const Capture& capture) {
  if (options.gradients || !options.edits.empty())
    fail("--cached runs the last token alone and forward only; leave --grad and --edit away");
  LastTokenPass pass(source.model, parse_weight_storage(options.weights));
  auto recorded = pass.record(last_window(tokens, source.model.config.n_positions), capture, options.fused);
  for (const std::string& glob : options.hooks) {
    if (recorded->program().match(glob).empty()) (void)recorded->program().require(glob);
  }
  return recorded;
}

void run(const RunOptions& options) {
  if (!options.cached && options.weights != "fp32")
    fail("--weights {} belongs to a pass with a cache; add --cached", options.weights);
  const std::unique_ptr<kernels::Backend> backend = open_backend(options.model);
  const OpenedSource source = open_source(options.model, "", *backend);
  const std::string prompt = options.prompt.empty() && options.tokens.empty()
                                 ? default_prompt(source.model, source.corpus.get())
                                 : options.prompt;
  const std::vector<int32_t> tokens = prompt_tokens(source.model, prompt, options.tokens);
  Capture capture;
  if (!options.hooks.empty()) capture.globs = options.hooks;
  capture.budget_bytes = static_cast<size_t>(options.budget_mb * 1e6);
  const std::shared_ptr<const Run> recorded = options.cached ? run_cached(options, source, tokens, capture)
                                                             : run_whole(options, source, tokens, capture);
  const Program& program = recorded->program();
  if (!options.out.empty()) write_run(options.out, *recorded);

  size_t captured = 0;
  double seconds = 0;
  for (const auto& data : recorded->recorded) captured += data ? 1 : 0;
  for (const double s : recorded->step_seconds) seconds += s;
  const MemoryUse memory = memory_of_run(source.model.config, program);
  if (options.json) {
    nlohmann::json result = {{"model", source.model.name},        {"tokens", tokens},
                             {"steps", program.steps().size()},   {"captured", captured},
                             {"bytes", recorded->captured_bytes}, {"left_out", recorded->left_out},
                             {"milliseconds", seconds * 1e3}};
    result["cached"] = options.cached;
    result["device"] = backend->description();
    result["memory"] = memory_to_json(memory);
    result["loss"] = std::isfinite(recorded->loss) ? nlohmann::json(recorded->loss) : nlohmann::json(nullptr);
    if (!options.out.empty()) result["out"] = options.out;
    fmt::print("{}\n", result.dump(2));
    return;
  }
  if (options.cached) {
    fmt::print("{}: the last of {} tokens with the others in a cache, {} steps in {:.2f} ms\n",
               source.model.name, tokens.size(), program.steps().size(), seconds * 1e3);
  } else {
    fmt::print("{}: {} tokens, {} steps in {:.2f} ms, loss {}\n", source.model.name, tokens.size(),
               program.steps().size(), seconds * 1e3,
               std::isfinite(recorded->loss) ? fmt::format("{:.4f}", recorded->loss)
               : tokens.size() == 1          ? "undefined (one token has no target)"
                                             : "not a finite number (look at --edit and --set)");
  }
  if (!options.out.empty())
    fmt::print("{} buffers, {:.1f} MB, written to {}\n", captured,
               static_cast<double>(recorded->captured_bytes) / 1e6, options.out);
  if (!recorded->left_out.empty()) {
    fmt::print("{} buffers did not fit into --budget {:.0f} MB and were left out, {} among them\n",
               recorded->left_out.size(), options.budget_mb, recorded->left_out.front());
  }
}

}  // namespace

void add_run(CLI::App& app) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = app.add_subcommand("run", "run a prompt and write what happened inside");
  options->model.add_to(*command);
  command->add_option("--prompt", options->prompt, "text to run on");
  command->add_option("--tokens", options->tokens, "the prompt as token ids: 1,2,3");
  command
      ->add_option("--hook", options->hooks,
                   "buffers to capture: a glob like blocks.*.attn.hook_pattern (repeat it for more)")
      ->allow_extra_args(false);
  command
      ->add_option("--edit", options->edits,
                   "an intervention like blocks.1.attn.hook_z:head=2:zero (repeat it for more)")
      ->allow_extra_args(false);
  command->add_flag("--grad", options->gradients,
                    "run the backward pass too; gradients are captured as NAME_grad");
  command->add_flag("--fused", options->fused, "run the fused program");
  command->add_flag("--cached", options->cached,
                    "run the last token alone, with the keys and values of the others in a cache");
  command->add_option("--weights", options->weights,
                      "with --cached: fp32, bf16, int8 or int8:32, int8:64, int8:128");
  command->add_option("--budget", options->budget_mb, "megabytes to capture at most")
      ->check(CLI::PositiveNumber);
  command->add_option("--out", options->out, "safetensors file for the captured buffers");
  command->add_flag("--json", options->json, "print one JSON value");
  command->callback([options] { run(*options); });
}

}  // namespace headlight::cli
