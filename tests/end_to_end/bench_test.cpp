// Benchmarks as a user starts them: they end, and what they print hangs together. Nothing is said about
// speeds.
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "tests/end_to_end/program.h"

namespace headlight {
namespace {

using test::Outcome;
using test::run;

TEST(Benchmarks, TheWindowBesideATraining) {
  const Outcome ended =
      run("bench live --device cpu --batch 2 --context 16 --prompt 8 --seconds 1.5 --rounds 1 --json");
  ASSERT_EQ(ended.status, 0) << ended.output;
  const auto result = nlohmann::json::parse(ended.output);
  const double looking = result["tokens_per_second"], alone = result["tokens_per_second_rarely_looked_at"];
  EXPECT_GT(looking, 0);
  EXPECT_GT(alone, 0);
  EXPECT_NEAR(result["training_lost"].get<double>(), 1 - looking / alone, 1e-9);
  EXPECT_GT(result["frame_median_ms"].get<double>(), 0);
  EXPECT_GE(result["frame_p99_ms"].get<double>(), result["frame_median_ms"].get<double>());
  EXPECT_FALSE(result["drawn_by"].get<std::string>().empty());
}

TEST(Benchmarks, TrainingTakesBatchAndContext) {
  const Outcome ended = run("bench train --batch 3 --context 16 --steps 2 --json");
  ASSERT_EQ(ended.status, 0) << ended.output;
  const auto result = nlohmann::json::parse(ended.output);
  EXPECT_EQ(result["B"], 3);
  EXPECT_EQ(result["T"], 16);
  EXPECT_GT(result["tokens_per_second"].get<double>(), 0);
  const Outcome refused = run("bench train --context 129");
  EXPECT_EQ(refused.status, 1);
  EXPECT_EQ(refused.output, "headlight: tiny has 128 positions, too few for --context 129\n");
}

}  // namespace
}  // namespace headlight
