// See program.h.
#include "tests/end_to_end/program.h"

#include <sys/wait.h>

#include <array>
#include <cstdio>

namespace headlight::test {

Outcome run(const std::string& arguments) {
  const std::string command = std::string(HEADLIGHT_PROGRAM) + " " + arguments + " 2>&1";
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return {};
  Outcome outcome;
  std::array<char, 4096> buffer{};
  size_t got = 0;
  while ((got = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0)
    outcome.output.append(buffer.data(), got);
  const int status = pclose(pipe);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

}  // namespace headlight::test
