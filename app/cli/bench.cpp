// `headlight bench`: speeds as ratios to a calibration taken in the same run.
#include "app/cli/bench.h"

#include <algorithm>

#include "app/cli/subcommands.h"

namespace headlight::cli {

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void add_bench(CLI::App& app) {
  CLI::App* bench = app.add_subcommand("bench", "measure speeds on this machine");
  bench->require_subcommand(1);
  add_bench_train(*bench);
  add_bench_ops(*bench);
  add_bench_decode(*bench);
  add_bench_frame(*bench);
  add_bench_live(*bench);
  add_bench_tokenize(*bench);
  add_bench_attention(*bench);
}

}  // namespace headlight::cli
