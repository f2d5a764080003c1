// Training on the emulated device: steps are recorded once and replayed, the loss follows the CPU's, and the
// bits depend neither on the order of the device's threads nor on the run.
#include <gtest/gtest.h>

#include <cmath>

#include "core/engine/builtin.h"
#include "core/text/story.h"
#include "core/train/trainer.h"
#include "tests/support/simt/simt.h"

namespace headlight {
namespace {

class EmulatedTraining : public ::testing::Test {
 protected:
  EmulatedTraining() {
    config_.n_layer = 1;
    config_.n_embd = 16;
    config_.n_head = 2;
    config_.n_positions = 16;
    config_.dropout = 0.1;
    train_.B = 2;
    train_.T = 16;
    train_.steps = 6;
    train_.warmup_steps = 2;
    corpus_ = std::make_shared<const Corpus>(stories_corpus(3, 20'000, 16));
    config_.vocab_size = corpus_->vocab_size();
  }
  ~EmulatedTraining() override { simt::set_order(simt::Order::forward); }

  std::vector<float> losses(kernels::Backend& backend) {
    Model model = make_model("tiny", config_, corpus_->tokenizer(), backend, train_.seed);
    Trainer trainer(model, corpus_, train_);
    std::vector<float> all;
    for (int i = 0; i < 6; ++i) all.push_back(static_cast<float>(trainer.step().train_loss));
    return all;
  }
  static std::unique_ptr<kernels::Backend> emulated(simt::Order order) {
    simt::set_order(order);
    std::string why_not;
    auto backend = kernels::make_cuda_backend(why_not);
    EXPECT_NE(backend, nullptr) << why_not;
    return backend;
  }

  ModelConfig config_;
  TrainConfig train_;
  std::shared_ptr<const Corpus> corpus_;
};

TEST_F(EmulatedTraining, FollowsTheCpuAndRepeatsBitByBit) {
  const std::vector<float> cpu = losses(*kernels::make_cpu_backend(1));
  const std::vector<float> first = losses(*emulated(simt::Order::forward));
  const std::vector<float> again = losses(*emulated(simt::Order::shuffled));
  EXPECT_EQ(first, again);
  ASSERT_EQ(first.size(), cpu.size());
  for (size_t i = 0; i < cpu.size(); ++i) EXPECT_NEAR(first[i], cpu[i], 2e-5F * cpu[i]) << i;
  EXPECT_LT(first.back(), first.front());
}

}  // namespace
}  // namespace headlight
