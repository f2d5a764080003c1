// A virtual desktop for the end-to-end test: Xvfb, a program in it, and xdotool's mouse and keyboard.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace headlight::test {

/// A child process; killed when it goes out of scope.
class Child {
 public:
  /// Starts `arguments[0]` with `environment` ("NAME=value") added to this process's own. `inherited`: a file
  /// descriptor that the child gets as its number 3, −1 for none.
  Child(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
        int inherited = -1);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  /// Exit status, or −1 when it has not ended within the time.
  [[nodiscard]] int wait(std::chrono::seconds limit);
  [[nodiscard]] bool running();

 private:
  int pid_ = -1;
  int status_ = 0;
  bool ended_ = false;
};

/// True once `condition` holds, false when the time is over.
[[nodiscard]] bool eventually(std::chrono::seconds limit, const std::function<bool()>& condition);

/// True where a program of that name is on the PATH.
[[nodiscard]] bool on_path(const std::string& program);

/// A screen of its own.
class Desktop {
 public:
  Desktop(int width, int height);
  /// ":99"; empty where Xvfb did not start.
  [[nodiscard]] const std::string& display() const { return display_; }
  /// Runs xdotool with these words; returns what it printed.
  std::string xdotool(const std::string& words) const;
  /// Waits for a window of that title and gives it the keyboard. False when none came.
  [[nodiscard]] bool focus(const std::string& title);
  /// Of the focused window, which stands at the screen's top left corner.
  [[nodiscard]] int width() const { return width_; }
  [[nodiscard]] int height() const { return height_; }
  void click(int x, int y) const;
  void key(const std::string& keys) const;
  void type(const std::string& text) const;

 private:
  std::unique_ptr<Child> server_;
  std::string display_;
  int width_ = 0, height_ = 0;
};

}  // namespace headlight::test
