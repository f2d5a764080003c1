// `headlight` without a subcommand: opens the window.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

namespace headlight::cli {

struct AppOptions;

/// Options of the window on the top level of the command line.
class WindowCommand {
 public:
  WindowCommand();
  ~WindowCommand();
  void add_to(CLI::App& app);
  /// Opens the window and returns when it is closed. Throws Error where there is no display.
  void open() const;

 private:
  std::unique_ptr<AppOptions> options_;
  std::string device_ = "auto";
  std::vector<std::string> commands_;
};

}  // namespace headlight::cli
