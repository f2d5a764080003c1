// `headlight tokenize`: text to token ids and back, as streams too; and learning a byte-level BPE from a
// text.
#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "app/cli/model_options.h"
#include "app/cli/subcommands.h"
#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/engine/builtin.h"
#include "core/io/atomic_file.h"
#include "core/io/json.h"
#include "core/io/paths.h"
#include "core/text/bpe_tokenizer.h"
#include "core/text/bpe_trainer.h"
#include "core/text/corpus.h"

namespace headlight::cli {
namespace {

struct TokenizeOptions {
  std::string tokenizer, text;
  bool has_text = false, decode = false, json = false, lines = false;
  std::string train, out, pattern = "gpt2";
  int64_t vocab_size = 32000;
};

std::shared_ptr<const Tokenizer> open_tokenizer(const std::string& name) {
  std::error_code ignored;
  if (name.find('/') == std::string::npos && !std::filesystem::is_directory(name, ignored)) {
    for (const std::string& builtin : builtin_model_names()) {
      if (builtin == name) return load_tokenizer(find_asset(std::filesystem::path("assets/models") / name));
    }
  }
  if (!std::filesystem::is_directory(name, ignored)) {
    fail(
        "\"{}\" is no folder and no built-in model; --tokenizer takes a folder with tokenizer.json, or with "
        "vocab.json "
        "and merges.txt",
        name);
  }
  return load_tokenizer(name);
}

/// The next part of standard input; empty at its end.
std::string_view read_part(std::string& buffer) {
  buffer.resize(size_t{1} << 16);
  const size_t got = std::fread(buffer.data(), 1, buffer.size(), stdin);
  if (std::ferror(stdin) != 0) fail("standard input cannot be read");
  return std::string_view(buffer).substr(0, got);
}

std::string read_input() {
  std::string all, buffer;
  for (std::string_view part = read_part(buffer); !part.empty(); part = read_part(buffer)) {
    if (all.size() + part.size() > Corpus::max_file_bytes) {
      fail("standard input has more than the {} bytes that are read at once; cut it into parts",
           Corpus::max_file_bytes);
    }
    all += part;
  }
  return all;
}

/// Ids between spaces, commas and line breaks, taken as they come.
class IdReader {
 public:
  /// Appends the ids that end in `text` or, with `last`, at its end. Throws Error on anything else.
  void add(std::string_view text, bool last, std::vector<int32_t>& ids) {
    for (const char c : text) {
      if (c == ' ' || c == ',' || c == '\n' || c == '\r' || c == '\t') {
        take(ids);
      } else {
        word_ += c;
        if (word_.size() > 20) refuse();
      }
    }
    if (last) take(ids);
  }

 private:
  void take(std::vector<int32_t>& ids) {
    if (word_.empty()) return;
    int32_t id = 0;
    const char* const end = word_.data() + word_.size();
    const auto [next, error] = std::from_chars(word_.data(), end, id);
    if (error != std::errc() || next != end) refuse();
    ids.push_back(id);
    word_.clear();
  }
  [[noreturn]] void refuse() const { fail("--decode takes ids like 1 2 3, but was given {}", quote(word_)); }

  std::string word_;
};

class IdPrinter {
 public:
  void print(std::span<const int32_t> ids) {
    line_.clear();
    for (const int32_t id : ids) {
      fmt::format_to(std::back_inserter(line_), "{}{}", first_ ? "" : " ", id);
      first_ = false;
    }
    std::fwrite(line_.data(), 1, line_.size(), stdout);
  }

 private:
  fmt::memory_buffer line_;
  bool first_ = true;
};

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes)
    text += fmt::format("{}{:02X}", text.empty() ? "" : " ", static_cast<unsigned char>(c));
  return text;
}

void print_json(const nlohmann::json& json, int indent) {
  // A token may be a part of a character: JSON has U+FFFD for it, and the bytes beside it.
  fmt::print("{}\n", json.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace));
}

void encode(const Tokenizer& tokenizer, const TokenizeOptions& options) {
  const bool from_input = options.text == "-";
  if (options.json) {
    const std::vector<int32_t> ids = encode_all(tokenizer, from_input ? read_input() : options.text);
    nlohmann::json tokens = nlohmann::json::array();
    for (const int32_t id : ids) {
      const std::string text = tokenizer.token_text(id);
      tokens.push_back({{"id", id}, {"text", text}, {"bytes", hex(text)}});
    }
    print_json({{"count", ids.size()}, {"tokens", std::move(tokens)}}, 2);
    return;
  }
  IdPrinter printer;
  const auto* bpe = dynamic_cast<const BpeTokenizer*>(&tokenizer);
  if (from_input && bpe != nullptr) {
    StreamEncoder stream(*bpe);
    std::vector<int32_t> ids;
    std::string buffer;
    for (std::string_view part = read_part(buffer); !part.empty(); part = read_part(buffer)) {
      stream.add(part, ids);
      printer.print(ids);
      ids.clear();
    }
    stream.finish(ids);
    printer.print(ids);
  } else {
    printer.print(encode_all(tokenizer, from_input ? read_input() : options.text));
  }
  fmt::print("\n");
}

void decode(const Tokenizer& tokenizer, const TokenizeOptions& options) {
  IdReader reader;
  std::vector<int32_t> ids;
  const bool from_input = options.text == "-";
  if (!from_input || options.json) {
    reader.add(from_input ? read_input() : options.text, true, ids);
    const std::string text = tokenizer.decode(ids);
    if (options.json) {
      print_json({{"text", text}, {"bytes", hex(text)}}, 2);
    } else {
      fmt::print("{}\n", text);
    }
    return;
  }
  // A stream gives the bytes and nothing else, so that it is the way back from encoding.
  std::string buffer;
  bool more = true;
  while (more) {
    const std::string_view part = read_part(buffer);
    more = !part.empty();
    reader.add(part, !more, ids);
    const std::string text = tokenizer.decode(ids);
    ids.clear();
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
}

/// Standard input as one JSON value a line: texts become lists of ids, or the other way round.
void convert_lines(const Tokenizer& tokenizer, bool decoding) {
  std::string buffer, line;
  int64_t number = 0;
  const auto convert = [&] {
    const std::string where = fmt::format("line {} of standard input", ++number);
    const nlohmann::json value = parse_json(line, where);
    line.clear();
    if (!decoding) {
      if (!value.is_string()) fail("{} is no JSON string", where);
      print_json(encode_all(tokenizer, value.get_ref<const std::string&>()), -1);
      return;
    }
    std::vector<int32_t> ids;
    if (!value.is_array()) fail("{} is no JSON list of ids", where);
    for (const nlohmann::json& id : value) {
      if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX)
        fail("{} is no JSON list of ids", where);
      ids.push_back(id.get<int32_t>());
    }
    print_json(tokenizer.decode(ids), -1);
  };
  for (std::string_view part = read_part(buffer); !part.empty(); part = read_part(buffer)) {
    for (const char c : part) {
      if (c == '\n') {
        convert();
      } else {
        line += c;
      }
    }
  }
  if (!line.empty()) convert();
}

void train(const TokenizeOptions& options) {
  if (options.out.empty()) fail("--train needs --out DIR, where the tokenizer's files go");
  const std::string text = read_whole_file(options.train, Corpus::max_file_bytes, "text");
  make_folder(options.out);
  const SplitPattern pattern = options.pattern == "gpt4" ? SplitPattern::gpt4 : SplitPattern::gpt2;
  BpeModel model;
  {
    Progress progress("learning merges");
    model = train_bpe(text, options.vocab_size, pattern, [&](int64_t done, int64_t wanted) {
      progress.show(done, wanted, fmt::format("{} tokens", done));
    });
  }
  const BpeTokenizer tokenizer(std::move(model));
  remove_tokenizers(options.out);
  tokenizer.save(options.out);
  const auto bytes = static_cast<double>(text.size());
  const auto tokens = static_cast<double>(tokenizer.encode(text).ids.size());
  const auto merges = static_cast<int64_t>(tokenizer.model().merges.size());
  if (options.json) {
    print_json(
        {{"vocab_size", tokenizer.vocab_size()}, {"merges", merges}, {"bytes_per_token", bytes / tokens}}, 2);
  } else {
    fmt::print("{} tokens, {} merges: {:.2f} bytes a token on this text{}; saved to {}\n",
               tokenizer.vocab_size(), merges, bytes / tokens,
               tokenizer.vocab_size() < options.vocab_size ? " (no other pair stands in it twice)" : "",
               options.out);
  }
}

void tokenize(const TokenizeOptions& options) {
  if (!options.train.empty()) return train(options);
  if (options.tokenizer.empty())
    fail("name a tokenizer with --tokenizer DIR, or make one with --train FILE --out DIR");
  const std::shared_ptr<const Tokenizer> tokenizer = open_tokenizer(options.tokenizer);
  if (!options.has_text && !options.lines) fail("give a text to tokenize, or - for standard input");
  if (options.lines) return convert_lines(*tokenizer, options.decode);
  if (options.decode) return decode(*tokenizer, options);
  encode(*tokenizer, options);
}

}  // namespace

void add_tokenize(CLI::App& app) {
  auto options = std::make_shared<TokenizeOptions>();
  CLI::App* command = app.add_subcommand("tokenize", "text to token ids and back; learn byte-pair merges");
  command->add_option("--tokenizer", options->tokenizer, "model or tokenizer folder, or a built-in name");
  CLI::Option* text = command->add_option("text", options->text,
                                          "the text, or with --decode ids like \"1 2 3\"; -: standard input");
  command->add_flag("--decode", options->decode, "ids to text");
  command->add_flag("--lines", options->lines,
                    "standard input has a JSON string (or list of ids) on each line");
  command->add_flag("--json", options->json, "print one JSON value");
  command->add_option("--train", options->train, "learn a byte-level BPE from this file");
  command->add_option("--vocab-size", options->vocab_size, "tokens to learn up to, with the 256 bytes")
      ->check(CLI::Range(int64_t{257}, int64_t{10'000'000}));
  command->add_option("--pattern", options->pattern, "how --train cuts text: gpt2 or gpt4")
      ->check(CLI::IsMember({"gpt2", "gpt4"}));
  command->add_option("--out", options->out, "folder for what --train learned");
  command->callback([options, text] {
    options->has_text = text->count() > 0;
    tokenize(*options);
  });
}

}  // namespace headlight::cli
