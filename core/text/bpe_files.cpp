// See bpe_files.h: GPT-2's pair of files, and writing.
#include "core/text/bpe_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/io/atomic_file.h"
#include "core/io/json.h"
#include "core/text/bpe_words.h"
#include "core/text/byte_alphabet.h"

namespace headlight {

namespace {

/// Calls `take` with number (from 1) and text of each line; a last empty line is none.
template <class Take>
void for_each_line(std::string_view text, Take take) {
  size_t number = 0;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    take(++number, line);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
}

std::vector<BpeMerge> parse_merges(std::string_view text, std::string_view where, const BpeWords& words) {
  if (const size_t valid = valid_utf8_length(text); valid < text.size()) {
    fail("{} is not UTF-8 text: byte {} is \\x{:02X}", where, valid, static_cast<unsigned char>(text[valid]));
  }
  std::vector<BpeMerge> merges;
  for_each_line(text, [&](size_t number, std::string_view line) {
    if (number == 1 && line.starts_with("#version")) return;
    const size_t space = line.find(' ');
    if (space == 0 || space == std::string_view::npos || space + 1 == line.size() ||
        line.find(' ', space + 1) != std::string_view::npos) {
      fail("{}: line {} is {}, not two tokens with a space between them", where, number, quote(line));
    }
    merges.push_back(words.merge(std::string(line.substr(0, space)), std::string(line.substr(space + 1)),
                                 fmt::format("line {}", number), where));
  });
  return merges;
}

/// Ids of the tokens that are neither a byte nor made by a merge.
std::vector<bool> made_by_nothing(const std::vector<BpeMerge>& merges, const std::vector<bool>& is_byte) {
  std::vector<bool> nothing(is_byte.size());
  for (size_t id = 0; id < is_byte.size(); ++id) nothing[id] = !is_byte[id];
  for (const BpeMerge& merge : merges) nothing[static_cast<size_t>(merge.merged)] = false;
  return nothing;
}

std::string json_text(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// Tokens as files spell them.
std::vector<std::string> spelled(const BpeModel& model) {
  std::vector<std::string> words;
  for (const std::string& token : model.tokens) words.push_back(to_alphabet(token));
  for (const AddedToken& token : model.added) {
    words[static_cast<size_t>(token.id)] = model.tokens[static_cast<size_t>(token.id)];
  }
  return words;
}

/// {"a": 0, "b": 1, …} in the order of the ids; `separator` stands between entries.
std::string vocabulary_text(const std::vector<std::string>& words, std::string_view separator) {
  std::string text = "{";
  for (size_t id = 0; id < words.size(); ++id) {
    if (id > 0) text += separator;
    text += fmt::format("{}: {}", json_text(words[id]), id);
  }
  return text + "}";
}

std::string tokenizer_json_text(const BpeModel& model, const std::vector<std::string>& words) {
  const auto flag = [](bool value) { return value ? "true" : "false"; };
  std::string text =
      "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [";
  for (size_t i = 0; i < model.added.size(); ++i) {
    const AddedToken& token = model.added[i];
    text += fmt::format(
        "{}\n    {{\"id\": {}, \"content\": {}, \"single_word\": false, \"lstrip\": false, \"rstrip\": "
        "false, "
        "\"normalized\": false, \"special\": {}}}",
        i > 0 ? "," : "", token.id, json_text(words[static_cast<size_t>(token.id)]), flag(token.special));
  }
  text += "\n  ],\n  \"normalizer\": null,\n  \"pre_tokenizer\": ";
  const auto byte_level = [&](bool regex) {
    return fmt::format(
        "{{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": {}}}",
        flag(regex));
  };
  if (model.pattern == SplitPattern::gpt2) {
    text += byte_level(true);
  } else {
    text += fmt::format(
        "{{\"type\": \"Sequence\", \"pretokenizers\": [{{\"type\": \"Split\", \"pattern\": {{\"Regex\": "
        "{}}}, "
        "\"behavior\": \"Isolated\", \"invert\": false}}, {}]}}",
        json_text(pattern_regex(model.pattern)), byte_level(false));
  }
  text +=
      fmt::format(",\n  \"post_processor\": {},\n  \"decoder\": {},\n",
                  model.post_processor.empty() ? byte_level(true) : model.post_processor, byte_level(true));
  text += fmt::format(
      "  \"model\": {{\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n"
      "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n    \"fuse_unk\": "
      "false,\n"
      "    \"byte_fallback\": false,\n    \"ignore_merges\": {},\n    \"vocab\": {},\n    \"merges\": [",
      flag(model.whole_pieces), vocabulary_text(words, ",\n      "));
  for (size_t i = 0; i < model.merges.size(); ++i) {
    const BpeMerge& merge = model.merges[i];
    text += fmt::format(
        "{}\n      {}", i > 0 ? "," : "",
        json_text(words[static_cast<size_t>(merge.left)] + " " + words[static_cast<size_t>(merge.right)]));
  }
  return text + "\n    ]\n  }\n}\n";
}

}  // namespace

BpeModel parse_vocab_and_merges(std::string_view vocab, std::string_view vocab_where, std::string_view merges,
                                std::string_view merges_where) {
  const nlohmann::json json = parse_json(vocab, vocab_where, {kMaxTokenizerBytes});
  if (!json.is_object() || json.empty()) fail("{} is no object of tokens and their ids", vocab_where);
  BpeWords words(vocab_where);
  words.add_vocabulary(json);
  words.complete();
  BpeModel model;
  model.merges = parse_merges(merges, merges_where, words);
  std::vector<bool> is_byte(words.size());
  for (size_t id = 0; id < words.size(); ++id) {
    const auto spelled_bytes = from_alphabet(words.words()[id]);
    is_byte[id] = spelled_bytes && spelled_bytes->size() == 1;
  }
  const std::vector<bool> nothing = made_by_nothing(model.merges, is_byte);
  for (size_t id = 0; id < nothing.size(); ++id) {
    if (nothing[id]) model.added.push_back({static_cast<int32_t>(id), true});
  }
  model.tokens = words.bytes(model.added);
  validate(model, vocab_where);
  return model;
}

BpeModel read_vocab_and_merges(const std::filesystem::path& vocab, const std::filesystem::path& merges) {
  const std::string vocab_text = read_whole_file(vocab, kMaxTokenizerBytes, "vocabulary");
  const std::string merges_text = read_whole_file(merges, kMaxTokenizerBytes, "merges");
  return parse_vocab_and_merges(vocab_text, vocab.string(), merges_text, merges.string());
}

bool fits_vocab_and_merges(const BpeModel& model) {
  if (model.pattern != SplitPattern::gpt2 || model.whole_pieces || !model.post_processor.empty())
    return false;
  std::vector<bool> is_byte(model.tokens.size());
  for (size_t id = 0; id < is_byte.size(); ++id) is_byte[id] = model.tokens[id].size() == 1;
  std::vector<bool> nothing = made_by_nothing(model.merges, is_byte);
  for (const AddedToken& token : model.added) {
    const auto id = static_cast<size_t>(token.id);
    if (!nothing[id] || !token.special) return false;
    nothing[id] = false;
  }
  return std::find(nothing.begin(), nothing.end(), true) == nothing.end();
}

void save_bpe(const BpeModel& model, const std::filesystem::path& folder) {
  const std::vector<std::string> words = spelled(model);
  write_file_atomically(folder / kTokenizerJson, tokenizer_json_text(model, words));
  if (!fits_vocab_and_merges(model)) return;
  write_file_atomically(folder / kVocabJson, vocabulary_text(words, ", ") + "\n");
  std::string merges = "#version: 0.2\n";
  for (const BpeMerge& merge : model.merges) {
    merges += words[static_cast<size_t>(merge.left)] + " " + words[static_cast<size_t>(merge.right)] + "\n";
  }
  write_file_atomically(folder / kMergesTxt, merges);
}

}  // namespace headlight
