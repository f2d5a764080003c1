// Decoding on the emulated device: cached logits against the CPU's uncached ones, step by step, so that the
// recorded pass of one token is replayed with other places and more of the cache in use; batches of unequal
// sequences; packed weights against the CPU's.
#include <gtest/gtest.h>

#include <map>

#include "core/infer/decoder.h"
#include "core/infer/generation.h"
#include "core/tape/rewrite_decoding.h"
#include "tests/support/model.h"
#include "tests/support/simt/simt.h"

namespace headlight {
namespace {

using Sequences = std::vector<std::vector<int32_t>>;

class EmulatedDecoder : public ::testing::Test {
 protected:
  EmulatedDecoder() {
    std::string why_not;
    device_ = kernels::make_cuda_backend(why_not);
    EXPECT_NE(device_, nullptr) << why_not;
  }

  [[nodiscard]] kernels::Backend& device() { return *device_; }
  static Model random_model(const ModelConfig& config, kernels::Backend& backend) {
    Model model = make_model("test", config, nullptr, backend, 3);
    test::randomize(*model.parameters, 5);
    return model;
  }
  /// The logits behind the last token, by the CPU and without a cache.
  static std::vector<float> uncached(const Model& model, const std::vector<int32_t>& tokens) {
    ProgramOptions options;
    options.loss = false;
    RunInputs inputs;
    inputs.tokens = tokens;
    const auto run = test::run_model(model.config, *model.parameters, inputs, 1,
                                     static_cast<int64_t>(tokens.size()), options);
    const auto last = run->values("unembed.hook_out").last(static_cast<size_t>(model.config.vocab_size));
    return {last.begin(), last.end()};
  }
  static std::vector<int32_t> random_sequence(const ModelConfig& config, int64_t length, uint64_t seed) {
    return test::random_inputs(config, 1, length, seed).tokens;
  }
  /// More places than one part of the fused attention takes.
  static ModelConfig long_config() {
    ModelConfig config;
    config.n_layer = 2;
    config.n_head = 2;
    config.n_embd = 16;
    config.n_positions = 150;
    config.vocab_size = 27;
    return config;
  }

 private:
  std::unique_ptr<kernels::Backend> device_;
};

TEST_F(EmulatedDecoder, CachedLogitsAreTheCpusUncachedOnes) {
  for (const auto& [name, config] : test::many_configs()) {
    if (config.mask != AttentionMask::causal) continue;
    const Model on_cpu = random_model(config, test::cpu());
    const Model model = random_model(config, device());
    const std::vector<int32_t> tokens = random_sequence(config, config.n_positions, 5);
    for (const bool fused : {false, true}) {
      Decoder decoder(model, {.fused = fused});
      std::vector<int32_t> sofar(tokens.begin(), tokens.begin() + 3);
      decoder.feed(Sequences{sofar});
      for (size_t n = 3; n < tokens.size(); ++n) {
        sofar.push_back(tokens[n]);
        decoder.feed(Sequences{{tokens[n]}});
        EXPECT_LT(test::relative_error(decoder.logits(0), uncached(on_cpu, sofar)), 2e-5) << name << " " << n;
      }
    }
  }
}

TEST_F(EmulatedDecoder, ABatchOfUnequalSequencesEqualsEachByItself) {
  const ModelConfig config = long_config();
  const Model on_cpu = random_model(config, test::cpu());
  const Model model = random_model(config, device());
  Sequences sofar = {random_sequence(config, 1, 1), random_sequence(config, 140, 2),
                     random_sequence(config, 62, 3)};
  Decoder decoder(model, {.batch = 3, .chunk = 50});
  decoder.feed(sofar);
  for (int step = 0; step < 4; ++step) {
    for (int64_t b = 0; b < 3; ++b) {
      EXPECT_LT(test::relative_error(decoder.logits(b), uncached(on_cpu, sofar[static_cast<size_t>(b)])),
                2e-5)
          << "sequence " << b << ", step " << step;
    }
    Sequences next(3);
    for (size_t b = 0; b < 3; ++b) {
      if (b == 1 && step > 1) continue;  // it rests: nothing of it may change
      next[b] = {static_cast<int32_t>(b + 5 * static_cast<size_t>(step))};
      sofar[b].push_back(next[b][0]);
    }
    decoder.feed(next);
  }
  EXPECT_EQ(decoder.length(1), 142);
}

TEST_F(EmulatedDecoder, FewStepsGiveTheCpusLogitsInEveryConfig) {
  for (const auto& [name, config] : test::many_configs()) {
    if (config.mask != AttentionMask::causal) continue;
    const Model on_cpu = random_model(config, test::cpu());
    const Model model = random_model(config, device());
    const std::vector<int32_t> tokens = random_sequence(config, config.n_positions, 5);
    Decoder expected(on_cpu, {.batch = 2, .weights = parse_weight_storage("bf16")});
    Decoder decoder(model, {.batch = 2, .weights = parse_weight_storage("bf16")});
    for (size_t n = 0; n < tokens.size(); ++n) {
      const Sequences next = {{tokens[n]}, n % 3 == 1 ? std::vector<int32_t>{} : std::vector{tokens[n]}};
      expected.feed(next);
      decoder.feed(next);
      for (const int64_t b : {0, 1}) {
        EXPECT_LT(test::relative_error(decoder.logits(b), expected.logits(b)), 2e-5) << name << " " << n;
      }
    }
  }
}

TEST_F(EmulatedDecoder, PackedWeightsGiveTheCpusLogits) {
  const ModelConfig config = long_config();
  const Model on_cpu = random_model(config, test::cpu());
  const Model model = random_model(config, device());
  const std::vector<int32_t> tokens = random_sequence(config, 24, 5);
  for (const char* storage : {"bf16", "int8", "int8:32"}) {
    Decoder expected(on_cpu, {.weights = parse_weight_storage(storage)});
    Decoder decoder(model, {.weights = parse_weight_storage(storage)});
    // In 8 bits a rounding that falls the other way moves a code by one step of 127.
    const double tolerance = std::string_view(storage) == "bf16" ? 2e-5 : 0.02;
    Sequences next{{tokens.begin(), tokens.begin() + 20}};
    for (size_t n = 20;; ++n) {
      expected.feed(next);
      decoder.feed(next);
      EXPECT_LT(test::relative_error(decoder.logits(0), expected.logits(0)), tolerance)
          << storage << " " << n;
      if (n == tokens.size()) break;
      next = {{tokens[n]}};
    }
    EXPECT_LT(decoder.memory().weights, static_cast<size_t>(model.parameters->count()) * 3) << storage;
  }
}

TEST_F(EmulatedDecoder, FewStepsSayHowEveryCellCameAbout) {
  for (const auto& [name, config] : test::many_configs()) {
    if (config.mask != AttentionMask::causal || config.dropout > 0) continue;
    const Model model = random_model(config, device());
    for (const char* storage : {"bf16", "int8:32"}) {
      ProgramOptions options;
      options.loss = false;
      options.fused = true;
      options.cache = config.n_positions;
      options.weights = parse_weight_storage(storage).format;
      options.weight_group = parse_weight_storage(storage).group;
      const auto plain = build_program(config, 2, 1, options);
      const auto program = fuse_decoding(*plain);
      const KvCache cache(device(), config, 2, config.n_positions);
      const PackedWeights weights(*model.parameters, parse_weight_storage(storage));
      Executor executor(program, device(), *model.parameters,
                        {.capture = {}, .edits = {}, .external = {&cache, &weights}});
      RunInputs inputs;
      inputs.tokens = {1, 2};
      inputs.positions = {0, 0};
      inputs.counts = {1, 1};
      (void)executor.run(inputs);
      inputs.tokens = {3, 4};
      inputs.positions = {1, 1};
      const auto run = executor.run(inputs);
      std::map<std::string_view, int> kinds;
      Random random(7);
      for (const Step& step : program->steps()) {
        kinds[step.op->kind()] += 1;
        const std::string_view kind = step.op->kind();
        if (kind != "fused_linear" && kind != "decode_attention" && kind != "decode_embedding") continue;
        EXPECT_FALSE(step.fused_away.empty()) << step.name;
        for (const BufferId id : step.outputs) {
          const std::span<const float> values = run->values(id);
          double size = 1e-6;
          for (const float v : values) size = std::max(size, std::abs(static_cast<double>(v)));
          for (int cell = 0; cell < 6; ++cell) {
            const auto offset = static_cast<int64_t>(random.below(values.size()));
            const CellTerms terms = run->explain(id, offset);
            EXPECT_NEAR(terms.result, static_cast<double>(values[static_cast<size_t>(offset)]),
                        (storage == std::string_view("bf16") ? 1e-5 : 0.02) * size)
                << name << " " << storage << " " << step.name << " " << offset;
          }
        }
      }
      if (name != "pre_ln") continue;
      const std::map<std::string_view, int> expected = {
          {"decode_embedding", 1}, {"fused_linear", 9}, {"decode_attention", 2}};
      EXPECT_EQ(kinds, expected);
    }
  }
}

TEST_F(EmulatedDecoder, ReplayedBitsRepeatInAnyOrderOfThreads) {
  const ModelConfig config = long_config();
  const Model model = random_model(config, device());
  const std::vector<int32_t> tokens = random_sequence(config, 130, 5);
  const auto logits = [&](simt::Order order) {
    simt::set_order(order);
    Decoder decoder(model, {.weights = parse_weight_storage("bf16")});
    decoder.feed(Sequences{{tokens.begin(), tokens.end() - 4}});
    for (auto token = tokens.end() - 4; token != tokens.end(); ++token) decoder.feed(Sequences{{*token}});
    simt::set_order(simt::Order::forward);
    return std::vector<float>(decoder.logits(0).begin(), decoder.logits(0).end());
  };
  const std::vector<float> first = logits(simt::Order::forward);
  EXPECT_EQ(first, logits(simt::Order::shuffled));
  EXPECT_EQ(first, logits(simt::Order::reverse));
}

TEST_F(EmulatedDecoder, GoingAheadGivesTheSameTokens) {
  const ModelConfig config = long_config();
  const Model model = random_model(config, device());
  const std::vector<int32_t> prompt = random_sequence(config, 11, 5);
  const SamplerConfig greedy{.temperature = 0.9, .greedy = true};
  Decoder plain(model, {.capacity = 30, .chunk = 4, .weights = parse_weight_storage("bf16")});
  Random random(1);
  // The likeliest continuation token by token, with each token's logits.
  std::vector<Draw> draws;
  std::vector<std::vector<float>> logits;
  Sequences next = {prompt};
  while (plain.length(0) + static_cast<int64_t>(next[0].size()) <= plain.capacity()) {
    plain.feed(next);
    logits.emplace_back(plain.logits(0).begin(), plain.logits(0).end());
    draws.push_back(draw(logits.back(), greedy, random));
    next = {{draws.back().token}};
  }
  ASSERT_EQ(draws.size(), 20U);
  for (const int64_t ahead : {1, 3, 50}) {
    SCOPED_TRACE(ahead);
    Decoder decoder(model,
                    {.capacity = 30, .chunk = 4, .weights = parse_weight_storage("bf16"), .ahead = ahead},
                    plain.packed());
    next = {prompt};
    for (size_t i = 0; i < draws.size(); ++i) {
      decoder.feed(next);
      const Draw drawn = decoder.draw(0, greedy, random, {});
      EXPECT_EQ(drawn.token, draws[i].token) << i;
      EXPECT_NEAR(drawn.before, draws[i].before, 1e-9) << i;
      EXPECT_NEAR(drawn.entropy, draws[i].entropy, 1e-7) << i;
      next = {{drawn.token}};
      // Whoever asks for the logits in between gets those behind what was fed.
      if (i % 4 == 2) {
        EXPECT_EQ(std::vector<float>(decoder.logits(0).begin(), decoder.logits(0).end()), logits[i]);
      }
      // Another draw looks at more of them.
      if (i % 4 == 3) {
        EXPECT_EQ(decoder.best(0, 2.0).tokens[0], draws[i].token);
      }
    }
    EXPECT_EQ(decoder.length(0), 30);
    // Another token than the one that was gone on with, and a shorter text.
    decoder.truncate(0, 20);
    EXPECT_TRUE(decoder.logits(0).empty());
    decoder.feed(Sequences{{draws[9].token}});
    (void)decoder.draw(0, greedy, random, {});
    const int32_t other = (draws[10].token + 1) % static_cast<int32_t>(config.vocab_size);
    decoder.feed(Sequences{{other}});
    plain.truncate(0, 21);
    plain.feed(Sequences{{other}});
    EXPECT_EQ(decoder.draw(0, greedy, random, {}).token, draw(plain.logits(0), greedy, random).token);
    EXPECT_EQ(decoder.length(0), 22);
  }
}

TEST_F(EmulatedDecoder, GenerationUsesTheCache) {
  const ModelConfig config = test::small_config();
  GenerationOptions options;
  options.max_new = 5;
  options.sampler.greedy = true;
  const auto generated = [&](kernels::Backend& backend) {
    const Model model = random_model(config, backend);
    Generation generation(model, {{1, 2, 3}}, options);
    EXPECT_EQ(generation.no_cache(), "");
    while (generation.step()) {
    }
    return generation.sequences()[0].tokens;
  };
  const std::vector<int32_t> tokens = generated(device());
  EXPECT_EQ(tokens.size(), 5U);
  EXPECT_EQ(tokens, generated(test::cpu()));
}

}  // namespace
}  // namespace headlight
