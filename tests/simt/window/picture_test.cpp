// What only the emulated device can be told: not to share its textures, to fail at one, and how much of its
// memory is in use.
#include "tests/app/support/device_picture.h"
#include "tests/app/support/shared_textures.h"
#include "tests/support/simt/cuda_gl_interop.h"
#include "tests/support/simt/simt.h"

namespace headlight::app {
namespace {

using test::same;

class EmulatedPicture : public test::DevicePicture {
 protected:
  void SetUp() override {
    simt::set_texture_sink({});
    DevicePicture::SetUp();
  }
};

TEST_F(EmulatedPicture, IsCopiedWhereTheDeviceDoesNotShare) {
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
  ASSERT_TRUE(test::let_textures_be_shared());
  std::swap(map.plane.row_stride, map.plane.col_stride);
  UiRenderer sharing;
  draw(sharing, map);
  EXPECT_EQ(sharing.textures().written_on_device(), 0U);
}

TEST_F(EmulatedPicture, MemoryOutlivesTheBackendAndGoesWithTheRun) {
  auto run = run_in(ElementType::f32);
  HeatMap map = map_of(run, "blocks.1.attn.hook_pattern", 0);
  ASSERT_TRUE(test::let_textures_be_shared());
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
