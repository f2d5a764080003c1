// `headlight bench tokenize`: cutting text into pieces and encoding it, on one thread, beside the memory's
// read bandwidth of the same run.
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/cli/bench.h"
#include "core/base/error.h"
#include "core/engine/builtin.h"
#include "core/io/atomic_file.h"
#include "core/text/bpe_tokenizer.h"
#include "core/text/bpe_trainer.h"
#include "kernels/backend.h"
#include "kernels/bench.h"

namespace headlight::cli {
namespace {

struct TokenizeBenchOptions {
  std::string text, tokenizer;
  int runs = 15;
  bool json = false;
};

constexpr int64_t kLearned = 4096;  ///< vocabulary of the tokenizer that is learned where none is named

std::string open_text(const std::string& file) {
  if (!file.empty()) return read_whole_file(file, Corpus::max_file_bytes, "text");
  const auto stories = builtin_stories(32);
  return stories->tokenizer()->decode(stories->tokens(Split::train).first(300'000));
}

std::shared_ptr<const Tokenizer> open_tokenizer(const std::string& folder, const std::string& text) {
  if (!folder.empty()) return load_tokenizer(folder);
  return std::make_shared<BpeTokenizer>(train_bpe(text, kLearned, SplitPattern::gpt2));
}

template <class Run>
double seconds_of(Run&& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void bench(const TokenizeBenchOptions& options) {
  const std::string text = open_text(options.text);
  if (text.empty()) fail("{} is empty; name a text to encode", options.text);
  const std::shared_ptr<const Tokenizer> opened = open_tokenizer(options.tokenizer, text);
  const auto* tokenizer = dynamic_cast<const BpeTokenizer*>(opened.get());
  if (tokenizer == nullptr)
    fail("{} holds a tokenizer of {}; this measures byte-level BPE", options.tokenizer, opened->kind());
  const auto backend = kernels::make_cpu_backend(1);
  const kernels::Calibration before = kernels::calibrate_cpu(*backend);
  std::vector<double> cutting, encoding;
  size_t pieces = 0;
  std::vector<int32_t> ids;
  for (int i = 0; i < options.runs; ++i) {
    pieces = 0;
    cutting.push_back(seconds_of([&] {
      for (size_t at = 0; at < text.size(); ++pieces) at = tokenizer->pretokenizer().piece_end(text, at);
    }));
    ids.clear();
    encoding.push_back(seconds_of([&] { tokenizer->encode_to(text, ids); }));
  }
  const kernels::Calibration after = kernels::calibrate_cpu(*backend);
  const double bandwidth = (before.read_bytes + after.read_bytes) / 2;
  const auto bytes = static_cast<double>(text.size());
  const double cut = bytes / median(cutting), encoded = bytes / median(encoding);
  if (options.json) {
    const nlohmann::json result = {{"bytes", text.size()},
                                   {"pieces", pieces},
                                   {"tokens", ids.size()},
                                   {"vocab_size", tokenizer->vocab_size()},
                                   {"read_bytes_per_second", bandwidth},
                                   {"pretokenize_bytes_per_second", cut},
                                   {"pretokenize_fraction_of_bandwidth", cut / bandwidth},
                                   {"encode_bytes_per_second", encoded},
                                   {"encode_fraction_of_bandwidth", encoded / bandwidth}};
    fmt::print("{}\n", result.dump(2));
    return;
  }
  fmt::print("{:.2f} MB, {} pieces, {} tokens of {}; one thread reads {:.1f} GB/s\n", bytes / 1e6, pieces,
             ids.size(), tokenizer->vocab_size(), bandwidth / 1e9);
  fmt::print("{:<28} {:8.1f} MB/s  {:.4f} of reads\n", "cutting into pieces", cut / 1e6, cut / bandwidth);
  fmt::print("{:<28} {:8.1f} MB/s  {:.4f} of reads\n", "encoding", encoded / 1e6, encoded / bandwidth);
}

}  // namespace

void add_bench_tokenize(CLI::App& bench_command) {
  auto options = std::make_shared<TokenizeBenchOptions>();
  CLI::App* command = bench_command.add_subcommand("tokenize", "cutting and encoding text on one thread");
  command->add_option("--text", options->text, "UTF-8 text file (default: the built-in stories)");
  command->add_option("--tokenizer", options->tokenizer,
                      "folder of a byte-level BPE (default: learned from the text)");
  command->add_option("--runs", options->runs, "how often; the median counts")->check(CLI::Range(1, 10000));
  command->add_flag("--json", options->json, "print one JSON value");
  command->callback([options] { bench(*options); });
}

}  // namespace headlight::cli
