// Heat maps drawn offscreen from the memory of a CUDA device: what the tests of the device's pictures share,
// on a real one and on the emulated one.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string_view>

#include "app/frame/gui_context.h"
#include "app/render/ui_renderer.h"
#include "app/theme/fonts.h"
#include "app/views/run_data.h"
#include "app/window/offscreen.h"
#include "core/base/error.h"
#include "tests/support/model.h"

namespace headlight::app::test {

class DevicePicture : public testing::Test {
 protected:
  using Recording = headlight::Run;
  static constexpr int side = 280;

  void SetUp() override {
    try {
      target_.emplace(side, side);
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
    gui_.emplace();
    fonts_.build(1);
    std::string why_not;
    backend_ = kernels::make_cuda_backend(why_not);
    if (backend_ == nullptr) GTEST_SKIP() << why_not;
  }
  /// Forward pass on the device, everything kept there too.
  std::shared_ptr<const Recording> run_in(ElementType precision) {
    const ModelConfig config = headlight::test::small_config();
    Parameters parameters(*backend_, config, 3);
    headlight::test::randomize(parameters, 3);
    ProgramOptions options;
    options.precision = precision;
    Capture capture;
    capture.keep_on_device = true;
    auto run = std::make_shared<Recording>(*headlight::test::run_model(
        config, parameters, headlight::test::random_inputs(config, 1, 7, 5), 1, 7, options, capture));
    run->config = config;
    return run;
  }

  Picture draw(UiRenderer& renderer, const HeatMap& map) {
    renderer.upload_fonts();
    ImGuiIO& io = ImGui::GetIO();
    io.DisplaySize = {side, side};
    io.DeltaTime = 0.016F;
    ImGui::NewFrame();
    const auto cols = static_cast<float>(map.plane.cols), rows = static_cast<float>(map.plane.rows);
    ImGui::GetBackgroundDrawList()->AddImage(const_cast<HeatMap*>(&map), {20, 20}, {260, 260}, {0, 0},
                                             {cols, rows});
    ImGui::Render();
    renderer.render(*ImGui::GetDrawData(), theme(ThemeKind::dark).background);
    return target_->read();
  }

  HeatMap map_of(const std::shared_ptr<const Recording>& run, std::string_view name, int64_t head) {
    const ComparedPlane plane = compared_plane(run, Pins{}, name, head);
    HeatMap map{plane.key, plane.plane, plane.owner, {}, plane.on_device};
    map.style.low = plane.low;
    map.style.high = plane.high;
    return map;
  }

  std::optional<Offscreen> target_;
  std::optional<GuiContext> gui_;
  Fonts fonts_;
  std::unique_ptr<kernels::Backend> backend_;
};

/// Pixels of both; false where one differs.
inline bool same(const Picture& a, const Picture& b) {
  for (int y = 0; y < a.height; ++y)
    for (int x = 0; x < a.width; ++x)
      for (int i = 0; i < 3; ++i)
        if (a.pixel(x, y)[i] != b.pixel(x, y)[i]) return false;
  return true;
}

}  // namespace headlight::app::test
