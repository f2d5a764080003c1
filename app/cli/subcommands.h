// The subcommands of `headlight`, one file each. main() registers them all; a callback throws Error for exit
// status 1.
#pragma once

#include <CLI/CLI.hpp>

namespace headlight::cli {

void add_run(CLI::App& app);
void add_train(CLI::App& app);
void add_generate(CLI::App& app);
void add_bench(CLI::App& app);

}  // namespace headlight::cli
