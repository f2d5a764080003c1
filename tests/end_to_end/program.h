// Headlight's program run from a shell.
#pragma once

#include <string>

namespace headlight::test {

struct Outcome {
  int status = -1;
  std::string output;  ///< standard output, and standard error behind it
};

/// Runs the program with these arguments of a shell.
[[nodiscard]] Outcome run(const std::string& arguments);

}  // namespace headlight::test
