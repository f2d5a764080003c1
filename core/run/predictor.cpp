// See predictor.h.
#include "core/run/predictor.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/model/builder.h"

namespace headlight {

std::span<const int32_t> last_window(std::span<const int32_t> tokens, int64_t n_positions) {
  const auto limit = static_cast<size_t>(n_positions);
  return tokens.size() > limit ? tokens.last(limit) : tokens;
}

std::string why_no_cache(const Model& model) {
  if (model.config.mask != AttentionMask::causal) {
    return "without a causal mask every new token changes what the older ones computed, so that nothing can "
           "be "
           "cached";
  }
  if (model.parameters->backend().inference() == nullptr) {
    return fmt::format("{} keeps no cache of keys and values", model.parameters->backend().description());
  }
  return "";
}

Predictor::Predictor(const Model& model, bool cached)
    : model_(model), cached_(cached && why_no_cache(model).empty()) {}

std::vector<float> Predictor::logits(std::span<const int32_t> tokens, const std::atomic<bool>* cancel) {
  if (tokens.empty()) fail("there is no token to go on from; type a prompt");
  const std::span<const int32_t> window = last_window(tokens, model_.config.n_positions);
  if (!cached_) return computed_logits(window, cancel);
  feed(window, cancel);
  const std::span<const float> logits = decoder_->logits(0);
  return {logits.begin(), logits.end()};
}

// What the cache lacks of the window.
void Predictor::feed(std::span<const int32_t> window, const std::atomic<bool>* cancel) {
  if (!decoder_) decoder_ = std::make_unique<Decoder>(model_, Decoder::Options{});
  // The last token is always computed: its logits are what is asked for.
  const auto same =
      std::mismatch(fed_.begin(), fed_.end(), window.begin(), window.end()).second - window.begin();
  const size_t kept = std::min(static_cast<size_t>(same), window.size() - 1);
  decoder_->truncate(0, static_cast<int64_t>(kept));
  fed_.resize(kept);
  const std::vector<std::vector<int32_t>> rest = {
      {window.begin() + static_cast<std::ptrdiff_t>(kept), window.end()}};
  decoder_->feed(rest, cancel);
  fed_.assign(window.begin(), window.end());
  footprint_ = {static_cast<int64_t>(rest[0].size()), window.size() * decoder_->bytes_per_token(),
                decoder_->pass_bytes()};
}

std::vector<float> Predictor::computed_logits(std::span<const int32_t> window,
                                              const std::atomic<bool>* cancel) {
  const auto T = static_cast<int64_t>(window.size());
  if (!executor_ || executor_->program().T() != T) {
    ProgramOptions options;
    options.loss = false;
    options.fused = true;
    options.last_logits = model_.parameters->backend().inference() != nullptr;
    executor_.reset();
    executor_ =
        std::make_unique<Executor>(build_program(model_.config, 1, T, options), model_.parameters->backend(),
                                   *model_.parameters, Executor::Options{{{}, 0}, {}, false});
  }
  RunInputs inputs;
  inputs.tokens.assign(window.begin(), window.end());
  inputs.counts = {static_cast<int32_t>(T)};
  executor_->set_inputs(inputs);
  const Program::Range forward = executor_->program().range(Phase::forward);
  for (int s = forward.first; s < forward.last; ++s) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) throw Cancelled();
    executor_->run_steps(s, s + 1);
  }
  footprint_ = {T, 0, executor_->arena_bytes()};
  const std::vector<float> all = executor_->download(executor_->program().require("unembed.hook_out"));
  return {all.end() - static_cast<std::ptrdiff_t>(model_.config.vocab_size), all.end()};
}

Draw Predictor::draw(std::span<const int32_t> tokens, const SamplerConfig& config, Random& random) {
  if (!cached_ || tokens.empty()) return headlight::draw(logits(tokens), config, random, tokens);
  feed(last_window(tokens, model_.config.n_positions), nullptr);
  return decoder_->draw(0, config, random, tokens);
}

void Predictor::forget() { fed_.clear(); }

size_t Predictor::memory_bytes() const {
  return (decoder_ ? decoder_->memory().total() : 0) + (executor_ ? executor_->arena_bytes() : 0);
}

}  // namespace headlight
