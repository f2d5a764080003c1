// The engine thread: requests in, snapshots out. Also built under the thread sanitizer.
#include "core/engine/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/engine/builtin.h"
#include "core/io/json.h"
#include "core/model/config_json.h"
#include "core/tape/op.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace headlight {
namespace {

class EngineTest : public ::testing::Test {
 protected:
  std::shared_ptr<const Snapshot> after(Request request) {
    engine_.post(std::move(request));
    engine_.drain();
    return engine_.snapshot();
  }
  static std::string last_notice(const Snapshot& snapshot) {
    return snapshot.notices.empty() ? "" : snapshot.notices.back().text;
  }

  Engine engine_{Engine::Options{.threads = 2, .snapshots_per_second = 30, .wake = nullptr}};
};

TEST_F(EngineTest, PublishesAnEmptySnapshotAtOnce) {
  const auto snapshot = engine_.snapshot();
  ASSERT_NE(snapshot, nullptr);
  EXPECT_EQ(snapshot->run, nullptr);
  EXPECT_NE(snapshot->training.history, nullptr);
}

TEST_F(EngineTest, OpensAPresetAndRunsItsPrompt) {
  const auto snapshot = after(OpenPreset{"nano"});
  ASSERT_NE(snapshot->run, nullptr);
  EXPECT_EQ(snapshot->model.name, "nano");
  EXPECT_FALSE(snapshot->model.trained);
  EXPECT_NEAR(snapshot->run->loss, std::log(static_cast<double>(snapshot->model.config.vocab_size)), 0.1);
  EXPECT_EQ(snapshot->prompt_tokens.size(), static_cast<size_t>(snapshot->run->program().T()));
  EXPECT_FALSE(snapshot->generation.candidates.empty());
}

TEST_F(EngineTest, OpensTheLlamaPresetTrainsItAndSwitchesItsParts) {
  auto snapshot = after(OpenPreset{"llama-nano"});
  ASSERT_NE(snapshot->run, nullptr);
  EXPECT_NEAR(snapshot->run->loss, std::log(static_cast<double>(snapshot->model.config.vocab_size)), 0.1);
  EXPECT_TRUE(snapshot->run->program().find("blocks.1.attn.hook_rot_k"));
  snapshot = after(Train{25});
  EXPECT_LT(snapshot->training.history->back().train_loss, (*snapshot->training.history)[0].train_loss);
  const double loss = snapshot->run->loss;
  // One switch off and on again: what it had taken away comes back.
  const ModelConfig own = snapshot->model.config;
  for (const auto& change : std::vector<std::function<void(ModelConfig&)>>{
           [](ModelConfig& c) { c.mlp = MlpKind::none; },
           [](ModelConfig& c) { c.norm = NormKind::layernorm; },
           [](ModelConfig& c) { c.position = PositionKind::learned; }}) {
    ModelConfig other = own;
    change(other);
    EXPECT_NE(after(ChangeConfig{other})->run->loss, loss);
    EXPECT_EQ(after(ChangeConfig{own})->run->loss, loss);
  }
}

/// A folder whose embedding is a hole of `megabytes` in its file: zeros that cost no disk.
void write_large_folder(const test::TemporaryFolder& folder, int64_t megabytes) {
  const int64_t V = megabytes * 1000, C = 250;
  ModelConfig config;
  config.n_layer = config.n_head = 1;
  config.n_embd = C;
  config.vocab_size = V;
  config.mlp = MlpKind::none;
  config.position = PositionKind::none;
  config.norm = NormKind::none;
  config.bias = false;
  write_json_file(folder / "config.json", config_to_json(config));
  const int64_t table = V * C * 4, square = C * C * 4;
  nlohmann::ordered_json header;
  const auto add = [&](const char* name, std::vector<int64_t> shape, int64_t begin, int64_t bytes) {
    header[name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {begin, begin + bytes}}};
  };
  add("wte.weight", {V, C}, 0, table);
  add("h.0.attn.c_attn.weight", {C, 3 * C}, table, 3 * square);
  add("h.0.attn.c_proj.weight", {C, C}, table + 3 * square, square);
  const std::string text = header.dump();
  const auto length = static_cast<uint64_t>(text.size());
  std::string bytes(reinterpret_cast<const char*>(&length), 8);
  const auto file = folder.write("model.safetensors", bytes + text);
  std::filesystem::resize_file(file, 8 + length + static_cast<uint64_t>(table + 4 * square));
}

TEST(EngineLoading, ShowsHowFarItIs) {
  const test::TemporaryFolder folder;
  write_large_folder(folder, 300);
  std::vector<double> seen;
  Engine* running = nullptr;
  Engine engine(Engine::Options{.threads = 2, .snapshots_per_second = 30, .wake = [&] {
                                  if (running == nullptr) return;
                                  const auto snapshot = running->snapshot();
                                  if (!snapshot->loading) return;
                                  EXPECT_EQ(snapshot->loading->path, folder.path().string());
                                  EXPECT_TRUE(snapshot->busy);
                                  seen.push_back(snapshot->loading->fraction);
                                }});
  running = &engine;
  engine.post(OpenFolder{folder.path().string()});
  engine.drain();
  EXPECT_FALSE(engine.snapshot()->loading);
  EXPECT_EQ(engine.snapshot()->model.config.vocab_size, 300'000);
  // 300 MB take longer than the 50 ms after which the first figure is shown.
  ASSERT_FALSE(seen.empty());
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_GT(seen.front(), 0.0);
  EXPECT_LE(seen.back(), 1.0);
  // A folder that cannot be read leaves no bar behind.
  folder.write("model.safetensors", "x");
  engine.post(OpenFolder{folder.path().string()});
  engine.drain();
  EXPECT_FALSE(engine.snapshot()->loading);
  EXPECT_EQ(engine.snapshot()->notices.back().level, Notice::Level::error);
}

TEST_F(EngineTest, TrainsACountedNumberOfSteps) {
  after(OpenPreset{"nano"});
  const auto snapshot = after(Train{25});
  EXPECT_EQ(snapshot->training.step, 25);
  EXPECT_EQ(snapshot->training.status, TrainingStatus::paused);
  EXPECT_EQ(snapshot->training.history->size(), 25U);
  EXPECT_LT(snapshot->training.history->back().train_loss, (*snapshot->training.history)[0].train_loss);
  EXPECT_EQ(snapshot->run->training_step, 25);
}

TEST_F(EngineTest, AnswersWhileItTrains) {
  after(OpenPreset{"nano"});
  engine_.post(Train{-1});
  const auto prompt = engine_.snapshot()->prompt_tokens;
  std::vector<int32_t> shorter(prompt.begin(), prompt.begin() + 5);
  engine_.post(SetPromptTokens{shorter});
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (engine_.snapshot()->prompt_tokens != shorter && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(engine_.snapshot()->prompt_tokens, shorter);
  EXPECT_EQ(engine_.snapshot()->training.status, TrainingStatus::running);
  const auto paused = after(PauseTraining{});
  EXPECT_EQ(paused->training.status, TrainingStatus::paused);
}

TEST_F(EngineTest, ASwitchKeepsTheWeightsThatStillFit) {
  after(OpenPreset{"nano"});
  const auto trained = after(Train{20});
  ModelConfig config = trained->model.config;
  config.mlp = MlpKind::none;
  const auto without = after(ChangeConfig{config});
  EXPECT_EQ(without->model.config.mlp, MlpKind::none);
  EXPECT_NE(without->run->loss, trained->run->loss);
  config.mlp = MlpKind::plain;
  const auto back = after(ChangeConfig{config});
  EXPECT_EQ(back->run->loss, trained->run->loss) << "the MLP's trained weights come back with it";
  EXPECT_EQ(back->training.step, 20);
}

TEST_F(EngineTest, ABadRequestIsASentenceAndTheModelStays) {
  const auto before = after(OpenPreset{"nano"});
  ModelConfig config = before->model.config;
  config.n_head = 7;
  auto snapshot = after(ChangeConfig{config});
  EXPECT_NE(last_notice(*snapshot).find("n_head"), std::string::npos);
  EXPECT_EQ(snapshot->model.config, before->model.config);
  snapshot = after(SetPrompt{"The cat xyzzy"});
  EXPECT_NE(last_notice(*snapshot).find("xyzzy"), std::string::npos);
  EXPECT_EQ(snapshot->prompt, before->prompt);
  snapshot = after(SetEdits{{parse_edit("blocks.0.attn.hook_zz:zero")}});
  EXPECT_NE(last_notice(*snapshot).find("blocks.0.attn.hook_z"), std::string::npos);
  EXPECT_TRUE(snapshot->run->edits.empty());
  snapshot = after(OpenPreset{"nanoo"});
  EXPECT_NE(last_notice(*snapshot).find("nano"), std::string::npos);
  snapshot = after(OpenFolder{"/no/such/folder"});
  EXPECT_NE(last_notice(*snapshot).find("/no/such/folder"), std::string::npos);
  EXPECT_EQ(snapshot->model.name, "nano");
  EXPECT_NE(snapshot->run, nullptr);
}

TEST_F(EngineTest, EditsAreRunAgainHonestly) {
  const auto plain = after(OpenPreset{"nano"});
  const auto edited = after(SetEdits{{parse_edit("blocks.1.attn.hook_z:head=2:zero")}});
  ASSERT_EQ(edited->run->edits.size(), 1U);
  EXPECT_NE(edited->run->loss, plain->run->loss);
  const auto restored = after(SetEdits{{}});
  EXPECT_EQ(restored->run->loss, plain->run->loss);
}

TEST_F(EngineTest, RecordsWhatIsAskedFor) {
  const auto before = after(OpenPreset{"nano"});
  SetCapture asked;
  asked.capture = {.budget_bytes = 20'000, .watched = {{.glob = "blocks.1.attn.hook_pattern", .head = 3}}};
  asked.last = Phase::forward;
  const auto snapshot = after(asked);
  const headlight::Run &run = *snapshot->run, &whole = *before->run;
  EXPECT_LE(run.captured_bytes, size_t{20'000});
  EXPECT_FALSE(run.left_out.empty());
  EXPECT_EQ(run.steps_run, run.program().range(Phase::forward).last);
  const BufferId id = run.program().require("blocks.1.attn.hook_pattern");
  const ElementRange head = part_range({.head = 3}, run.program().buffer(id).shape);
  ASSERT_TRUE(run.has(id, head));
  const auto part = run.range(id, head), same = whole.range(id, head);
  EXPECT_TRUE(std::equal(part.begin(), part.end(), same.begin(), same.end()));
  EXPECT_NE(run.digest(id, 0), nullptr);
  EXPECT_FALSE(snapshot->generation.candidates.empty()) << "the last logits are always recorded";
  // Another wish for the same steps needs no other program.
  asked.capture.budget_bytes = 30'000;
  EXPECT_EQ(after(asked)->run->recorded_program, run.recorded_program);
  const auto all = after(SetCapture{});
  EXPECT_TRUE(all->run->left_out.empty());
  EXPECT_EQ(all->run->steps_run, static_cast<int>(all->run->program().steps().size()));
}

TEST_F(EngineTest, ALargeModelsGradientsWaitUntilTheyAreAskedFor) {
  const auto small = after(OpenPreset{"one-head"});
  EXPECT_EQ(small->run->steps_run, static_cast<int>(small->run->program().steps().size()));
  ModelConfig config = small->model.config;
  config.n_embd = 448;
  const auto snapshot = after(ChangeConfig{config});
  ASSERT_GT(snapshot->model.parameters.total(), most_parameters_updated_unasked);
  const headlight::Run& run = *snapshot->run;
  EXPECT_EQ(run.steps_run, run.program().range(Phase::loss).last);
  EXPECT_TRUE(std::isfinite(run.loss));
  SetCapture asked;
  asked.capture.watched = {{.glob = "hook_embed_grad"}};
  asked.last = Phase::backward;
  const auto answered = after(asked);
  EXPECT_EQ(answered->run->steps_run, answered->run->program().range(Phase::backward).last);
  EXPECT_FALSE(answered->run->values("hook_embed_grad").empty());
  EXPECT_EQ(answered->run->loss, run.loss);
}

TEST_F(EngineTest, GeneratesTheSameTextForTheSameSeed) {
  const auto start = after(OpenPreset{"nano"});
  SamplerConfig sampler;
  sampler.seed = 5;
  const auto first = after(Generate{6, sampler});
  ASSERT_EQ(first->generation.tokens.size(), 6U);
  after(SetPromptTokens{start->prompt_tokens});
  const auto second = after(Generate{6, sampler});
  ASSERT_EQ(second->generation.tokens.size(), 6U);
  for (size_t i = 0; i < 6; ++i)
    EXPECT_EQ(first->generation.tokens[i].token, second->generation.tokens[i].token);
}

TEST_F(EngineTest, SavesAndOpensWithTheTrainersState) {
  after(OpenPreset{"nano"});
  const auto trained = after(Train{10});
  const test::TemporaryFolder folder;
  after(SaveFolder{(folder.path() / "model").string()});
  const auto uninterrupted = after(Train{10});
  after(OpenPreset{"block"});
  const auto reopened = after(OpenFolder{(folder.path() / "model").string()});
  EXPECT_EQ(reopened->training.step, 10);
  EXPECT_EQ(reopened->run->loss, trained->run->loss);
  const auto resumed = after(Train{10});
  EXPECT_EQ(resumed->run->loss, uninterrupted->run->loss) << "a resumed run equals an uninterrupted one";
}

TEST_F(EngineTest, AFolderWithoutATokenizerOpensByTokenIds) {
  after(OpenPreset{"nano"});
  const test::TemporaryFolder folder;
  const std::filesystem::path model = folder.path() / "model";
  after(SaveFolder{model.string()});
  for (const char* kept : {"config.json", "model.safetensors"})
    std::filesystem::copy(model / kept, folder.path() / kept);
  const auto opened = after(OpenFolder{folder.path().string()});
  EXPECT_EQ(opened->notices.back().level, Notice::Level::warning);
  EXPECT_SAYS(opened->notices.back().text, "this model has no tokenizer file; give token ids");
  EXPECT_EQ(opened->prompt_tokens, (std::vector<int32_t>{0, 1, 2, 3, 4, 5, 6, 7}));
  ASSERT_NE(opened->run, nullptr);
  EXPECT_EQ(opened->run->tokens, opened->prompt_tokens);
  EXPECT_EQ(after(SetPromptTokens{{3, 1}})->run->program().T(), 2);
}

TEST_F(EngineTest, AnotherTextStartsAFreshModelWithItsCharacters) {
  after(OpenPreset{"nano"});
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "text.txt";
  {
    std::ofstream out(file);
    for (int i = 0; i < 200; ++i) out << "nước chảy đá mòn. ";
  }
  const auto snapshot = after(OpenCorpus{file.string()});
  EXPECT_EQ(snapshot->model.tokenizer->kind(), "characters");
  EXPECT_EQ(snapshot->model.config.vocab_size, snapshot->model.tokenizer->vocab_size());
  EXPECT_FALSE(snapshot->corpus.entropy_floor.has_value());
  const auto trained = after(Train{3});
  EXPECT_EQ(trained->training.step, 3);
}

TEST_F(EngineTest, TheDuelDrawsTheSameTokensBothWays) {
  const auto before = after(OpenPreset{"nano"});
  const auto snapshot = after(Duel{12, {.temperature = 1.3}});
  const DuelState& duel = snapshot->duel;
  EXPECT_FALSE(duel.running);
  EXPECT_EQ(duel.asked, 12);
  EXPECT_EQ(duel.prompt, static_cast<int64_t>(before->prompt_tokens.size()));
  ASSERT_EQ(duel.tokens.size(), 12U);
  for (size_t i = 0; i < duel.tokens.size(); ++i) {
    const DuelToken& token = duel.tokens[i];
    EXPECT_TRUE(token.same);
    EXPECT_GT(token.cached.seconds, 0);
    EXPECT_EQ(token.plain.computed, duel.prompt + static_cast<int64_t>(i));
    EXPECT_EQ(token.cached.computed, i == 0 ? duel.prompt : 1);
    EXPECT_EQ(token.plain.kept, 0U);
    // Two vectors of C floats for each block and token.
    EXPECT_EQ(token.cached.kept, static_cast<size_t>(token.plain.computed * 2 * before->model.config.n_layer *
                                                     before->model.config.n_embd * 4));
  }
  // The prompt stays, and generation draws the same tokens from the same seed.
  EXPECT_EQ(snapshot->prompt_tokens, before->prompt_tokens);
  const auto generated = after(Generate{12, {.temperature = 1.3}});
  for (size_t i = 0; i < 12; ++i) EXPECT_EQ(generated->generation.tokens[i].token, duel.tokens[i].token);
  EXPECT_GE(generated->generation.tokens[3].u, generated->generation.tokens[3].low);
  EXPECT_LT(generated->generation.tokens[3].u, generated->generation.tokens[3].high);
  EXPECT_GT(generated->generation.tokens[3].seconds, 0);
  EXPECT_EQ(after(CloseDuel{})->duel.asked, 0);
}

TEST_F(EngineTest, ADuelEndsWithItsModelOrOnRequest) {
  after(OpenPreset{"nano"});
  engine_.post(Duel{60, {}});
  engine_.post(CancelGeneration{});
  engine_.drain();
  EXPECT_FALSE(engine_.snapshot()->duel.running);
  EXPECT_EQ(after(OpenPreset{"nano"})->duel.asked, 0);
  ModelConfig open_mask = engine_.snapshot()->model.config;
  open_mask.mask = AttentionMask::none;
  after(ChangeConfig{open_mask});
  EXPECT_NE(last_notice(*after(Duel{5, {}})).find("there is nothing to duel: without a causal mask"),
            std::string::npos);
}

// The cache of one weight state must not outlive it.
TEST_F(EngineTest, GenerationFollowsTheWeights) {
  after(OpenPreset{"nano"});
  after(Generate{3, {.greedy = true}});
  after(Train{20});
  const auto prompt = engine_.snapshot()->prompt_tokens;
  const auto went_on = after(Generate{1, {.greedy = true}});
  // The run of the same weights on the same prompt has the same likeliest token.
  after(SetPromptTokens{prompt});
  const auto fresh = after(SetSampler{{.greedy = true}});
  EXPECT_EQ(went_on->prompt_tokens.back(), fresh->generation.candidates[0].token);
}

}  // namespace
}  // namespace headlight
