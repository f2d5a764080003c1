// Runs of small models with everything behind the loss, in every form of program, and the scenes of their
// steps: for tests of what the Pass view prepares and arranges.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <vector>

#include "app/views/pass_model.h"
#include "core/infer/last_token.h"
#include "tests/support/model.h"

namespace headlight::app {

using Recording = headlight::Run;  // ::testing::Test has a Run of its own

/// What a program was rewritten to.
struct PassForm {
  bool fused = false;
  ElementType precision = ElementType::f32;
  bool checkpointing = false;
};

/// Forward, loss, backward and update on T tokens.
inline std::shared_ptr<const Recording> whole_run(const ModelConfig& config, int64_t T = 7,
                                                  PassForm form = {}, Capture capture = {}) {
  Parameters parameters(headlight::test::cpu(), config, 3);
  headlight::test::randomize(parameters, 3);
  headlight::test::randomize_moments(parameters, 3);
  RunInputs inputs = headlight::test::random_inputs(config, 1, T, 5);
  ProgramOptions options = headlight::test::whole_program(config, form.fused);
  options.precision = form.precision;
  options.checkpointing = form.checkpointing;
  auto run = std::make_shared<Recording>(
      *headlight::test::run_model(config, parameters, inputs, 1, T, options, std::move(capture)));
  run->config = config;
  return run;
}

/// The pass of the last of T random tokens with the others in a cache.
inline std::shared_ptr<const Recording> cached_run(const ModelConfig& config, int64_t T = 7,
                                                   bool fused = false, const WeightStorage& weights = {},
                                                   const Capture& capture = {}) {
  const Model model = make_model("test", config, nullptr, headlight::test::cpu(), 3);
  headlight::test::randomize(*model.parameters, 3);
  LastTokenPass pass(model, weights);
  return pass.record(headlight::test::random_inputs(config, 1, T, 5).tokens, capture, fused);
}

/// Every switch of the model, plain and fused; mixed precision; checkpointing where blocks differ most; the
/// last token with a cache, step by step, fused and with packed weights.
inline const std::vector<std::shared_ptr<const Recording>>& all_runs() {
  static const std::vector<std::shared_ptr<const Recording>> runs = [] {
    std::vector<std::shared_ptr<const Recording>> made;
    for (const bool fused : {false, true}) {
      for (const auto& named : headlight::test::many_configs()) {
        made.push_back(whole_run(named.config, 7, {.fused = fused}));
        const bool repeats =
            named.name == "pre_ln" || named.name == "post_ln_untied_dropout" || named.name == "llama";
        if (repeats) made.push_back(whole_run(named.config, 7, {.fused = fused, .checkpointing = true}));
      }
      for (const bool checkpointing : {false, true})
        made.push_back(
            whole_run(headlight::test::small_config(), 7, {fused, ElementType::bf16, checkpointing}));
    }
    for (const auto& named : headlight::test::many_configs())
      if (named.config.mask == AttentionMask::causal) made.push_back(cached_run(named.config));
    const ModelConfig config = headlight::test::small_config();
    made.push_back(cached_run(config, 7, true));
    made.push_back(cached_run(config, 1));
    for (const char* weights : {"bf16", "int8"})
      made.push_back(cached_run(config, 7, false, parse_weight_storage(weights)));
    return made;
  }();
  return runs;
}

inline PassScene scene_of(const std::shared_ptr<const Recording>& run, int step, int64_t head = 0,
                          const Pins& pins = {}) {
  return prepare_pass(run, pins, {step, head, nullptr});
}

/// Of the step that writes a buffer.
inline PassScene scene_of(const std::shared_ptr<const Recording>& run, std::string_view buffer,
                          int64_t head = 0) {
  const Program& program = run->program();
  return scene_of(run, program.buffer(program.require(buffer)).writer, head);
}

/// Calls f(run, scene) for every step of all_runs().
template <class F>
void for_each_scene(F f) {
  for (const auto& run : all_runs())
    for (int s = 0; s < static_cast<int>(run->program().steps().size()); ++s) {
      SCOPED_TRACE(run->program().step(s).name);
      f(*run, scene_of(run, s, 1));
    }
}

inline bool has_note(const PassScene& scene, std::string_view key) {
  return std::any_of(scene.notes.begin(), scene.notes.end(), [&](const PassNote& n) { return n.key == key; });
}

}  // namespace headlight::app
