// See paths.h.
#include "tests/support/paths.h"

#include <cstdlib>

namespace headlight::test {

std::filesystem::path source_folder() {
  // Tests that were packed for another machine find their files where it says.
  const char* moved = std::getenv("HEADLIGHT_SOURCE");
  return moved != nullptr ? moved : HEADLIGHT_SOURCE_DIR;
}
std::filesystem::path golden_folder() { return source_folder() / "tests/golden"; }

}  // namespace headlight::test
