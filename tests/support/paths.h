// Where tests find the project's own files.
#pragma once

#include <filesystem>

namespace headlight::test {

/// The checkout that the tests were built from.
[[nodiscard]] std::filesystem::path source_folder();
/// Outputs of the reference implementations: tests/golden.
[[nodiscard]] std::filesystem::path golden_folder();

}  // namespace headlight::test
