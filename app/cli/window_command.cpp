// Opens the window on a live engine.
#include "app/cli/window_command.h"

#include "app/cli/app_options.h"
#include "app/cli/subcommands.h"
#include "app/frame/gui_context.h"
#include "app/session/store.h"
#include "app/window/window.h"
#include "core/base/error.h"

namespace headlight::cli {

void WindowCommand::add_to(CLI::App& app) {
  options_->add_to(app);
  app.add_option("--device", device_, "cpu, cuda or auto")->check(CLI::IsMember({"cpu", "cuda", "auto"}));
  app.add_option("--exec", commands_, "Command to run at the start, as in the palette (repeat it for more)")
      ->allow_extra_args(false);
}

WindowCommand::WindowCommand() : options_(std::make_unique<AppOptions>()) {}
WindowCommand::~WindowCommand() = default;

void WindowCommand::open() const {
  app::Window window("Headlight");
  const app::GuiContext gui;
  const app::Strings strings;
  app::LiveEngine engine({.device = device_, .wake = app::Window::wake});
  app::App app(engine, strings, {.session_file = app::session_file()});
  options_->apply(app.session());
  app.start();
  for (const std::string& command : commands_) {
    engine.drain();  // a command acts on what the ones before it made
    app.execute(command);
  }
  window.run(app);
}

}  // namespace headlight::cli
