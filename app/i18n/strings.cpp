// Loads and merges the tables of each language.
#include "app/i18n/strings.h"

#include <utf8proc.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/base/error.h"
#include "core/io/paths.h"

namespace headlight::app {

std::string_view language_code(Language language) { return language == Language::english ? "en" : "vi"; }

std::optional<Language> language_from_code(std::string_view code) {
  if (code == "en") return Language::english;
  if (code == "vi") return Language::vietnamese;
  return std::nullopt;
}

Strings::Strings() {
  load(Language::english);
  load(Language::vietnamese);
}

void Strings::load(Language language) {
  const auto folder = find_asset("assets/i18n/" + std::string(language_code(language)));
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  auto& table = tables_[static_cast<size_t>(language)];
  for (const auto& file : files) {
    std::ifstream in(file, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    const auto json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_object()) fail("The table of texts {} is not a JSON object.", file.string());
    for (const auto& [key, value] : json.items()) {
      if (!value.is_string())
        fail("The table of texts {} holds no string at the key {}.", file.string(), key);
      if (!table.emplace(key, value.get<std::string>()).second)
        fail("The table of texts {} defines the key {} again.", file.string(), key);
    }
  }
}

const std::string& Strings::get(Language language, std::string_view key) const {
  const auto& own = tables_[static_cast<size_t>(language)];
  if (const auto it = own.find(key); it != own.end()) return it->second;
  const auto& english = tables_[0];
  if (const auto it = english.find(key); it != english.end()) return it->second;
  return unknown_.emplace(key, key).first->second;
}

bool Strings::has(Language language, std::string_view key) const {
  return tables_[static_cast<size_t>(language)].contains(key);
}

std::string upper(std::string_view utf8) {
  std::string result;
  const auto* p = reinterpret_cast<const utf8proc_uint8_t*>(utf8.data());
  auto left = static_cast<utf8proc_ssize_t>(utf8.size());
  while (left > 0) {
    utf8proc_int32_t code = 0;
    const utf8proc_ssize_t n = utf8proc_iterate(p, left, &code);
    if (n <= 0) break;
    utf8proc_uint8_t out[4];
    const utf8proc_ssize_t m = utf8proc_encode_char(utf8proc_toupper(code), out);
    result.append(reinterpret_cast<const char*>(out), static_cast<size_t>(m));
    p += n;
    left -= n;
  }
  return result;
}

}  // namespace headlight::app
