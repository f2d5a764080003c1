// The engine under many requests at once, and closed while it works. Built under the thread sanitizer too.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "core/base/random.h"
#include "core/engine/engine.h"

namespace headlight {
namespace {

// Ten thousand requests that start, stop and reconfigure, from two threads, while a third one reads. The
// sizes are small so that the thread sanitizer gets through it.
TEST(EngineStress, StartsStopsAndReconfiguresCleanly) {
  constexpr int kRequests = 10'000;
  std::atomic<int> wakes{0};
  Engine engine(
      Engine::Options{.threads = 2, .snapshots_per_second = 1000, .wake = [&] { wakes.fetch_add(1); }});
  engine.post(OpenPreset{"nano"});
  engine.drain();
  ModelConfig small = engine.snapshot()->model.config;
  small.n_embd = 16;
  small.n_layer = 1;
  engine.post(ChangeConfig{small});
  TrainConfig train = engine.snapshot()->training.config;
  train.B = 2;
  train.T = 8;
  train.eval_every = train.sample_every = 0;
  engine.post(SetTrainConfig{train});
  engine.drain();
  ASSERT_EQ(engine.snapshot()->training.config.B, 2);

  std::atomic<bool> stop{false};
  std::thread reader([&] {
    uint64_t last = 0;
    while (!stop) {
      const auto snapshot = engine.snapshot();
      EXPECT_GE(snapshot->version, last);
      last = snapshot->version;
      if (snapshot->run) {
        EXPECT_EQ(snapshot->run->recorded.size(), snapshot->run->program().buffers().size());
      }
      std::this_thread::yield();
    }
  });
  const auto poster = [&](uint64_t seed) {
    Random random(seed);
    for (int i = 0; i < kRequests / 2; ++i) {
      switch (random.below(6)) {
        case 0:
          engine.post(Train{static_cast<int64_t>(random.below(3)) - 1});
          break;
        case 1:
          engine.post(PauseTraining{});
          break;
        case 2: {
          ModelConfig config = small;
          config.n_head = int64_t{1} << random.below(3);
          config.residual = random.below(2) == 0;
          engine.post(ChangeConfig{config});
          break;
        }
        case 3: {
          std::vector<int32_t> tokens(1 + random.below(6));
          for (int32_t& token : tokens) token = static_cast<int32_t>(random.below(40));
          engine.post(SetPromptTokens{tokens});
          break;
        }
        case 4:
          engine.post(ResetModel{random.below(100)});
          break;
        default:
          engine.post(Generate{1, SamplerConfig{}});
      }
    }
  };
  std::thread first(poster, 1), second(poster, 2);
  first.join();
  second.join();
  engine.post(PauseTraining{});
  engine.drain();
  stop = true;
  reader.join();
  const auto snapshot = engine.snapshot();
  EXPECT_NE(snapshot->training.status, TrainingStatus::failed) << snapshot->training.failure;
  for (const Notice& notice : snapshot->notices) EXPECT_NE(notice.level, Notice::Level::error) << notice.text;
  EXPECT_GT(wakes.load(), 0);
}

TEST(EngineStress, ClosesWhileItWorks) {
  for (int i = 0; i < 20; ++i) {
    Engine engine(Engine::Options{.threads = 2, .snapshots_per_second = 30, .wake = nullptr});
    engine.post(OpenPreset{"nano"});
    engine.post(Train{-1});
    std::this_thread::sleep_for(std::chrono::milliseconds(i % 7));
  }
}

}  // namespace
}  // namespace headlight
