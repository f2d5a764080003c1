// See desktop.h.
#include "tests/end_to_end/desktop.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace headlight::test {

using std::chrono::milliseconds;

Child::Child(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
             int inherited) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error("fork failed");
  if (pid_ > 0) return;
  if (inherited >= 0) dup2(inherited, 3);
  for (const std::string& entry : environment) putenv(const_cast<char*>(entry.c_str()));
  execvp(argv[0], argv.data());
  _exit(127);
}

Child::~Child() {
  if (!running()) return;
  kill(pid_, SIGTERM);
  if (wait(std::chrono::seconds(5)) != -1) return;
  kill(pid_, SIGKILL);
  (void)wait(std::chrono::seconds(5));
}

bool Child::running() {
  if (!ended_ && waitpid(pid_, &status_, WNOHANG) == pid_) ended_ = true;
  return !ended_;
}

int Child::wait(std::chrono::seconds limit) {
  if (!eventually(limit, [this] { return !running(); })) return -1;
  return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
}

bool eventually(std::chrono::seconds limit, const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (std::chrono::steady_clock::now() < deadline) {
    if (condition()) return true;
    std::this_thread::sleep_for(milliseconds(50));
  }
  return condition();
}

bool on_path(const std::string& program) {
  std::istringstream path(getenv("PATH") != nullptr ? getenv("PATH") : "");
  for (std::string folder; std::getline(path, folder, ':');) {
    if (access((folder + "/" + program).c_str(), X_OK) == 0) return true;
  }
  return false;
}

Desktop::Desktop(int width, int height) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) throw std::runtime_error("no pipe");
  // The server picks a free display and writes its number to descriptor 3. Without -noreset it starts over,
  // deaf for a moment, each time its last client leaves.
  server_ = std::make_unique<Child>(
      std::vector<std::string>{"Xvfb", "-displayfd", "3", "-screen", "0",
                               std::to_string(width) + "x" + std::to_string(height) + "x24", "-noreset",
                               "-nolisten", "tcp"},
      std::vector<std::string>{}, ends[1]);
  close(ends[1]);
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  std::string number;
  (void)eventually(std::chrono::seconds(20), [&] {
    char digit = 0;
    while (read(ends[0], &digit, 1) == 1) {
      if (digit == '\n') return true;
      number += digit;
    }
    return false;
  });
  close(ends[0]);
  if (!number.empty()) display_ = ":" + number;
}

std::string Desktop::xdotool(const std::string& words) const {
  const std::string command = "DISPLAY=" + display_ + " xdotool " + words + " 2>/dev/null";
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return "";
  std::string output;
  std::array<char, 256> part{};
  while (std::fgets(part.data(), part.size(), pipe) != nullptr) output += part.data();
  pclose(pipe);
  return output;
}

bool Desktop::focus(const std::string& title) {
  std::string window;
  const bool found = eventually(std::chrono::seconds(30), [&] {
    std::istringstream lines(xdotool("search --onlyvisible --name '" + title + "'"));
    return static_cast<bool>(std::getline(lines, window)) && !window.empty();
  });
  if (!found) return false;
  xdotool("windowmove " + window + " 0 0 windowfocus " + window + " sleep 0.5");
  const std::string geometry = xdotool("getwindowgeometry --shell " + window);
  return std::sscanf(geometry.c_str(), "WINDOW=%*s X=%*d Y=%*d WIDTH=%d HEIGHT=%d", &width_, &height_) == 2;
}

// The window takes one change of a key or button a frame, and a software renderer has few of them: hence the
// pauses.
void Desktop::click(int x, int y) const {
  xdotool("mousemove " + std::to_string(x) + " " + std::to_string(y) +
          " sleep 0.2 mousedown 1 sleep 0.2 mouseup 1 sleep 0.2");
}

void Desktop::key(const std::string& keys) const { xdotool("key --delay 80 " + keys + " sleep 0.3"); }

void Desktop::type(const std::string& text) const {
  xdotool("type --delay 40 '" + text + "'");
  xdotool("sleep 0.3");
}

}  // namespace headlight::test
