// No text is missing in a language.
#include "app/i18n/strings.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>

#include "app/commands/command.h"
#include "tests/support/paths.h"

namespace headlight::app {
namespace {

/// Keys that the sources ask for: tr("key") and tr(condition ? "key" : "key").
std::set<std::string> keys_in_sources() {
  std::set<std::string> keys;
  const std::regex call(R"rx(\btr\(([^;]*?)\))rx"), literal(R"rx("([a-z_0-9]+(?:\.[a-z_0-9]+)*)")rx");
  for (const auto& entry : std::filesystem::recursive_directory_iterator(test::source_folder() / "app")) {
    if (entry.path().extension() != ".cpp") continue;
    std::ifstream in(entry.path());
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    for (std::sregex_iterator it(text.begin(), text.end(), call), end; it != end; ++it) {
      const std::string argument = (*it)[1];
      if (argument.find('+') != std::string::npos || argument.find("format") != std::string::npos) continue;
      for (std::sregex_iterator key(argument.begin(), argument.end(), literal); key != end; ++key)
        keys.insert((*key)[1]);
    }
  }
  return keys;
}

TEST(Strings, BothLanguagesHaveTheSameKeys) {
  const Strings strings;
  for (const auto& [key, text] : strings.table(Language::english)) {
    EXPECT_TRUE(strings.has(Language::vietnamese, key)) << key;
    EXPECT_FALSE(text.empty()) << key;
  }
  for (const auto& [key, text] : strings.table(Language::vietnamese)) {
    EXPECT_TRUE(strings.has(Language::english, key)) << key;
    EXPECT_FALSE(text.empty()) << key;
  }
}

TEST(Strings, EveryKeyThatTheSourcesAskForExists) {
  const Strings strings;
  const auto keys = keys_in_sources();
  EXPECT_GT(keys.size(), 40u);
  for (const std::string& key : keys) EXPECT_TRUE(strings.has(Language::english, key)) << key;
}

TEST(Strings, EveryCommandHasATitle) {
  const Strings strings;
  const CommandRegistry registry;
  std::set<std::string> ids;
  for (const Command& command : registry.all()) {
    EXPECT_TRUE(strings.has(Language::english, "command." + command.id)) << command.id;
    EXPECT_TRUE(ids.insert(command.id).second) << command.id << " is registered twice";
  }
}

TEST(Strings, NoKeyOpensTwoCommands) {
  const CommandRegistry registry;
  std::vector<std::pair<KeyChord, std::string>> seen;
  for (const Command& command : registry.all()) {
    for (const KeyChord& chord : command.keys) {
      for (const auto& [other, id] : seen)
        EXPECT_FALSE(other == chord) << chord_text(chord) << " opens " << id << " and " << command.id;
      seen.emplace_back(chord, command.id);
    }
  }
}

TEST(Strings, CapitalsOfVietnamese) {
  EXPECT_EQ(upper("Khối ước"), "KHỐI ƯỚC");
  EXPECT_EQ(upper("{} từ"), "{} TỪ");
}

}  // namespace
}  // namespace headlight::app
