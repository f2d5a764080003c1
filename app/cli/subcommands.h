// The subcommands of `headlight`, one file each. main() registers them all; a callback throws Error for exit
// status 1.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace headlight::cli {

void add_run(CLI::App& app);
void add_train(CLI::App& app);
void add_generate(CLI::App& app);
void add_tokenize(CLI::App& app);
void add_bench(CLI::App& app);
void add_info(CLI::App& app);
void add_render(CLI::App& app);

/// "0.1.0".
[[nodiscard]] std::string version();

}  // namespace headlight::cli
