// See tokenizer_file.h.
#include "core/text/tokenizer_file.h"

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/io/json.h"

namespace headlight {

namespace {
constexpr const char* format_name = "headlight tokenizer";
}

void check_utf8(std::string_view text, std::string_view what) {
  const size_t valid = valid_utf8_length(text);
  if (valid == text.size()) return;
  fail("{} is not UTF-8 text: byte {} is \\x{:02X}; save it as UTF-8", what, valid,
       static_cast<unsigned char>(text[valid]));
}

void check_token(int32_t id, int64_t vocab_size) {
  if (id < 0 || id >= vocab_size) fail("there is no token {}; ids go from 0 to {}", id, vocab_size - 1);
}

void save_token_texts(const std::filesystem::path& file, std::string_view kind,
                      const std::vector<std::string>& texts) {
  write_json_file(file, {{"format", format_name}, {"kind", kind}, {"tokens", texts}});
}

std::vector<std::string> load_token_texts(const std::filesystem::path& file, std::string_view kind,
                                          int64_t most) {
  const nlohmann::json root = read_json_file(file, "tokenizer");
  const std::string name = file.string();
  if (!root.is_object() || root.value("format", nlohmann::json()) != format_name) {
    fail("{} is not a tokenizer of Headlight: its \"format\" is not \"{}\"", name, format_name);
  }
  if (root.value("kind", nlohmann::json()) != kind) fail("{} holds no tokenizer of {}", name, kind);
  const nlohmann::json tokens = root.value("tokens", nlohmann::json());
  if (!tokens.is_array() || tokens.empty()) fail("{} has no list of \"tokens\"", name);
  if (static_cast<int64_t>(tokens.size()) > most) {
    fail("{} has {} tokens, more than the {} that are allowed", name, tokens.size(), most);
  }
  std::vector<std::string> texts;
  for (const nlohmann::json& token : tokens) {
    if (!token.is_string() || token.get_ref<const std::string&>().empty()) {
      fail("token {} in {} is not a text", texts.size(), name);
    }
    texts.push_back(token.get<std::string>());
  }
  return texts;
}

}  // namespace headlight
