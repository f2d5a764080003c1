// The badge of the top bar and the list behind it: where the model runs, what else there is, and why not.
#include <gtest/gtest.h>

#include "tests/app/views/live_window.h"

namespace headlight::app {
namespace {

TEST(DevicesWindow, TheBadgeOpensTheListWithTheReasonWhyOneIsNotAvailable) {
  LiveWindow window("one-head");
  EXPECT_EQ(window.snapshot().device_kind, "cpu");
  ASSERT_EQ(window.snapshot().devices.size(), 2U);
  window.click("device");
  EXPECT_EQ(window.app().session().overlay, Overlay::devices);
  ASSERT_NE(window.control("devices"), nullptr);
  ASSERT_NE(window.control("device.cpu"), nullptr);
  const Control* cuda = window.control("device.cuda");
  ASSERT_NE(cuda, nullptr);
  EXPECT_EQ(cuda->enabled, window.snapshot().devices[1].why_not.empty());
  window.run("device.menu");
  EXPECT_EQ(window.app().session().overlay, Overlay::none);
}

TEST(DevicesWindow, ADeviceThatIsNotThereLeavesTheModelWhereItIs) {
  LiveWindow window("one-head");
  if (window.snapshot().devices[1].why_not.empty()) GTEST_SKIP() << "this machine has a CUDA device";
  window.run("device.set cuda");
  EXPECT_EQ(window.snapshot().device_kind, "cpu");
  ASSERT_FALSE(window.snapshot().notices.empty());
  EXPECT_NE(window.snapshot().notices.back().text.find(window.snapshot().devices[1].why_not),
            std::string::npos);
  window.run("device.set auto");
  EXPECT_EQ(window.snapshot().device_kind, "cpu");
  EXPECT_THROW(window.run("device.set tpu"), std::exception);
}

TEST(DevicesWindow, TheTrainingViewSaysWhatMemoryATrainingTakes) {
  LiveWindow window("one-head");
  const size_t total = window.snapshot().memory.total();
  EXPECT_GT(total, 0U);
  EXPECT_GT(window.snapshot().memory_available, total);
  window.run("view.training");
  window.run("train.set batch 64");
  EXPECT_GT(window.snapshot().memory.total(), total);
  EXPECT_EQ(window.snapshot().training.step, 0);
}

}  // namespace
}  // namespace headlight::app
