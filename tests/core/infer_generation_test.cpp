// Generation: with and without the cache, batches against single sequences, the sliding context, stops,
// limits, cancellation, repeatability, and that what it draws follows the model's own distribution.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "core/infer/generation.h"
#include "core/text/char_tokenizer.h"
#include "tests/support/error_text.h"
#include "tests/support/model.h"

namespace headlight {
namespace {

using test::error_of;
using Prompts = std::vector<std::vector<int32_t>>;

/// A model whose tokens are the letters a … z.
Model letter_model(int64_t n_positions = 40, double spread = 1.0) {
  ModelConfig config;
  config.n_layer = 2;
  config.n_head = 2;
  config.n_embd = 32;
  config.n_positions = n_positions;
  config.vocab_size = 26;
  Model model =
      make_model("letters", config,
                 std::make_shared<CharTokenizer>(CharTokenizer::from_text("abcdefghijklmnopqrstuvwxyz")),
                 test::cpu(), 3);
  test::randomize(*model.parameters, 9);
  for (const Parameters::Entry& entry : model.parameters->entries()) {
    if (entry.spec.name != "wte.weight") continue;
    std::vector<float> values = model.parameters->download(entry.value, entry);
    for (float& v : values) v *= static_cast<float>(spread);
    model.parameters->upload(entry.value, entry, values);
  }
  return model;
}

Generation run(const Model& model, const Prompts& prompts, const GenerationOptions& options) {
  Generation generation(model, prompts, options);
  while (generation.step()) {
  }
  return generation;
}

GenerationOptions greedy(int64_t max_new) {
  GenerationOptions options;
  options.max_new = max_new;
  options.sampler.greedy = true;
  return options;
}

TEST(Generation, WithAndWithoutTheCacheGiveTheSameTokens) {
  const Model model = letter_model();
  GenerationOptions options;
  options.max_new = 30;
  for (const bool is_greedy : {true, false}) {
    options.sampler.greedy = is_greedy;
    for (const int64_t max_new : {30, 60}) {  // within the context, and beyond it
      options.max_new = max_new;
      options.cache = true;
      const auto cached = run(model, {{1, 2, 3, 4, 5}}, options).sequences()[0];
      options.cache = false;
      const auto plain = run(model, {{1, 2, 3, 4, 5}}, options).sequences()[0];
      EXPECT_EQ(cached.tokens, plain.tokens);
      EXPECT_EQ(cached.text, plain.text);
      EXPECT_EQ(cached.tokens.size(), static_cast<size_t>(max_new));
      EXPECT_EQ(cached.finish, Finish::length);
    }
  }
}

TEST(Generation, ABatchGivesWhatEachSequenceGivesAlone) {
  const Model model = letter_model();
  const Prompts prompts = {{7}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, {3, 1}, {20, 21, 22, 23, 24, 25}};
  for (const char* weights : {"fp32", "bf16", "int8"}) {
    GenerationOptions options;
    options.max_new = 25;
    options.weights = parse_weight_storage(weights);
    options.chunk = 5;
    options.sampler.seed = 100;
    const Generation batch = run(model, prompts, options);
    for (size_t b = 0; b < prompts.size(); ++b) {
      GenerationOptions alone = options;
      alone.sampler.seed = 100 + b;
      const auto single = run(model, {prompts[b]}, alone).sequences()[0];
      EXPECT_EQ(batch.sequences()[b].tokens, single.tokens) << weights << " " << b;
      EXPECT_EQ(batch.sequences()[b].text, single.text);
    }
  }
}

TEST(Generation, IsRepeatableBySeed) {
  const Model model = letter_model();
  GenerationOptions options;
  options.sampler.temperature = 2;
  options.sampler.seed = 5;
  const auto a = run(model, {{1}}, options).sequences()[0], b = run(model, {{1}}, options).sequences()[0];
  options.sampler.seed = 6;
  const auto c = run(model, {{1}}, options).sequences()[0];
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_NE(a.tokens, c.tokens);
}

TEST(Generation, ShowsTheTextAsItComes) {
  const Model model = letter_model();
  GenerationOptions options;
  options.max_new = 12;
  Generation generation(model, {{1, 2}}, options);
  std::string text;
  std::vector<int32_t> tokens;
  while (generation.step([&](const GeneratedStep& step) {
    text += step.text;
    tokens.push_back(step.draw.token);
    EXPECT_EQ(step.sequence, 0);
    EXPECT_GT(step.seconds, 0);
    EXPECT_GE(step.draw.u, step.draw.low);
  })) {
  }
  const GeneratedSequence& sequence = generation.sequences()[0];
  EXPECT_EQ(text, sequence.text);
  EXPECT_EQ(tokens, sequence.tokens);
  EXPECT_EQ(text, model.tokenizer->decode(tokens));
  EXPECT_EQ(sequence.draws.size(), 12U);
  EXPECT_EQ(generation.timing().prompt_tokens, 2);
  EXPECT_EQ(generation.timing().decoded_tokens, 11);
}

TEST(Generation, StopsBySequence) {
  const Model model = letter_model();
  GenerationOptions options;
  options.max_new = 30;
  options.sampler.temperature = 3;
  const Prompts prompts = {{1}, {2, 3, 4}};
  const Generation free = run(model, prompts, options);
  // Two letters of the first text, where they stand first.
  const std::string whole = free.sequences()[0].text, stop = whole.substr(6, 2);
  options.stops = {"never", stop};
  const Generation stopped = run(model, prompts, options);
  const GeneratedSequence& first = stopped.sequences()[0];
  EXPECT_EQ(first.text, whole.substr(0, whole.find(stop)));
  EXPECT_EQ(first.finish, Finish::stop);
  EXPECT_EQ(first.stopped_by, stop);
  EXPECT_EQ(first.tokens.size(), whole.find(stop) + 2);
  const std::string other = free.sequences()[1].text;
  EXPECT_EQ(stopped.sequences()[1].text, other.substr(0, other.find(stop)));

  options.stops.clear();
  options.stop_tokens = {free.sequences()[0].tokens[4]};
  const GeneratedSequence ended = run(model, {prompts[0]}, options).sequences()[0];
  EXPECT_EQ(ended.finish, Finish::stop);
  EXPECT_EQ(ended.tokens.back(), options.stop_tokens[0]);
  EXPECT_EQ(ended.text, model.tokenizer->decode(std::span(ended.tokens).first(ended.tokens.size() - 1)));
}

TEST(Generation, AFullContextSlidesOrStops) {
  const Model model = letter_model(12);
  GenerationOptions options = greedy(20);
  options.when_full = WhenFull::stop;
  const auto stopped = run(model, {{1, 2, 3, 4, 5}}, options).sequences()[0];
  EXPECT_EQ(stopped.finish, Finish::full);
  EXPECT_EQ(stopped.tokens.size(), 8U);  // the twelfth token of the text still has a next one
  options.when_full = WhenFull::slide;
  const auto slid = run(model, {{1, 2, 3, 4, 5}}, options).sequences()[0];
  EXPECT_EQ(slid.tokens.size(), 20U);
  EXPECT_TRUE(std::equal(stopped.tokens.begin(), stopped.tokens.end(), slid.tokens.begin()));
  // A prompt that is too long counts with its end.
  std::vector<int32_t> longer(30, 7);
  EXPECT_EQ(run(model, {longer}, greedy(5)).sequences()[0].tokens,
            run(model, {std::vector<int32_t>(12, 7)}, greedy(5)).sequences()[0].tokens);
  options.when_full = WhenFull::stop;
  EXPECT_SAYS(error_of([&] { Generation(model, {longer}, options); }),
              "prompt 1 has 30 tokens, but n_positions is 12");
}

TEST(Generation, CancellingEndsWithinAToken) {
  const Model model = letter_model();
  std::atomic<bool> cancel{false};
  Generation generation(model, {{1}, {2}}, greedy(30));
  EXPECT_TRUE(generation.step({}, &cancel));
  EXPECT_TRUE(generation.step({}, &cancel));
  cancel = true;
  EXPECT_FALSE(generation.step({}, &cancel));
  for (const GeneratedSequence& sequence : generation.sequences()) {
    EXPECT_EQ(sequence.finish, Finish::cancelled);
    EXPECT_EQ(sequence.tokens.size(), 2U);
  }
  EXPECT_FALSE(generation.step());
}

TEST(Generation, KeepsItsLimits) {
  const Model model = letter_model();
  GenerationOptions options = greedy(30);
  options.time_limit = 1e-9;
  const auto timed = run(model, {{1}}, options).sequences()[0];
  EXPECT_EQ(timed.finish, Finish::time);
  EXPECT_EQ(timed.tokens.size(), 1U);
  options.time_limit = 0;
  options.memory_limit = 10'000;
  EXPECT_SAYS(error_of([&] { Generation(model, {{1}}, options); }), "but the limit is 0.0 MB");
  EXPECT_EQ(run(model, {{1}}, greedy(0)).sequences()[0].finish, Finish::length);
}

TEST(Generation, GoesWithoutTheCacheWhereThereIsNone) {
  Model model = letter_model();
  model.config.mask = AttentionMask::none;
  const Generation generation = run(model, {{1, 2}}, greedy(5));
  EXPECT_NE(generation.no_cache().find("causal"), std::string::npos);
  EXPECT_EQ(generation.sequences()[0].tokens.size(), 5U);
  GenerationOptions options = greedy(5);
  options.weights = parse_weight_storage("int8");
  EXPECT_SAYS(error_of([&] { Generation(model, {{1}}, options); }), "int8 weights need the cache");
  EXPECT_SAYS(error_of([&] { Generation(model, {}, greedy(5)); }), "no prompt");
  EXPECT_SAYS(error_of([&] { Generation(model, {{1}, {}}, greedy(5)); }), "prompt 2 is empty");
}

// Many sequences from one prompt: the first token follows softmax(logits/τ) with its cuts.
TEST(Generation, DrawsFollowTheModelsDistribution) {
  const Model model = letter_model(40, 0.6);
  GenerationOptions options;
  options.max_new = 1;
  options.sampler.temperature = 1.4;
  options.sampler.top_k = 12;
  options.sampler.top_p = 0.95;
  constexpr size_t draws = 4000;
  const Generation generation = run(model, Prompts(draws, {4, 9}), options);
  Predictor predictor(model);
  const auto all = candidates(predictor.logits(std::vector<int32_t>{4, 9}), options.sampler);
  double chi2 = 0, kept = 0;
  for (const Candidate& c : all) {
    const auto count = static_cast<double>(
        std::count_if(generation.sequences().begin(), generation.sequences().end(),
                      [&](const GeneratedSequence& s) { return s.tokens[0] == c.token; }));
    if (!c.kept) {
      EXPECT_EQ(count, 0);
      continue;
    }
    const double expected = c.sampled * static_cast<double>(draws);
    chi2 += (count - expected) * (count - expected) / expected;
    kept += 1;
  }
  EXPECT_GT(kept, 4);
  EXPECT_LT(chi2, kept - 1 + 4 * std::sqrt(2 * (kept - 1)));
}

TEST(Predictor, TheCacheFollowsAnyPrompt) {
  const Model model = letter_model(20);
  Predictor cached(model), plain(model, false);
  EXPECT_TRUE(cached.is_cached());
  EXPECT_FALSE(plain.is_cached());
  std::vector<int32_t> tokens = {1, 2, 3};
  Random random(4);
  for (int i = 0; i < 60; ++i) {
    // Grow, change in the middle, cut short.
    const uint64_t what = random.below(4);
    if (what == 0 && tokens.size() > 2) tokens.resize(1 + random.below(tokens.size()));
    if (what == 1) tokens[random.below(tokens.size())] = static_cast<int32_t>(random.below(26));
    tokens.push_back(static_cast<int32_t>(random.below(26)));
    EXPECT_LT(test::relative_error(cached.logits(tokens), plain.logits(tokens)), 2e-5);
  }
  EXPECT_GT(cached.memory_bytes(), plain.memory_bytes());
  // New weights: the old keys would be wrong.
  test::randomize(*model.parameters, 77);
  cached.forget();
  EXPECT_LT(test::relative_error(cached.logits(tokens), plain.logits(tokens)), 2e-5);
}

TEST(Generation, GoesOnWithPackedWeightsAlone) {
  const Model model = letter_model(12);
  GenerationOptions options = greedy(30);  // beyond the context, which slides
  options.weights = parse_weight_storage("int8");
  const std::vector<int32_t> expected = run(model, {{1, 2, 3}}, options).sequences()[0].tokens;

  Generation generation(model, {{1, 2, 3}}, options);
  const size_t before = model.parameters->value_bytes();
  size_t packed = 0;
  for (const PackedWeights::Tensor& tensor : generation.packed()->tensors()) {
    packed += static_cast<size_t>(model.parameters->find(tensor.name)->spec.shape.count()) * sizeof(float);
    model.parameters->give_up(tensor.name);
  }
  EXPECT_GT(packed, before / 2);
  EXPECT_EQ(model.parameters->value_bytes(), before - packed);
  while (generation.step()) {
  }
  EXPECT_EQ(generation.sequences()[0].tokens, expected);
  options.weights = {};
  EXPECT_SAYS(error_of([&] { (void)run(model, {{1}}, options); }), "is held in packed form alone");
  EXPECT_SAYS(error_of([&] { model.parameters->give_up("h.9.mlp.c_fc.weight"); }), "h.9.mlp.c_fc.weight");
}

}  // namespace
}  // namespace headlight
