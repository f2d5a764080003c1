// headlight: the window, or one of the subcommands without it. Exit status 0, 1 failed, 2 bad usage.
#include "app/cli/window_command.h"

#include "app/cli/subcommands.h"

#include <fmt/format.h>

#include <cstdio>
#include <exception>

int main(int argc, char** argv) {
  using namespace headlight;
  CLI::App app{"Headlight: see inside a Transformer while it thinks and while it learns."};
  app.name("headlight");
  app.require_subcommand(0, 1);
  app.set_version_flag("--version", std::string("headlight ") + cli::version());
  cli::WindowCommand window;
  window.add_to(app);
  cli::add_info(app);
  cli::add_run(app);
  cli::add_train(app);
  cli::add_generate(app);
  cli::add_tokenize(app);
  cli::add_render(app);
  cli::add_bench(app);
  try {
    app.parse(argc, argv);
    if (app.get_subcommands().empty()) window.open();
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      fmt::print(stderr,
                 "headlight: The output could not be written; is the disk full, or the pipe closed?\n");
      return 1;
    }
    return 0;
  } catch (const CLI::ParseError& error) {
    const int status = app.exit(error);
    return status == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "headlight: {}\n", error.what());
    return 1;
  }
}
