// Memory that runs out: at every place where the engine asks for some, in turn, and by the byte. Whatever
// fails, the model and the engine live on, and the sentence names what would fit.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <regex>

#include "core/engine/engine.h"
#include "core/model/model_folder.h"
#include "tests/support/error_text.h"
#include "tests/support/limited_backend.h"
#include "tests/support/temporary_folder.h"

namespace headlight {
namespace {

using test::LimitedBackend;
using test::MemoryLimit;

/// An engine whose CPU and "GPU" have limits.
class LimitedEngine {
 public:
  LimitedEngine() {
    Engine::Options options;
    options.open_device = [this](std::string_view kind, int) -> std::unique_ptr<kernels::Backend> {
      return std::make_unique<LimitedBackend>(kind == "cuda" ? gpu : cpu, std::string(kind));
    };
    engine_ = std::make_unique<Engine>(std::move(options));
  }
  std::shared_ptr<const Snapshot> after(Request request) {
    engine_->post(std::move(request));
    engine_->drain();
    return engine_->snapshot();
  }
  /// One after the other; the probe runs once behind them.
  std::shared_ptr<const Snapshot> after(std::vector<Request> requests) {
    for (Request& request : requests) engine_->post(std::move(request));
    engine_->drain();
    return engine_->snapshot();
  }
  [[nodiscard]] std::shared_ptr<const Snapshot> snapshot() const { return engine_->snapshot(); }
  /// The newest error, empty where none came behind notice `id`.
  [[nodiscard]] std::string error_behind(uint64_t id) const {
    std::string text;
    for (const Notice& notice : snapshot()->notices) {
      if (notice.id > id && notice.level == Notice::Level::error) text = notice.text;
    }
    return text;
  }
  [[nodiscard]] uint64_t last_notice() const {
    return snapshot()->notices.empty() ? 0 : snapshot()->notices.back().id;
  }
  void close() { engine_.reset(); }

  std::shared_ptr<MemoryLimit> cpu = std::make_shared<MemoryLimit>(), gpu = std::make_shared<MemoryLimit>();

 private:
  std::unique_ptr<Engine> engine_;
};

/// Steps without evaluations and sample texts.
TrainConfig short_steps() { return {.B = 2, .T = 8, .eval_every = 0, .sample_every = 0}; }

/// A request, and what comes before it.
struct Scenario {
  std::string name;
  std::vector<Request> before;
  std::function<Request(const Snapshot&)> request;
};
void PrintTo(const Scenario& scenario, std::ostream* out) { *out << scenario.name; }

std::vector<Scenario> scenarios() {
  const auto with_config = [](auto change) {
    return [change](const Snapshot& s) -> Request {
      ModelConfig config = s.model.config;
      change(config);
      return ChangeConfig{config};
    };
  };
  return {
      {"open", {}, [](const Snapshot&) -> Request { return OpenPreset{"block"}; }},
      {"reset", {}, [](const Snapshot&) -> Request { return ResetModel{77}; }},
      {"switch", {}, with_config([](ModelConfig& c) { c.n_layer += 1; })},
      {"switch_of_a_trained_model", {Train{2}}, with_config([](ModelConfig& c) { c.bias = !c.bias; })},
      {"train", {}, [](const Snapshot&) -> Request { return Train{2}; }},
      {"train_settings",
       {Train{1}},
       [](const Snapshot& s) -> Request {
         TrainConfig train = s.training.config;
         train.B *= 2;
         return SetTrainConfig{train};
       }},
      {"run",
       {},
       [](const Snapshot& s) -> Request {
         std::vector<int32_t> tokens = s.prompt_tokens;
         tokens.pop_back();
         return SetPromptTokens{tokens};
       }},
      {"capture",
       {},
       [](const Snapshot&) -> Request {
         return SetCapture{{}, Phase::update, true};
       }},
      {"edit",
       {},
       [](const Snapshot&) -> Request { return SetEdits{{parse_edit("blocks.0.attn.hook_z:zero")}}; }},
      {"generate",
       {},
       [](const Snapshot&) -> Request {
         return Generate{2, {}};
       }},
      {"device", {Train{1}}, [](const Snapshot&) -> Request { return SetDevice{"cuda"}; }},
  };
}

class EveryAllocation : public ::testing::TestWithParam<Scenario> {
 protected:
  /// The state that the request is made in; the limits count from 0 behind it.
  std::shared_ptr<const Snapshot> prepare() {
    for (MemoryLimit* limit : {engine_.cpu.get(), engine_.gpu.get()}) {
      limit->fail_at = -1;
      limit->fail_after = false;
    }
    std::vector<Request> requests{SetDevice{"cpu"}, SetCapture{}, OpenPreset{"one-head"},
                                  SetTrainConfig{short_steps()}};
    requests.insert(requests.end(), GetParam().before.begin(), GetParam().before.end());
    const auto snapshot = engine_.after(std::move(requests));
    engine_.cpu->restart();
    engine_.gpu->restart();
    return snapshot;
  }
  /// Allocations of the request where none fails.
  int64_t count() {
    const auto before = prepare();
    (void)engine_.after(GetParam().request(*before));
    return std::max(engine_.cpu->calls.load(), engine_.gpu->calls.load());
  }
  /// Behind the first few, every fifth: those are the weights and moments, all asked for in one place.
  static int64_t next(int64_t call) { return call < 12 ? call + 1 : call + 5; }
  void fail_from(int64_t call, bool and_after) {
    for (MemoryLimit* limit : {engine_.cpu.get(), engine_.gpu.get()}) {
      limit->fail_after = and_after;
      limit->fail_at = call;
    }
  }
  LimitedEngine engine_;
};

TEST_P(EveryAllocation, OneRefusalIsOvercomeByTryingAgain) {
  const int64_t calls = count();
  EXPECT_GT(calls, 0);
  for (int64_t call = 0; call < calls; call = next(call)) {
    const auto before = prepare();
    const uint64_t notice = engine_.last_notice();
    fail_from(call, false);
    (void)engine_.after(GetParam().request(*before));
    EXPECT_EQ(engine_.error_behind(notice), "") << "allocation " << call;
  }
}

TEST_P(EveryAllocation, WhenNothingCanBeHadTheModelLivesOn) {
  const int64_t calls = count();
  for (int64_t call = 0; call < calls; call = next(call)) {
    SCOPED_TRACE(call);
    const auto before = prepare();
    const uint64_t notice = engine_.last_notice();
    fail_from(call, true);
    const auto during = engine_.after(GetParam().request(*before));
    EXPECT_NE(engine_.error_behind(notice), "");
    ASSERT_FALSE(during->model.name.empty());
    // Memory is there again: the same engine runs and trains what it holds.
    fail_from(-1, false);
    const uint64_t failed = engine_.last_notice();
    const auto later = engine_.after(SetPromptTokens{during->prompt_tokens});
    ASSERT_NE(later->run, nullptr);
    EXPECT_TRUE(std::isfinite(later->run->loss));
    const bool same_model =
        later->model.name == before->model.name && later->model.config == before->model.config &&
        later->model.seed == before->model.seed && later->training.step == before->training.step &&
        later->prompt_tokens == before->prompt_tokens && GetParam().name != "edit";
    if (same_model) {
      EXPECT_EQ(later->run->loss, before->run->loss);
    }
    const auto trained = engine_.after(std::vector<Request>{SetTrainConfig{short_steps()}, Train{1}});
    EXPECT_EQ(trained->training.step, later->training.step + 1);
    EXPECT_EQ(engine_.error_behind(failed), "");
  }
}

TEST_P(EveryAllocation, NothingLeaks) {
  const auto before = prepare();
  (void)engine_.after(GetParam().request(*before));
  fail_from(0, true);
  (void)engine_.after(OpenPreset{"nano"});
  engine_.close();
  EXPECT_EQ(engine_.cpu->held, 0U);
  EXPECT_EQ(engine_.gpu->held, 0U);
}

INSTANTIATE_TEST_SUITE_P(All, EveryAllocation, ::testing::ValuesIn(scenarios()),
                         [](const auto& which) { return which.param.name; });

TEST(MemoryByTheByte, ATrainingThatDoesNotFitNamesOneThatDoes) {
  LimitedEngine engine;
  const auto opened = engine.after(OpenPreset{"nano"});
  engine.cpu->bytes = engine.cpu->held + 3 * opened->memory.total();
  TrainConfig large = opened->training.config;
  large.B *= 64;
  const uint64_t notice = engine.last_notice();
  const auto refused = engine.after(SetTrainConfig{large});
  const std::string text = engine.error_behind(notice);
  EXPECT_EQ(refused->training.config, opened->training.config);
  std::smatch batch;
  ASSERT_TRUE(std::regex_search(text, batch, std::regex("; batch=([0-9]+)(, [a-z]+=[0-9a-z]+)*.* would fit")))
      << text;
  EXPECT_SAYS(text, fmt::format("training with batch={}", large.B));
  large.B = std::stoll(batch[1]);
  EXPECT_GT(large.B, opened->training.config.B);
  const auto taken = engine.after(SetTrainConfig{large});
  EXPECT_EQ(taken->training.config.B, large.B);
  EXPECT_EQ(engine.after(Train{1})->training.step, 1);
}

TEST(MemoryByTheByte, ATrainingThatFitsWithCheckpointingSaysSo) {
  LimitedEngine engine;
  const auto opened = engine.after(OpenPreset{"nano"});
  TrainConfig large = opened->training.config;
  large.B *= 16;
  const MemoryUse plain = memory_of_training(opened->model.config, large, false);
  large.checkpoint = true;
  const MemoryUse again = memory_of_training(opened->model.config, large, false);
  ASSERT_LT(again.total(), plain.total());
  large.checkpoint = false;
  // Between the two; the weights are there already.
  engine.cpu->bytes = engine.cpu->held + (again.total() + plain.total()) / 2 - again.parameters;
  const uint64_t notice = engine.last_notice();
  (void)engine.after(SetTrainConfig{large});
  EXPECT_SAYS(engine.error_behind(notice), "checkpoint=true");
  large.checkpoint = true;
  EXPECT_TRUE(engine.after(SetTrainConfig{large})->training.config.checkpoint);
  EXPECT_EQ(engine.after(Train{1})->training.step, 1);
}

TEST(MemoryByTheByte, ThePlanIsWhatIsAllocated) {
  LimitedEngine engine;
  const auto opened = engine.after(OpenPreset{"nano"});
  (void)engine.after(SetCapture{{{}, 0}, Phase::loss, true});
  const size_t before = engine.cpu->held;
  const auto trained = engine.after(Train{1});
  // Weights and moments were there, as the first probe ran an update.
  const MemoryUse& use = opened->memory;
  EXPECT_NEAR(static_cast<double>(engine.cpu->held - before),
              static_cast<double>(use.gradients + use.activations), 0.05 * static_cast<double>(use.total()));
  EXPECT_EQ(trained->memory, use);
  EXPECT_GT(use.gradients, use.parameters / 2);
}

TEST(MemoryByTheByte, AModelThatDoesNotFitNamesAWidthThatDoes) {
  LimitedEngine engine;
  const auto opened = engine.after(OpenPreset{"nano"});
  engine.cpu->bytes = engine.cpu->held + size_t{64} * 1000 * 1000;
  ModelConfig config = opened->model.config;
  config.n_embd = 16384;
  const uint64_t notice = engine.last_notice();
  const auto refused = engine.after(ChangeConfig{config});
  EXPECT_SAYS(engine.error_behind(notice), " MB available; ");
  EXPECT_SAYS(engine.error_behind(notice), "would fit");
  EXPECT_EQ(refused->model.config, opened->model.config);
}

TEST(MemoryByTheByte, AWidthThatNoMachineHasIsASentence) {
  Engine engine({});
  engine.post(OpenPreset{"nano"});
  engine.drain();
  ModelConfig config = engine.snapshot()->model.config;
  config.n_embd = 16384;
  config.n_layer = 24;
  engine.post(ChangeConfig{config});
  engine.drain();
  ASSERT_FALSE(engine.snapshot()->notices.empty());
  EXPECT_SAYS(engine.snapshot()->notices.back().text, "but this machine has");
  EXPECT_NE(engine.snapshot()->model.config, config);
}

TEST(Devices, TheModelMovesWithWeightsMomentsAndTraining) {
  LimitedEngine engine, still;
  for (LimitedEngine* one : {&engine, &still}) {
    (void)one->after(OpenPreset{"nano"});
    (void)one->after(Train{3});
  }
  const auto moved = engine.after(SetDevice{"cuda"});
  EXPECT_EQ(moved->device_kind, "cuda");
  EXPECT_EQ(moved->device, "Pretended GPU");
  EXPECT_EQ(moved->run->backend, "cuda");
  EXPECT_EQ(engine.cpu->held, 0U);
  EXPECT_GT(engine.gpu->held, 0U);
  // The same arithmetic there: training goes on as if nothing had happened.
  const auto a = engine.after(Train{3}), b = still.after(Train{3});
  EXPECT_EQ(a->training.step, 6);
  EXPECT_EQ(a->training.history->back().train_loss, b->training.history->back().train_loss);
  EXPECT_EQ(engine.after(SetDevice{"cpu"})->device_kind, "cpu");
  EXPECT_EQ(engine.gpu->held, 0U);
}

TEST(Devices, MovingWhileItTrainsKeepsTraining) {
  LimitedEngine engine;
  (void)engine.after(OpenPreset{"nano"});
  (void)engine.after(Train{-1});
  const auto moved = engine.after(SetDevice{"cuda"});
  EXPECT_EQ(moved->device_kind, "cuda");
  EXPECT_EQ(moved->training.status, TrainingStatus::running);
  const auto paused = engine.after(PauseTraining{});
  EXPECT_EQ(paused->training.status, TrainingStatus::paused);
  EXPECT_EQ(paused->training.failure, "");
}

TEST(Devices, OneThatCannotBeHadSaysWhyAndNothingChanges) {
  Engine::Options options;
  options.device = "cuda";
  options.open_device = [](std::string_view kind, int threads) {
    if (kind == "cuda") fail("CUDA cannot be used: there is none in this test");
    return kernels::make_cpu_backend(threads);
  };
  Engine engine(std::move(options));
  engine.post(OpenPreset{"nano"});
  engine.drain();
  EXPECT_EQ(engine.snapshot()->device_kind, "cpu");
  ASSERT_FALSE(engine.snapshot()->notices.empty());
  EXPECT_SAYS(engine.snapshot()->notices.front().text, "there is none in this test");
  ASSERT_EQ(engine.snapshot()->devices.size(), 2U);
  EXPECT_EQ(engine.snapshot()->devices[0].why_not, "");
  EXPECT_NE(engine.snapshot()->run, nullptr);
}

}  // namespace
}  // namespace headlight
