// Heat maps drawn from the memory of the device that computed them and from the host's copy: the same
// picture, and the copy where the device does not share.
#include <gtest/gtest.h>

#include <optional>

#include "app/frame/gui_context.h"
#include "app/render/ui_renderer.h"
#include "app/theme/fonts.h"
#include "app/views/run_data.h"
#include "app/window/offscreen.h"
#include "core/base/error.h"
#include "tests/support/model.h"
#include "tests/support/simt/cuda_gl_interop.h"
#include "tests/support/simt/simt.h"

namespace headlight::app {
namespace {

using Recording = headlight::Run;

constexpr int side = 280;

bool write_texture(unsigned texture, size_t rows, size_t cols, const std::vector<float>& values) {
  GLint before = 0;
  glGetIntegerv(GL_TEXTURE_BINDING_2D, &before);
  glBindTexture(GL_TEXTURE_2D, texture);
  glTexSubImage2D(GL_TEXTURE_2D, 0, 0, 0, static_cast<GLsizei>(cols), static_cast<GLsizei>(rows), GL_RED,
                  GL_FLOAT, values.data());
  glBindTexture(GL_TEXTURE_2D, static_cast<GLuint>(before));
  return glGetError() == GL_NO_ERROR;
}

class DevicePicture : public testing::Test {
 protected:
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
    ASSERT_NE(backend_, nullptr) << why_not;
  }
  void TearDown() override { simt::set_texture_sink({}); }

  /// Forward pass on the emulated device, everything kept there too.
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
bool same(const Picture& a, const Picture& b) {
  for (int y = 0; y < side; ++y)
    for (int x = 0; x < side; ++x)
      for (int i = 0; i < 3; ++i)
        if (a.pixel(x, y)[i] != b.pixel(x, y)[i]) return false;
  return true;
}

TEST_F(DevicePicture, SharedAndCopiedTexturesGiveTheSamePicture) {
  simt::set_texture_sink(write_texture);
  for (const ElementType precision : {ElementType::f32, ElementType::bf16}) {
    const auto run = run_in(precision);
    // One head's square, a head's rows among those of the others, a whole buffer, a row of one.
    for (const char* name :
         {"blocks.1.attn.hook_pattern", "blocks.0.attn.hook_q", "blocks.1.mlp.hook_pre", "ln_f.weight"}) {
      SCOPED_TRACE(name);
      HeatMap map = map_of(run, name, 2);
      ASSERT_FALSE(map.plane.empty());
      ASSERT_NE(map.on_device, nullptr);
      UiRenderer sharing, copying;
      const Picture shared = draw(sharing, map);
      EXPECT_EQ(sharing.textures().written_on_device(), 1U);
      map.on_device = nullptr;
      const Picture copied = draw(copying, map);
      EXPECT_EQ(copying.textures().written_on_device(), 0U);
      EXPECT_TRUE(same(shared, copied));
      // The picture is one of these values: without them it is another.
      map.plane.rows = map.plane.cols = 0;
      EXPECT_FALSE(same(shared, draw(copying, map)));
    }
  }
}

TEST_F(DevicePicture, IsCopiedWhereTheDeviceDoesNotShare) {
  const auto run = run_in(ElementType::f32);
  HeatMap map = map_of(run, "blocks.1.attn.hook_pattern", 0);
  ASSERT_NE(map.on_device, nullptr);
  UiRenderer alone;
  EXPECT_FALSE(alone.shares_device());
  const Picture copied = draw(alone, map);
  EXPECT_EQ(alone.textures().written_on_device(), 0U);

  // A context that shares, but a texture that cannot be written.
  simt::set_texture_sink([](unsigned, size_t, size_t, const std::vector<float>&) { return false; });
  UiRenderer failing;
  EXPECT_TRUE(failing.shares_device());
  EXPECT_TRUE(same(draw(failing, map), copied));
  EXPECT_EQ(failing.textures().written_on_device(), 0U);

  // A matrix on its side.
  simt::set_texture_sink(write_texture);
  std::swap(map.plane.row_stride, map.plane.col_stride);
  UiRenderer sharing;
  draw(sharing, map);
  EXPECT_EQ(sharing.textures().written_on_device(), 0U);
}

TEST_F(DevicePicture, MemoryOutlivesTheBackendAndGoesWithTheRun) {
  auto run = run_in(ElementType::f32);
  HeatMap map = map_of(run, "blocks.1.attn.hook_pattern", 0);
  simt::set_texture_sink(write_texture);
  backend_.reset();
  UiRenderer sharing;
  draw(sharing, map);
  EXPECT_EQ(sharing.textures().written_on_device(), 1U);
  const size_t held = simt::allocated_bytes();
  EXPECT_GT(held, 0U);
  run.reset();
  map = {};
  EXPECT_LT(simt::allocated_bytes(), held);
}

}  // namespace
}  // namespace headlight::app
