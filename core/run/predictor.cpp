// See predictor.h.
#include "core/run/predictor.h"

#include <cmath>

#include "core/base/error.h"
#include "core/model/builder.h"

namespace headlight {

std::span<const int32_t> last_window(std::span<const int32_t> tokens, int64_t n_positions) {
  const auto limit = static_cast<size_t>(n_positions);
  return tokens.size() > limit ? tokens.last(limit) : tokens;
}

std::vector<float> Predictor::logits(std::span<const int32_t> tokens) {
  if (tokens.empty()) fail("there is no token to go on from; type a prompt");
  const std::span<const int32_t> window = last_window(tokens, model_.config.n_positions);
  const auto T = static_cast<int64_t>(window.size());
  if (!executor_ || executor_->program().T() != T) {
    ProgramOptions options;
    options.loss = false;
    options.fused = true;
    executor_ =
        std::make_unique<Executor>(build_program(model_.config, 1, T, options), model_.parameters->backend(),
                                   *model_.parameters, Executor::Options{{{}, 0}, {}, false});
  }
  RunInputs inputs;
  inputs.tokens.assign(window.begin(), window.end());
  executor_->set_inputs(inputs);
  executor_->run_phase(Phase::forward);
  const std::vector<float> all = executor_->download(executor_->program().require("unembed.hook_out"));
  return {all.end() - static_cast<std::ptrdiff_t>(model_.config.vocab_size), all.end()};
}

Predictor::Drawn Predictor::draw(std::span<const int32_t> tokens, const SamplerConfig& config,
                                 Random& random) {
  const std::vector<float> values = logits(tokens);
  Drawn drawn;
  drawn.token = sample(values, config, random);
  for (const Candidate& candidate : candidates(values, config)) {
    if (candidate.probability > 0) drawn.entropy -= candidate.probability * std::log(candidate.probability);
    if (candidate.token == drawn.token) drawn.probability = candidate.sampled;
  }
  return drawn;
}

}  // namespace headlight
