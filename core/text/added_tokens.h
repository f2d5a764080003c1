// Tokens that are found in a text as they stand, such as "<|endoftext|>": the longest of the first one.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace headlight {

class AddedTokens {
 public:
  /// Longer ones are refused by validate(BpeModel), so that looking for them stays linear in the text.
  static constexpr size_t longest_allowed = 1024;

  AddedTokens() = default;
  /// Texts and their ids; texts are not empty.
  explicit AddedTokens(std::vector<std::pair<std::string, int32_t>> tokens);

  struct Match {
    size_t offset = 0, length = 0;
    int32_t id = 0;
  };
  /// The first match at or behind `offset`, and there the longest.
  [[nodiscard]] std::optional<Match> find(std::string_view text, size_t offset) const;
  [[nodiscard]] bool empty() const { return tokens_.empty(); }
  /// Bytes of the longest one; 0 for none.
  [[nodiscard]] size_t longest() const { return longest_; }

 private:
  [[nodiscard]] std::optional<Match> match_at(std::string_view text, size_t offset) const;

  std::vector<std::pair<std::string, int32_t>> tokens_;  ///< sorted by text
  std::array<bool, 256> starts_{};                       ///< first bytes
  std::optional<char> only_start_;                       ///< when they all begin alike
  size_t longest_ = 0;
};

}  // namespace headlight
