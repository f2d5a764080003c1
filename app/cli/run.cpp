// `headlight run`: one recorded pass, every captured buffer written under its hook name.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "app/cli/model_options.h"
#include "app/cli/subcommands.h"
#include "core/base/error.h"
#include "core/model/builder.h"
#include "core/run/executor.h"
#include "core/run/run_file.h"
#include "core/train/memory_use.h"

namespace headlight::cli {
namespace {

struct RunOptions {
  ModelOptions model;
  std::string prompt, tokens, out;
  std::vector<std::string> hooks, edits;
  bool gradients = false, fused = false, json = false;
  double budget_mb = 2048;
};

void run(const RunOptions& options) {
  ProgramOptions program_options;
  for (const std::string& text : options.edits) program_options.edits.push_back(parse_edit(text));
  program_options.backward = options.gradients;
  program_options.fused = options.fused;
  const std::unique_ptr<kernels::Backend> backend = open_backend(options.model);
  const OpenedSource source = open_source(options.model, "", *backend);
  program_options.precision = source.train.precision;
  program_options.checkpointing = source.train.checkpoint;
  const std::string prompt = options.prompt.empty() && options.tokens.empty()
                                 ? default_prompt(source.model, source.corpus.get())
                                 : options.prompt;
  RunInputs inputs;
  inputs.tokens = prompt_tokens(source.model, prompt, options.tokens);
  inputs.targets.assign(inputs.tokens.begin() + 1, inputs.tokens.end());
  inputs.targets.push_back(-1);

  Executor::Options executor_options;
  executor_options.edits = program_options.edits;
  if (!options.hooks.empty()) executor_options.capture.globs = options.hooks;
  executor_options.capture.budget_bytes = static_cast<size_t>(options.budget_mb * 1e6);
  const auto program =
      build_program(source.model.config, 1, static_cast<int64_t>(inputs.tokens.size()), program_options);
  for (const std::string& glob : options.hooks) {
    if (program->match(glob).empty()) (void)program->require(glob);
  }
  Executor executor(program, *backend, *source.model.parameters, executor_options);
  auto recorded = std::make_shared<Run>(*executor.run(inputs));
  recorded->config = source.model.config;
  if (!options.out.empty()) write_run(options.out, *recorded);

  size_t captured = 0;
  double seconds = 0;
  for (const auto& data : recorded->recorded) captured += data ? 1 : 0;
  for (const double s : recorded->step_seconds) seconds += s;
  const MemoryUse memory = memory_of_run(source.model.config, *program);
  if (options.json) {
    nlohmann::json result = {{"model", source.model.name},        {"tokens", inputs.tokens},
                             {"steps", program->steps().size()},  {"captured", captured},
                             {"bytes", recorded->captured_bytes}, {"left_out", recorded->left_out},
                             {"milliseconds", seconds * 1e3}};
    result["device"] = backend->description();
    result["memory"] = memory_to_json(memory);
    result["loss"] = std::isfinite(recorded->loss) ? nlohmann::json(recorded->loss) : nlohmann::json(nullptr);
    if (!options.out.empty()) result["out"] = options.out;
    fmt::print("{}\n", result.dump(2));
    return;
  }
  fmt::print("{}: {} tokens, {} steps in {:.2f} ms, loss {}\n", source.model.name, inputs.tokens.size(),
             program->steps().size(), seconds * 1e3,
             std::isfinite(recorded->loss) ? fmt::format("{:.4f}", recorded->loss)
             : inputs.tokens.size() == 1   ? "undefined (one token has no target)"
                                           : "not a finite number (look at --edit and --set)");
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
  command->add_option("--budget", options->budget_mb, "megabytes to capture at most")
      ->check(CLI::PositiveNumber);
  command->add_option("--out", options->out, "safetensors file for the captured buffers");
  command->add_flag("--json", options->json, "print one JSON value");
  command->callback([options] { run(*options); });
}

}  // namespace headlight::cli
