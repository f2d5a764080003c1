// Heat maps drawn from the memory of the device that computed them and from the host's copy: the same
// picture. Compiled for the real device and once more for the emulated one.
#include "tests/app/support/device_picture.h"
#include "tests/app/support/shared_textures.h"

namespace headlight::app {
namespace {

using test::DevicePicture;
using test::same;

TEST_F(DevicePicture, SharedAndCopiedTexturesGiveTheSamePicture) {
  const bool must_share = test::let_textures_be_shared();
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
      if (!sharing.shares_device()) {
        ASSERT_FALSE(must_share);
        GTEST_SKIP() << "OpenGL draws on another device than CUDA's";
      }
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

}  // namespace
}  // namespace headlight::app
