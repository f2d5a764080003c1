// See paths.h.
#include "tests/support/paths.h"

namespace headlight::test {

std::filesystem::path source_folder() { return HEADLIGHT_SOURCE_DIR; }
std::filesystem::path golden_folder() { return source_folder() / "tests/golden"; }

}  // namespace headlight::test
