// See bpe_files.h: reading tokenizer.json, and refusing by name what is not byte-level BPE.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/io/atomic_file.h"
#include "core/io/json.h"
#include "core/text/bpe_files.h"
#include "core/text/bpe_words.h"

namespace headlight {

namespace {

using nlohmann::json;

constexpr const char* kReads = "Headlight reads byte-level BPE as GPT-2, GPT-4 and Llama 3 have it";

/// A member, or null where there is none.
const json& member(const json& object, const char* key) {
  static const json none;
  if (!object.is_object()) return none;
  const auto found = object.find(key);
  return found == object.end() ? none : *found;
}

std::string shown(const json& value) {
  return printable(value.dump(-1, ' ', false, json::error_handler_t::replace));
}

/// "type" of a part such as the normalizer; fails where it has none.
std::string type_of(const json& part, const char* what, std::string_view where) {
  const json& type = member(part, "type");
  if (!type.is_string()) fail("{}: its {} has no \"type\"", where, what);
  return type.get<std::string>();
}

/// A flag that may be missing.
bool flag(const json& object, const char* key, bool fallback, std::string_view where) {
  const json& value = member(object, key);
  if (value.is_null()) return fallback;
  if (!value.is_boolean()) fail("{}: \"{}\" is {}, not true or false", where, key, shown(value));
  return value.get<bool>();
}

void check_normalizer(const json& normalizer, std::string_view where) {
  if (normalizer.is_null()) return;
  const std::string type = type_of(normalizer, "normalizer", where);
  if (type == "Sequence" && member(normalizer, "normalizers").empty()) return;
  fail("{} changes the text before it is cut (normalizer {}), which is not applied here; {}", where,
       quote(type), kReads);
}

void check_byte_level(const json& part, std::string_view where) {
  if (flag(part, "add_prefix_space", true, where)) {
    fail("{} puts a space before each text (\"add_prefix_space\"), which is not done here; {}", where,
         kReads);
  }
}

SplitPattern pattern_of(const json& part, std::string_view where) {
  if (part.is_null()) fail("{} has no pre_tokenizer; {}", where, kReads);
  const std::string type = type_of(part, "pre_tokenizer", where);
  if (type == "ByteLevel") {
    check_byte_level(part, where);
    if (!flag(part, "use_regex", true, where)) {
      fail("{} merges across the whole text (ByteLevel without \"use_regex\"); {}", where, kReads);
    }
    return SplitPattern::gpt2;
  }
  const json& parts = member(part, "pretokenizers");
  if (type != "Sequence") fail("{} cuts text with the pre_tokenizer {}; {}", where, quote(type), kReads);
  if (!parts.is_array() || parts.size() != 2 || type_of(parts[0], "pre_tokenizer", where) != "Split" ||
      type_of(parts[1], "pre_tokenizer", where) != "ByteLevel") {
    std::string names;
    for (const json& p : parts) {
      names += (names.empty() ? "" : ", ") + type_of(p, "pre_tokenizer", where);
      if (names.size() > 200) break;
    }
    fail("{} cuts text with the pre_tokenizers {}; {}, a Split and a ByteLevel", where, quote(names), kReads);
  }
  check_byte_level(parts[1], where);
  if (flag(parts[1], "use_regex", true, where)) {
    fail("{} cuts text twice (ByteLevel with \"use_regex\" behind a Split); {}", where, kReads);
  }
  const json& regex = member(member(parts[0], "pattern"), "Regex");
  if (!regex.is_string()) fail("{}: its Split has no pattern \"Regex\"", where);
  const json& behavior = member(parts[0], "behavior");
  // The patterns match every character, so that keeping matches and removing what lies between them are the
  // same.
  const bool isolated = behavior == "Isolated";
  const bool inverted = behavior == "Removed" && flag(parts[0], "invert", false, where);
  if (!isolated && !inverted)
    fail("{}: its Split has the behavior {}, not \"Isolated\"", where, shown(behavior));
  const auto pattern = pattern_from_regex(regex.get_ref<const std::string&>());
  if (!pattern) fail("{} cuts text with the pattern {}; {}", where, quote(regex.get<std::string>()), kReads);
  return *pattern;
}

void check_model(const json& model, std::string_view where) {
  if (!model.is_object()) fail("{} has no \"model\"; is it a tokenizer.json of Hugging Face?", where);
  const json& type = member(model, "type");
  if (!type.is_null() && type != "BPE") {
    fail("{} holds a tokenizer of the kind {}; {}", where,
         type.is_string() ? quote(type.get<std::string>()) : shown(type), kReads);
  }
  if (flag(model, "byte_fallback", false, where)) {
    fail("{} holds a SentencePiece tokenizer (\"byte_fallback\"); {}", where, kReads);
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const json& value = member(model, key);
    if (!value.is_null() && value != "")
      fail("{} marks tokens with a \"{}\", {}; {}", where, key, shown(value), kReads);
  }
  const json& dropout = member(model, "dropout");
  if (!dropout.is_null() && dropout != 0) {
    fail("{} leaves out merges at random (\"dropout\" {}); set it to null", where, shown(dropout));
  }
}

/// Words and flags of "added_tokens"; those that the vocabulary lacks are added to `words`.
std::vector<AddedToken> read_added(const json& list, BpeWords& words, std::string_view where) {
  std::vector<AddedToken> added;
  if (list.is_null()) return added;
  if (!list.is_array()) fail("{}: \"added_tokens\" is no list", where);
  for (const json& entry : list) {
    const json& content = member(entry, "content");
    if (!content.is_string()) fail("{}: added token {} has no \"content\"", where, added.size());
    const auto& word = content.get_ref<const std::string&>();
    for (const char* key : {"single_word", "lstrip", "rstrip"}) {
      if (flag(entry, key, false, where)) {
        fail("{}: the added token {} has \"{}\" set, which is not done here; {}", where, quote(word), key,
             kReads);
      }
    }
    const json& id = member(entry, "id");
    const int32_t known = words.find(word);
    if (known < 0) {
      words.add(word, id);
    } else if (id != known) {
      fail("{}: the added token {} has the id {}, but the vocabulary gives it {}", where, quote(word),
           shown(id), known);
    }
    added.push_back({words.find(word), flag(entry, "special", false, where)});
  }
  std::sort(added.begin(), added.end(), [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  return added;
}

std::vector<BpeMerge> read_merges(const json& list, const BpeWords& words, std::string_view where) {
  if (!list.is_array()) fail("{}: its model has no list of \"merges\"", where);
  std::vector<BpeMerge> merges;
  merges.reserve(list.size());
  for (const json& entry : list) {
    std::string left, right;
    if (entry.is_string()) {
      const auto& text = entry.get_ref<const std::string&>();
      const size_t space = text.find(' ');
      if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
        left = text.substr(0, space);
        right = text.substr(space + 1);
      }
    } else if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string()) {
      left = entry[0].get<std::string>();
      right = entry[1].get<std::string>();
    }
    if (left.empty() || right.empty())
      fail("{}: merge {} is {}, not two tokens", where, merges.size(), shown(entry));
    merges.push_back(words.merge(left, right, fmt::format("merge {}", merges.size()), where));
  }
  return merges;
}

}  // namespace

BpeModel parse_tokenizer_json(std::string_view text, std::string_view where) {
  const json root = parse_json(text, where, {kMaxTokenizerBytes});
  if (!root.is_object()) fail("{} is no tokenizer: its JSON is no object", where);
  const json& part = member(root, "model");
  check_model(part, where);
  check_normalizer(member(root, "normalizer"), where);
  BpeModel model;
  model.pattern = pattern_of(member(root, "pre_tokenizer"), where);
  const json& decoder = member(root, "decoder");
  if (!decoder.is_null() && type_of(decoder, "decoder", where) != "ByteLevel") {
    fail("{} has the decoder {}; {}", where, quote(type_of(decoder, "decoder", where)), kReads);
  }
  const json& vocab = member(part, "vocab");
  if (!vocab.is_object()) fail("{}: its model has no \"vocab\" of tokens and their ids", where);
  BpeWords words(where);
  words.add_vocabulary(vocab);
  model.added = read_added(member(root, "added_tokens"), words, where);
  words.complete();
  model.merges = read_merges(member(part, "merges"), words, where);
  model.tokens = words.bytes(model.added);
  model.whole_pieces = flag(part, "ignore_merges", false, where);
  const json& post = member(root, "post_processor");
  if (!post.is_null() && type_of(post, "post_processor", where) != "ByteLevel") {
    model.post_processor = post.dump(-1, ' ', false, json::error_handler_t::replace);
  }
  validate(model, where);
  return model;
}

BpeModel read_tokenizer_json(const std::filesystem::path& file) {
  return parse_tokenizer_json(read_whole_file(file, kMaxTokenizerBytes, "tokenizer"), file.string());
}

}  // namespace headlight
