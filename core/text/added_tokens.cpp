// See added_tokens.h.
#include "core/text/added_tokens.h"

#include <algorithm>

namespace headlight {

AddedTokens::AddedTokens(std::vector<std::pair<std::string, int32_t>> tokens) : tokens_(std::move(tokens)) {
  std::sort(tokens_.begin(), tokens_.end());
  for (const auto& [text, id] : tokens_) {
    starts_[static_cast<uint8_t>(text[0])] = true;
    longest_ = std::max(longest_, text.size());
  }
  if (!tokens_.empty() && tokens_.front().first[0] == tokens_.back().first[0])
    only_start_ = tokens_[0].first[0];
}

std::optional<AddedTokens::Match> AddedTokens::match_at(std::string_view text, size_t offset) const {
  // Among the sorted texts those that agree with the first n bytes are a range, and the shortest stands
  // first.
  auto low = tokens_.begin(), high = tokens_.end();
  std::optional<Match> best;
  for (size_t n = 0; offset + n < text.size() && low != high; ++n) {
    const auto byte_at = [n](const std::pair<std::string, int32_t>& token) {
      return static_cast<int>(static_cast<uint8_t>(token.first[n]));
    };
    const int byte = static_cast<uint8_t>(text[offset + n]);
    low = std::partition_point(low, high, [&](const auto& token) { return byte_at(token) < byte; });
    high = std::partition_point(low, high, [&](const auto& token) { return byte_at(token) <= byte; });
    if (low != high && low->first.size() == n + 1) {
      best = Match{offset, n + 1, low->second};
      ++low;
    }
  }
  return best;
}

std::optional<AddedTokens::Match> AddedTokens::find(std::string_view text, size_t offset) const {
  if (tokens_.empty()) return std::nullopt;
  while (offset < text.size()) {
    if (only_start_) {
      offset = text.find(*only_start_, offset);
      if (offset == std::string_view::npos) return std::nullopt;
    } else if (!starts_[static_cast<uint8_t>(text[offset])]) {
      offset += 1;
      continue;
    }
    if (const auto match = match_at(text, offset)) return match;
    offset += 1;
  }
  return std::nullopt;
}

}  // namespace headlight
