// Runs of small models with random weights, for tests of what views prepare.
#pragma once

#include <memory>

#include "tests/support/model.h"

namespace headlight::app {

/// Forward pass and loss of `config` on T random tokens, one run for each seed.
inline std::shared_ptr<const Run> recorded_run(const ModelConfig& config, int64_t T, uint64_t seed = 1,
                                               Capture capture = {}, bool fused = false) {
  Parameters parameters(headlight::test::cpu(), config, seed);
  headlight::test::randomize(parameters, seed);
  ProgramOptions options;
  options.fused = fused;
  auto run = std::make_shared<Run>(
      *headlight::test::run_model(config, parameters, headlight::test::random_inputs(config, 1, T, seed), 1,
                                  T, options, std::move(capture)));
  run->config = config;
  return run;
}

/// A story-sized vocabulary and a context for long prompts.
inline ModelConfig long_config(int64_t T) {
  ModelConfig config = headlight::test::small_config();
  config.n_positions = T;
  return config;
}

}  // namespace headlight::app
