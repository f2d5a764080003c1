// Every text of the window in English and Vietnamese, from assets/i18n/en/*.json and assets/i18n/vi/*.json
// (one table for each language; a file for each part of the window). A test finds keys that a language lacks.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace headlight::app {

enum class Language { english, vietnamese };

/// "en", "vi".
[[nodiscard]] std::string_view language_code(Language language);
[[nodiscard]] std::optional<Language> language_from_code(std::string_view code);

/// Immutable once loaded. Texts are null-terminated and stay where they are.
class Strings {
 public:
  /// Reads the tables. Throws Error naming the file on broken JSON or a key that two files define.
  Strings();

  /// The text in this language; the key itself where no language has it.
  [[nodiscard]] const std::string& get(Language language, std::string_view key) const;
  [[nodiscard]] bool has(Language language, std::string_view key) const;
  [[nodiscard]] const std::map<std::string, std::string, std::less<>>& table(Language language) const {
    return tables_[static_cast<size_t>(language)];
  }

 private:
  void load(Language language);

  std::array<std::map<std::string, std::string, std::less<>>, 2> tables_;
  mutable std::map<std::string, std::string, std::less<>> unknown_;
};

/// Capital letters, Vietnamese included.
[[nodiscard]] std::string upper(std::string_view utf8);

}  // namespace headlight::app
