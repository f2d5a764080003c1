// The decoder: cached logits against the uncached program, chunks, batches of unequal sequences, truncation,
// packed weights with their errors, recordings with cell terms, and what is refused.
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>

#include "core/infer/decoder.h"
#include "tests/support/error_text.h"
#include "tests/support/model.h"

namespace headlight {
namespace {

using test::error_of;
using test::NamedConfig;
using Sequences = std::vector<std::vector<int32_t>>;

Model random_model(const ModelConfig& config, uint64_t seed = 3) {
  Model model = make_model("test", config, nullptr, test::cpu(), seed);
  test::randomize(*model.parameters, seed + 2);
  return model;
}

std::vector<int32_t> random_sequence(const ModelConfig& config, int64_t length, uint64_t seed) {
  return test::random_inputs(config, 1, length, seed).tokens;
}

/// Logits behind the last token by the plain program without a cache.
std::vector<float> uncached(const Model& model, const std::vector<int32_t>& tokens) {
  ProgramOptions options;
  options.loss = false;
  RunInputs inputs;
  inputs.tokens = tokens;
  const auto run = test::run_model(model.config, *model.parameters, inputs, 1,
                                   static_cast<int64_t>(tokens.size()), options);
  const auto all = run->values("unembed.hook_out");
  const auto last = all.last(static_cast<size_t>(model.config.vocab_size));
  return {last.begin(), last.end()};
}

std::vector<int32_t> part(const std::vector<int32_t>& tokens, size_t from, size_t to) {
  return {tokens.begin() + static_cast<std::ptrdiff_t>(from),
          tokens.begin() + static_cast<std::ptrdiff_t>(to)};
}

class DecoderConfigs : public ::testing::TestWithParam<NamedConfig> {};

TEST_P(DecoderConfigs, CachedLogitsEqualUncachedOnes) {
  const Model model = random_model(GetParam().config);
  const std::vector<int32_t> tokens = random_sequence(model.config, model.config.n_positions, 5);
  for (const bool fused : {false, true}) {
    if (model.config.mask != AttentionMask::causal) {
      EXPECT_SAYS(error_of([&] { Decoder(model, {.fused = fused}); }), "needs mask = causal");
      continue;
    }
    Decoder decoder(model, {.fused = fused});
    decoder.feed(Sequences{part(tokens, 0, 4)});
    EXPECT_LT(test::relative_error(decoder.logits(0), uncached(model, part(tokens, 0, 4))), 2e-5);
    for (size_t n = 4; n < tokens.size(); ++n) {
      decoder.feed(Sequences{{tokens[n]}});
      EXPECT_LT(test::relative_error(decoder.logits(0), uncached(model, part(tokens, 0, n + 1))), 2e-5) << n;
    }
    EXPECT_EQ(decoder.length(0), model.config.n_positions);
  }
}
INSTANTIATE_TEST_SUITE_P(All, DecoderConfigs, ::testing::ValuesIn(test::many_configs()),
                         [](const auto& which) { return which.param.name; });

/// Larger than tiles and vectors, so that no path of the kernels is left out.
ModelConfig wide_config() {
  ModelConfig config;
  config.n_layer = 2;
  config.n_head = 4;
  config.n_embd = 128;
  config.n_positions = 150;
  config.vocab_size = 90;
  return config;
}

TEST(Decoder, ChunksGiveTheSameAsOnePass) {
  const Model model = random_model(wide_config());
  const std::vector<int32_t> tokens = random_sequence(model.config, 140, 5);
  const std::vector<float> expected = uncached(model, tokens);
  for (const int64_t chunk : {1, 7, 48, 139, 512}) {
    Decoder decoder(model, {.chunk = chunk});
    decoder.feed(Sequences{tokens});
    EXPECT_LT(test::relative_error(decoder.logits(0), expected), 2e-5) << chunk;
  }
}

TEST(Decoder, ABatchOfUnequalSequencesEqualsEachByItself) {
  const Model model = random_model(wide_config());
  const Sequences prompts = {random_sequence(model.config, 1, 1), random_sequence(model.config, 70, 2),
                             random_sequence(model.config, 33, 3), random_sequence(model.config, 120, 4)};
  for (const bool fused : {false, true}) {
    Decoder batch(model, {.batch = 4, .chunk = 50, .fused = fused});
    batch.feed(prompts);
    Sequences sofar = prompts;
    for (int step = 0; step < 3; ++step) {
      for (int64_t b = 0; b < 4; ++b) {
        EXPECT_LT(test::relative_error(batch.logits(b), uncached(model, sofar[static_cast<size_t>(b)])), 2e-5)
            << "sequence " << b << ", step " << step;
      }
      Sequences next(4);
      for (size_t b = 0; b < 4; ++b) {
        if (b == 2 && step > 0) continue;  // it has stopped: nothing of it may change
        next[b] = {static_cast<int32_t>(b + 7 * static_cast<size_t>(step))};
        sofar[b].push_back(next[b][0]);
      }
      batch.feed(next);
    }
    EXPECT_EQ(batch.length(2), 34);
  }
}

TEST(Decoder, TruncatingGoesBackToWhatWas) {
  const Model model = random_model(wide_config());
  const std::vector<int32_t> tokens = random_sequence(model.config, 60, 5);
  Decoder decoder(model, {});
  decoder.feed(Sequences{tokens});
  decoder.truncate(0, 20);
  EXPECT_EQ(decoder.length(0), 20);
  EXPECT_TRUE(decoder.logits(0).empty());
  const std::vector<int32_t> other = random_sequence(model.config, 9, 6);
  decoder.feed(Sequences{other});
  std::vector<int32_t> whole = part(tokens, 0, 20);
  whole.insert(whole.end(), other.begin(), other.end());
  EXPECT_LT(test::relative_error(decoder.logits(0), uncached(model, whole)), 2e-5);
}

TEST(Decoder, PackedWeightsStayWithinTheirErrors) {
  const Model model = random_model(wide_config());
  const std::vector<int32_t> tokens = random_sequence(model.config, 40, 5);
  const std::vector<float> exact = uncached(model, tokens);
  const auto rms_error = [&](std::span<const float> found) {
    double error = 0, size = 0;
    for (size_t i = 0; i < exact.size(); ++i) {
      const double difference = static_cast<double>(found[i]) - static_cast<double>(exact[i]);
      error += difference * difference, size += static_cast<double>(exact[i]) * static_cast<double>(exact[i]);
    }
    return std::sqrt(error / size);
  };
  struct Bound {
    const char* storage;
    double tensor, logits;
  };
  // A normal weight rounded to 8 significant bits: 2⁻⁹/√3 at most; to 127 steps of its largest: about 0.7 %.
  for (const Bound& bound : {Bound{"bf16", 0.002, 0.01}, Bound{"int8", 0.009, 0.05},
                             Bound{"int8:32", 0.007, 0.05}, Bound{"int8:128", 0.009, 0.05}}) {
    Decoder decoder(model, {.weights = parse_weight_storage(bound.storage)});
    decoder.feed(Sequences{tokens});
    EXPECT_LT(rms_error(decoder.logits(0)), bound.logits) << bound.storage;
    EXPECT_GT(rms_error(decoder.logits(0)), 0) << bound.storage;
    ASSERT_EQ(decoder.packed()->tensors().size(), 9U);
    for (const PackedWeights::Tensor& tensor : decoder.packed()->tensors()) {
      EXPECT_LT(tensor.relative_error, bound.tensor) << bound.storage << " " << tensor.name;
      EXPECT_GT(tensor.relative_error, 0) << bound.storage << " " << tensor.name;
    }
    EXPECT_EQ(decoder.memory().weights, Decoder::predict(model, decoder.options()).weights);
    EXPECT_LT(decoder.memory().weights, static_cast<size_t>(model.parameters->count()) * 3);
  }
}

// Whole numbers do not care who stands beside them: one token at a time, in chunks and in a batch give the
// same keys, up to the fp32 attention.
TEST(Decoder, Int8IsTheSameInChunksAndBatches) {
  const Model model = random_model(wide_config());
  const std::vector<int32_t> tokens = random_sequence(model.config, 30, 5);
  const WeightStorage storage = parse_weight_storage("int8");
  Decoder whole(model, {.weights = storage});
  whole.feed(Sequences{tokens});
  Decoder one(model, {.weights = storage}, whole.packed());
  EXPECT_EQ(one.packed(), whole.packed());
  for (const int32_t token : tokens) one.feed(Sequences{{token}});
  // A rounding that falls the other way moves a code by one step of 127, which later layers carry on.
  EXPECT_LT(test::relative_error(one.logits(0), whole.logits(0)), 0.02);
}

TEST(Decoder, RecordingsExplainEveryCell) {
  std::set<std::string> kinds;
  for (const char* storage : {"fp32", "bf16", "int8", "int8:32"}) {
    for (const bool fused : {false, true}) {
      const Model model = random_model(test::small_config());
      Decoder decoder(model, {.batch = 2, .weights = parse_weight_storage(storage)});
      decoder.feed(Sequences{{1, 2, 3}, {4}});
      const auto run = decoder.record(Sequences{{5, 6}, {7}}, Capture{}, fused);
      EXPECT_EQ(decoder.length(0), 5);
      EXPECT_EQ(decoder.length(1), 2);
      Random random(7);
      for (const Step& step : run->program().steps()) {
        kinds.insert(std::string(step.op->kind()));
        for (const BufferId id : step.outputs) {
          if (id == no_buffer) continue;
          const std::span<const float> values = run->values(id);
          double size = 1e-6;
          for (const float v : values)
            size = std::isfinite(v) ? std::max(size, std::abs(static_cast<double>(v))) : size;
          for (int cell = 0; cell < 12; ++cell) {
            const auto offset = static_cast<int64_t>(random.below(values.size()));
            const CellTerms terms = run->explain(id, offset);
            const double found = static_cast<double>(values[static_cast<size_t>(offset)]);
            const std::string where =
                fmt::format("{} {} {}[{}]", storage, step.op->kind(), step.name, offset);
            EXPECT_FALSE(terms.formula.empty()) << where;
            if (std::isinf(found)) {
              EXPECT_EQ(terms.result, found) << where;
            } else {
              EXPECT_NEAR(terms.result, found, 1e-5 * size) << where;
            }
          }
        }
      }
    }
  }
  const std::set<std::string> all = {"packed_embedding",
                                     "packed_linear",
                                     "position_at",
                                     "cache_append",
                                     "cached_scores",
                                     "cached_mask",
                                     "cached_weighted_sum",
                                     "cached_attention",
                                     "last_token",
                                     "embedding",
                                     "linear",
                                     "softmax",
                                     "scale",
                                     "layernorm",
                                     "split_heads",
                                     "merge_heads",
                                     "add",
                                     "gelu_tanh"};
  EXPECT_EQ(kinds, all);
}

TEST(Decoder, ARecordingIsTheRunThatWouldHaveBeen) {
  const Model model = random_model(test::small_config());
  const std::vector<int32_t> tokens = random_sequence(model.config, 6, 5);
  Decoder recorded(model, {}), plain(model, {});
  recorded.feed(Sequences{part(tokens, 0, 5)});
  plain.feed(Sequences{part(tokens, 0, 5)});
  const auto run = recorded.record(Sequences{{tokens[5]}}, Capture{}, false);
  plain.feed(Sequences{{tokens[5]}});
  EXPECT_LT(test::relative_error(recorded.logits(0), plain.logits(0)), 1e-5);
  // The pattern's row is that of the uncached run, and nothing lies behind it.
  ProgramOptions options;
  options.loss = false;
  RunInputs inputs;
  inputs.tokens = tokens;
  const auto whole = test::run_model(model.config, *model.parameters, inputs, 1, 6, options);
  const auto row = run->values("blocks.1.attn.hook_pattern");
  const auto all = whole->values("blocks.1.attn.hook_pattern");
  const auto S = static_cast<size_t>(model.config.n_positions);
  for (size_t h = 0; h < 3; ++h) {
    for (size_t j = 0; j < S; ++j) {
      EXPECT_NEAR(row[h * S + j], j < 6 ? all[(h * 6 + 5) * 6 + j] : 0.0F, 1e-5F);
    }
  }
  EXPECT_EQ(run->values("blocks.0.attn.past_k").size(), run->values("blocks.0.attn.hook_k_cache").size());
  EXPECT_NE(std::vector<float>(run->values("blocks.0.attn.past_k").begin(),
                               run->values("blocks.0.attn.past_k").end()),
            std::vector<float>(run->values("blocks.0.attn.hook_k_cache").begin(),
                               run->values("blocks.0.attn.hook_k_cache").end()));
}

TEST(Decoder, DrawsWhatTheLogitsSay) {
  const Model model = random_model(wide_config());
  const Sequences prompts = {random_sequence(model.config, 30, 5), random_sequence(model.config, 3, 6)};
  Decoder decoder(model, {.batch = 2, .chunk = 10}), other(model, {.batch = 2, .chunk = 10});
  decoder.feed(prompts);
  other.feed(prompts);
  Random a(7), b(7);
  const std::vector<SamplerConfig> configs = {{},
                                              {.greedy = true},
                                              {.temperature = 1, .top_k = 0, .top_p = 1},
                                              {.temperature = 5, .top_k = 80},
                                              {.temperature = 1, .repetition_penalty = 1.5}};
  std::vector<int32_t> text = prompts[0];
  for (const SamplerConfig& config : configs) {
    Sequences next(2);
    for (const int64_t s : {0, 1}) {
      const Draw drawn = decoder.draw(s, config, a, text);
      const Draw expected = draw(other.logits(s), config, b, text);
      EXPECT_EQ(drawn.token, expected.token);
      EXPECT_NEAR(drawn.probability, expected.probability, 1e-12);
      EXPECT_EQ(a.counter(), b.counter());
      next[static_cast<size_t>(s)] = {drawn.token};
    }
    text.push_back(next[0][0]);
    // What rests keeps its logits.
    if (config.greedy) next[1].clear();
    decoder.feed(next);
    other.feed(next);
  }
}

TEST(Decoder, CancellingForgetsWhatWasNotFinished) {
  const Model model = random_model(wide_config());
  const std::vector<int32_t> tokens = random_sequence(model.config, 30, 5);
  Decoder decoder(model, {});
  decoder.feed(Sequences{part(tokens, 0, 10)});
  const std::atomic<bool> cancel{true};
  EXPECT_THROW(decoder.feed(Sequences{random_sequence(model.config, 5, 9)}, &cancel), Cancelled);
  EXPECT_EQ(decoder.length(0), 10);
  decoder.feed(Sequences{part(tokens, 10, 30)});
  EXPECT_LT(test::relative_error(decoder.logits(0), uncached(model, tokens)), 2e-5);
}

TEST(Decoder, SaysWhatItCannotDo) {
  const Model model = random_model(test::small_config());
  EXPECT_SAYS(error_of([&] { Decoder(model, {.capacity = 10}); }), "a cache of 10 places is more than the 9");
  EXPECT_SAYS(error_of([&] { Decoder(model, {.batch = 0}); }), "must be at least 1");
  EXPECT_SAYS(error_of([&] { Decoder(model, {.memory_limit = 5000}); }), "the limit is 0.0 MB");
  EXPECT_SAYS(error_of([&] { (void)parse_weight_storage("int8:48"); }), "choose fp32, bf16, int8");
  Decoder decoder(model, {});
  EXPECT_SAYS(error_of([&] {
                decoder.feed(Sequences{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}});
              }),
              "would have 10 tokens, but the cache holds 9");
  EXPECT_SAYS(error_of([&] { decoder.feed(Sequences{{1}, {2}}); }), "has 1 sequences");
  EXPECT_SAYS(error_of([&] { decoder.feed(Sequences{{13}}); }), "is not one of the model's 13 tokens");
  EXPECT_SAYS(error_of([&] { (void)decoder.record(Sequences{{}}, Capture{}, false); }), "no token to run");
  Model broken = random_model(test::small_config());
  const Parameters::Entry& entry = *broken.parameters->find("h.1.mlp.c_fc.weight");
  std::vector<float> values(static_cast<size_t>(entry.spec.shape.count()), 0.5F);
  values[7] = NAN;
  broken.parameters->upload(entry.value, entry, values);
  EXPECT_SAYS(error_of([&] {
                Decoder(broken, {.weights = {WeightFormat::int8, 0}});
              }),
              "h.1.mlp.c_fc.weight holds a value that is not finite");
}

TEST(Decoder, PredictsItsMemory) {
  const Model model = random_model(wide_config());
  const Decoder::Options options{.batch = 3, .capacity = 100, .chunk = 20};
  const Decoder::MemoryNeed need = Decoder::predict(model, options);
  EXPECT_EQ(need.weights, 0U);
  EXPECT_EQ(need.cache, 2U * 2 * 3 * 100 * 128 * 4);
  Decoder decoder(model, options);
  decoder.feed(Sequences{random_sequence(model.config, 20, 1), {}, {}});
  EXPECT_EQ(decoder.memory().cache, need.cache);
  EXPECT_EQ(decoder.memory().activations, need.activations);
}

}  // namespace
}  // namespace headlight
