// Learning rates, training settings as text and JSON, and the metric files.
#include <gtest/gtest.h>

#include <cmath>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/train/metrics.h"
#include "core/train/schedule.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace headlight {
namespace {

using nlohmann::json;
using test::bytes_of;
using test::error_of;
using test::TemporaryFolder;

TEST(Schedule, WarmsUpAndFollowsHalfACosine) {
  TrainConfig config{.steps = 1100, .learning_rate = 1e-3, .min_learning_rate = 1e-4, .warmup_steps = 100};
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 0), 1e-5);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 49), 5e-4);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 99), 1e-3);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 100), 1e-3);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 600), 5.5e-4);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 1100), 1e-4);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 999'999), 1e-4);
  for (int64_t step = 100; step < 1100; ++step) {
    EXPECT_GE(learning_rate_at(config, step), learning_rate_at(config, step + 1));
  }
  config.schedule = Schedule::constant;
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 49), 5e-4);
  for (const int64_t step : {100, 600, 5000}) EXPECT_DOUBLE_EQ(learning_rate_at(config, step), 1e-3);
}

TEST(Schedule, OddSizesStayFinite) {
  for (const int64_t warmup : {0, 1, 10, 20}) {
    for (const int64_t steps : {0, 1, 10}) {
      const TrainConfig config{.steps = steps, .warmup_steps = warmup};
      for (int64_t step = 0; step < 30; ++step) {
        const double rate = learning_rate_at(config, step);
        EXPECT_TRUE(rate > 0 && rate <= config.learning_rate) << warmup << ' ' << steps << ' ' << step;
      }
    }
  }
}

TEST(TrainConfig, RoundTripsAsJsonAndText) {
  TrainConfig config{.B = 3,
                     .T = 17,
                     .steps = 9,
                     .learning_rate = 0.1,
                     .min_learning_rate = 0.05,
                     .warmup_steps = 2,
                     .schedule = Schedule::constant,
                     .weight_decay = 0.5,
                     .beta1 = 0.8,
                     .beta2 = 0.95,
                     .epsilon = 1e-6,
                     .grad_clip = 0,
                     .eval_every = 7,
                     .eval_batches = 2,
                     .sample_every = 0,
                     .precision = ElementType::bf16,
                     .checkpoint = true,
                     .seed = UINT64_MAX};
  const json written = train_config_to_json(config);
  EXPECT_EQ(train_config_from_json(json::parse(written.dump()), "file"), config);
  TrainConfig set;
  for (const auto& [key, value] : written.items()) {
    EXPECT_TRUE(is_train_key(key));
    set_train_value(set, key, value.is_string() ? value.get<std::string>() : value.dump());
  }
  EXPECT_EQ(set, config);
  EXPECT_EQ(train_config_from_json(json::object(), "file"), TrainConfig{});
  EXPECT_FALSE(is_train_key("n_head"));
}

TEST(TrainConfig, SaysWhatIsWrong) {
  TrainConfig config;
  const auto refuses = [&](const char* key, const char* value) {
    return error_of([&] { set_train_value(config, key, value); });
  };
  EXPECT_SAYS(refuses("lr", "1"), "“lr” is not a training setting; did you mean");
  EXPECT_SAYS(refuses("learning_rat", "1"), "did you mean learning_rate?");
  EXPECT_SAYS(refuses("batch", "many"), "batch = “many” cannot be used: it takes a whole number, such as 32");
  EXPECT_SAYS(refuses("batch", "1.5"), "batch = “1.5” cannot be used");
  EXPECT_SAYS(refuses("learning_rate", "fast"),
              "learning_rate = “fast” cannot be used: it takes a number, such as 1e-3");
  EXPECT_SAYS(refuses("schedule", "linear"), "schedule = “linear” cannot be used: it is constant or cosine");
  EXPECT_SAYS(refuses("checkpoint", "1"), "checkpoint = “1” cannot be used: it is true or false, such as true");
  EXPECT_SAYS(refuses("seed", "-1"), "seed = “-1” cannot be used: it takes a whole number from 0");
  EXPECT_EQ(config, TrainConfig{});

  const auto invalid = [](const TrainConfig& c) { return error_of([&] { validate(c); }); };
  EXPECT_EQ(invalid({}), "no error");
  EXPECT_SAYS(invalid({.B = 0}), "batch = 0 cannot be used: it must lie between 1 and 65536, such as 32");
  EXPECT_SAYS(invalid({.T = 0}), "context = 0 cannot be used");
  EXPECT_SAYS(invalid({.steps = -1}), "steps = -1 cannot be used: it must be at least 0");
  EXPECT_SAYS(invalid({.learning_rate = NAN}), "learning_rate = nan cannot be used");
  EXPECT_SAYS(invalid({.beta2 = 1}), "beta2 = 1 cannot be used");
  EXPECT_SAYS(invalid({.epsilon = 0}), "epsilon = 0 cannot be used");
  EXPECT_SAYS(invalid({.eval_batches = 0}), "eval_batches = 0 cannot be used");
  EXPECT_SAYS(invalid({.learning_rate = 1e-5}), "min_learning_rate = 0.0001 is above learning_rate = 1e-05");
  EXPECT_EQ(invalid({.learning_rate = 1e-5, .schedule = Schedule::constant}), "no error");

  const auto says = [](const json& root) {
    return error_of([&] { return train_config_from_json(root, "train.json"); });
  };
  EXPECT_SAYS(says({{"bath", 3}}), "“bath” is not a training setting (in train.json); did you mean batch?");
  EXPECT_SAYS(says({{"batch", "3"}}), "batch = “\"3\"” in train.json cannot be used");
  EXPECT_SAYS(says({{"batch", UINT64_MAX}}), "it takes a whole number");
  EXPECT_SAYS(says({{"batch", nullptr}}), "batch = “null” in train.json");
  EXPECT_SAYS(says({{"batch", 0}}), "batch = 0 cannot be used");
  EXPECT_SAYS(says(json::array()), "train.json holds array instead of an object");
}

const MetricPoint first{.step = 0,
                        .tokens = 2048,
                        .train_loss = 3.871,
                        .val_loss = 3.9,
                        .grad_norm = 1.25,
                        .learning_rate = 1e-5,
                        .tokens_per_second = 12345.5,
                        .seconds = 0.25};
const MetricPoint second{.step = 1,
                         .tokens = 4096,
                         .train_loss = NAN,
                         .val_loss = std::nullopt,
                         .grad_norm = INFINITY,
                         .learning_rate = 2e-5};

TEST(Metrics, JsonlIsJson) {
  const json a = json::parse(to_jsonl(first));
  EXPECT_EQ(a.at("step"), 0);
  EXPECT_EQ(a.at("tokens"), 2048);
  EXPECT_EQ(a.at("train_loss"), 3.871);
  EXPECT_EQ(a.at("val_loss"), 3.9);
  EXPECT_EQ(a.at("tokens_per_second"), 12345.5);
  const json b = json::parse(to_jsonl(second));
  EXPECT_TRUE(b.at("train_loss").is_null());
  EXPECT_TRUE(b.at("grad_norm").is_null());
  EXPECT_FALSE(b.contains("val_loss"));
}

TEST(Metrics, CsvHasAsManyCellsAsTheHeader) {
  const auto commas = [](const std::string& line) { return std::count(line.begin(), line.end(), ','); };
  EXPECT_EQ(commas(to_csv(first)), commas(csv_header()));
  EXPECT_EQ(commas(to_csv(second)), commas(csv_header()));
  EXPECT_EQ(to_csv(second), "1,4096,nan,,nan,2e-05,0,0");
}

TEST(Metrics, FilesGrowAndGoOn) {
  const TemporaryFolder folder;
  for (const char* name : {"log.jsonl", "log.csv"}) {
    {
      MetricsLog log(folder / name);
      log.add(first);
      EXPECT_SAYS(bytes_of(folder / name), "3.871");  // at once, not when it closes
    }
    MetricsLog(folder / name, true).add(second);
    write_metrics(folder / (std::string("all-") + name), std::vector<MetricPoint>{first, second});
    EXPECT_EQ(bytes_of(folder / name), bytes_of(folder / (std::string("all-") + name)));
    MetricsLog(folder / name).add(second);  // without append, a log starts anew
    EXPECT_FALSE(test::contains(bytes_of(folder / name), "3.871"));
  }
  EXPECT_EQ(bytes_of(folder / "all-log.csv").substr(0, 12), "step,tokens,");
}

TEST(Metrics, SayWhenTheyCannotBeWritten) {
  const TemporaryFolder folder;
  EXPECT_SAYS(error_of([&] { MetricsLog(folder / "no/log.jsonl"); }),
              "log.jsonl could not be created: No such file");
  EXPECT_SAYS(error_of([&] { MetricsLog log(folder.path()); }), "could not be created");
  EXPECT_SAYS(error_of([] { MetricsLog("/dev/full").add(first); }),
              "the log /dev/full could not be written: No space left");
  EXPECT_SAYS(error_of([&] { write_metrics(folder / "no/log.csv", {}); }), "its folder does not exist");
}

}  // namespace
}  // namespace headlight
