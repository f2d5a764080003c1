// Whether the device writes into OpenGL's textures: a real one does or does not, the emulated one is told.
#pragma once

namespace headlight::app::test {

/// From now on contexts share their textures with the device, where that is a matter of choice: true there.
[[nodiscard]] bool let_textures_be_shared();

}  // namespace headlight::app::test
