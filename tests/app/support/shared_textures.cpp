// A real device: its driver decides.
#include "tests/app/support/shared_textures.h"

namespace headlight::app::test {

bool let_textures_be_shared() { return false; }

}  // namespace headlight::app::test
