// The real window with a real mouse and keyboard: type a prompt, step, switch heads, train 50 steps, save,
// close, open again. Runs the built program under Xvfb and looks at the files that it leaves.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "app/frame/app.h"
#include "app/frame/gui_context.h"
#include "core/io/json.h"
#include "core/model/model_folder.h"
#include "tests/end_to_end/desktop.h"
#include "tests/support/temporary_folder.h"

namespace headlight {
namespace {

using std::chrono::seconds;

constexpr int kWidth = 1600, kHeight = 900;

/// Where a control stands in a window of this size with the preset nano open.
ImVec2 middle_of(const std::string& control, ImVec2 size) {
  const app::GuiContext gui;
  const app::Strings strings;
  app::LiveEngine engine({});
  app::App inside(engine, strings, {});
  inside.session().state.probe.preset = "nano";
  inside.start();
  engine.drain();
  for (int i = 0; i < 5; ++i) inside.frame(1.0 + i * 0.1, size);
  const app::Control* found = inside.controls().find(control);
  if (found == nullptr) return {-1, -1};
  return {(found->rect.x0 + found->rect.x1) / 2, (found->rect.y0 + found->rect.y1) / 2};
}

class WindowTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!test::on_path("Xvfb") || !test::on_path("xdotool"))
      GTEST_SKIP() << "Xvfb or xdotool is not installed";
  }
  std::vector<std::string> environment(const test::Desktop& desktop) const {
    return {"DISPLAY=" + desktop.display(), "XDG_STATE_HOME=" + (folder_.path() / "state").string(),
            "XDG_CONFIG_HOME=" + (folder_.path() / "config").string(),
            "XDG_DATA_HOME=" + (folder_.path() / "data").string()};
  }
  /// Types a command into the palette.
  static void palette(const test::Desktop& desktop, const std::string& command) {
    desktop.key("ctrl+p");
    desktop.type(command);
    desktop.key("Return");
  }
  [[nodiscard]] nlohmann::json session() const {
    return read_json_file(folder_.path() / "state/headlight/session.json", "session");
  }

  test::TemporaryFolder folder_;
};

TEST_F(WindowTest, TypesStepsSwitchesTrainsSavesAndOpensAgain) {
  test::Desktop desktop(kWidth, kHeight);
  ASSERT_FALSE(desktop.display().empty()) << "Xvfb did not start";
  const std::filesystem::path saved = folder_.path() / "model";
  {
    test::Child window({HEADLIGHT_PROGRAM, "--preset", "nano"}, environment(desktop));
    ASSERT_TRUE(desktop.focus("Headlight"));

    desktop.key("ctrl+e");
    desktop.key("ctrl+a");
    desktop.type("The dog ran. The dog");
    desktop.key("Return");

    const ImVec2 heads =
        middle_of("heads.2", {static_cast<float>(desktop.width()), static_cast<float>(desktop.height())});
    ASSERT_GE(heads.x, 0) << "the window has no control heads.2";
    desktop.click(static_cast<int>(heads.x), static_cast<int>(heads.y));

    desktop.key("Home");
    desktop.key("Right Right");

    palette(desktop, "train.steps 50");
    // The training is over when a model saved behind it has its fifty steps; saving again is harmless.
    ASSERT_TRUE(test::eventually(seconds(90), [&] {
      palette(desktop, "model.save " + saved.string());
      if (!test::eventually(seconds(5), [&] { return std::filesystem::exists(saved / "model.safetensors"); }))
        return false;
      const auto backend = kernels::make_cpu_backend(1);
      const OpenedModel model = open_model_folder(saved, *backend);
      return model.trainer.has_value() && model.trainer->step == 50;
    })) << "no saved model with 50 steps of training";
    desktop.key("ctrl+q");
    EXPECT_EQ(window.wait(seconds(20)), 0);
  }
  {
    const auto backend = kernels::make_cpu_backend(1);
    const OpenedModel model = open_model_folder(saved, *backend);
    EXPECT_EQ(model.model.config.n_head, 2);
    EXPECT_EQ(model.history.size(), 50U);
  }
  const nlohmann::json left = session();
  EXPECT_EQ(left.at("probe").at("prompt"), "The dog ran. The dog") << left.dump(1);
  const std::string step = left.at("step");
  EXPECT_EQ(step, "blocks.0.hook_resid_pre") << left.dump(1);

  test::Child again({HEADLIGHT_PROGRAM}, environment(desktop));
  ASSERT_TRUE(desktop.focus("Headlight"));
  ASSERT_TRUE(test::eventually(seconds(20), [&] { return again.running(); }));
  std::this_thread::sleep_for(std::chrono::seconds(2));
  desktop.key("Right");
  desktop.key("ctrl+q");
  EXPECT_EQ(again.wait(seconds(20)), 0);
  EXPECT_EQ(session().at("step"), "blocks.0.ln1.hook_out") << "the session goes on where it was left";
  EXPECT_EQ(session().at("probe").at("prompt"), "The dog ran. The dog");
}

TEST_F(WindowTest, WithoutADisplayItSaysSoAndNamesRender) {
  const std::filesystem::path said = folder_.path() / "said";
  const std::string command = "DISPLAY= WAYLAND_DISPLAY= " HEADLIGHT_PROGRAM " 2>" + said.string();
  const int status = std::system(command.c_str());
  EXPECT_EQ(WEXITSTATUS(status), 1);
  std::ifstream file(said);
  const std::string sentence((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_NE(sentence.find("display"), std::string::npos) << sentence;
  EXPECT_NE(sentence.find("headlight render"), std::string::npos) << sentence;
}

}  // namespace
}  // namespace headlight
