// The recorded pass of the last token with a cache: every value that it shares with the pass over the whole
// text is the same within rounding; what the cache holds is computed once.
#include <gtest/gtest.h>

#include "core/infer/last_token.h"
#include "tests/support/error_text.h"
#include "tests/support/model.h"

namespace headlight {
namespace {

using test::NamedConfig;

Model random_model(const ModelConfig& config) {
  Model model = make_model("test", config, nullptr, test::cpu(), 3);
  test::randomize(*model.parameters, 5);
  return model;
}

std::shared_ptr<const Run> whole(const Model& model, const std::vector<int32_t>& tokens) {
  ProgramOptions options;
  options.loss = false;
  RunInputs inputs;
  inputs.tokens = tokens;
  return test::run_model(model.config, *model.parameters, inputs, 1, static_cast<int64_t>(tokens.size()),
                         options);
}

/// The last of a buffer's rows by token, or of each head's rows.
std::vector<float> last_rows(const Run& run, std::string_view name) {
  const BufferId id = run.program().require(name);
  const Shape& shape = run.program().buffer(id).shape;
  const auto values = run.values(id);
  const auto width = static_cast<size_t>(shape.last());
  if (shape.rank() == 4 && shape[1].letter == "H") {
    std::vector<float> rows;
    const size_t T = static_cast<size_t>(shape.size(2)), head = T * width;
    for (size_t h = 0; h < static_cast<size_t>(shape.size(1)); ++h) {
      const auto row = values.subspan(h * head + (T - 1) * width, width);
      rows.insert(rows.end(), row.begin(), row.end());
    }
    return rows;
  }
  const auto row = values.last(static_cast<size_t>(shape.count() / shape.size(1)));
  return {row.begin(), row.end()};
}

class LastToken : public ::testing::TestWithParam<NamedConfig> {};

TEST_P(LastToken, SharesItsValuesWithTheWholePass) {
  const Model model = random_model(GetParam().config);
  const std::vector<int32_t> tokens = test::random_inputs(model.config, 1, 7, 5).tokens;
  if (model.config.mask != AttentionMask::causal) {
    EXPECT_SAYS(test::error_of([&] {
                  LastTokenPass pass(model, {});
                  (void)pass.record(tokens, {}, false);
                }),
                "needs mask = causal");
    return;
  }
  const auto all = whole(model, tokens);
  for (const bool fused : {false, true}) {
    LastTokenPass pass(model, {});
    const auto run = pass.record(tokens, {}, fused);
    EXPECT_TRUE(run->with_cache());
    EXPECT_EQ(run->text(), tokens);
    EXPECT_EQ(run->tokens, std::vector<int32_t>{tokens.back()});
    int shared = 0;
    for (const Buffer& buffer : run->program().buffers()) {
      const auto other = all->program().find(buffer.name);
      // The table of angles has one row for each place there, and one for each token here.
      if (buffer.name.starts_with("hook_rotary")) continue;
      if (!other || buffer.role != Role::activation || buffer.shape.rank() < 2 ||
          buffer.name == "unembed.hook_out")
        continue;
      std::vector<float> mine = last_rows(*run, buffer.name), theirs = last_rows(*all, buffer.name);
      // Places of the cache that no token has taken stand behind the keys of the whole pass.
      if (mine.size() > theirs.size()) {
        const auto H = static_cast<size_t>(buffer.shape.size(1)), S = mine.size() / H, T = theirs.size() / H;
        std::vector<float> used;
        for (size_t h = 0; h < H; ++h)
          used.insert(used.end(), mine.begin() + static_cast<std::ptrdiff_t>(h * S),
                      mine.begin() + static_cast<std::ptrdiff_t>(h * S + T));
        mine = used;
      }
      EXPECT_LT(test::relative_error(mine, theirs), 3e-5) << buffer.name;
      ++shared;
    }
    EXPECT_GT(shared, 6);
    const auto logits = all->values("unembed.hook_out").last(static_cast<size_t>(model.config.vocab_size));
    EXPECT_LT(test::relative_error(run->values("unembed.hook_out"), logits), 3e-5);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, LastToken, ::testing::ValuesIn(test::many_configs()),
                         [](const auto& which) { return which.param.name; });

TEST(LastTokenCache, FillsTheCacheWithWhatItLacksAlone) {
  const Model model = random_model(test::small_config());
  std::vector<int32_t> tokens = test::random_inputs(model.config, 1, 6, 5).tokens;
  LastTokenPass pass(model, {});
  const auto fresh = [&] {
    LastTokenPass other(model, {});
    return other.record(tokens, {}, false);
  };
  const auto same = [&](const headlight::Run& a, const headlight::Run& b) {
    return test::relative_error(a.values("unembed.hook_out"), b.values("unembed.hook_out")) < 2e-5;
  };
  (void)pass.record(tokens, {}, false);
  tokens.push_back(3);
  EXPECT_TRUE(same(*pass.record(tokens, {}, false), *fresh())) << "one more";
  tokens[2] = (tokens[2] + 1) % static_cast<int32_t>(model.config.vocab_size);
  EXPECT_TRUE(same(*pass.record(tokens, {}, false), *fresh())) << "another one in the middle";
  tokens.resize(3);
  EXPECT_TRUE(same(*pass.record(tokens, {}, false), *fresh())) << "shorter";
  tokens.resize(1);
  const auto first = pass.record(tokens, {}, false);
  EXPECT_TRUE(first->past.empty());
  EXPECT_TRUE(same(*first, *fresh())) << "alone";
}

TEST(LastTokenCache, TakesPlacesInEights) {
  EXPECT_EQ(cache_places(1, 100), 8);
  EXPECT_EQ(cache_places(7, 100), 8);
  EXPECT_EQ(cache_places(8, 100), 16) << "one place stays free for the next token";
  EXPECT_EQ(cache_places(97, 100), 100);
  EXPECT_EQ(cache_places(100, 100), 100);
  const Model model = random_model(test::small_config());
  LastTokenPass pass(model, {});
  EXPECT_SAYS(test::error_of([&] { (void)pass.record({}, {}, false); }), "no token");
}

}  // namespace
}  // namespace headlight
