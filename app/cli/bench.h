// The benchmarks, one file each, and what they share.
#pragma once

#include <CLI/CLI.hpp>
#include <vector>

namespace headlight::cli {

void add_bench_train(CLI::App& bench);
void add_bench_ops(CLI::App& bench);
void add_bench_decode(CLI::App& bench);
void add_bench_frame(CLI::App& bench);
void add_bench_live(CLI::App& bench);
void add_bench_tokenize(CLI::App& bench);
void add_bench_attention(CLI::App& bench);

/// The middle value; 0 for none.
[[nodiscard]] double median(std::vector<double> values);

}  // namespace headlight::cli
