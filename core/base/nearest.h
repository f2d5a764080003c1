// "Did you mean …": the known name that is nearest to one that is not known.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace headlight {

/// The candidate with the smallest edit distance (Levenshtein) to `name`; the first of them when several tie,
/// and "" when there are no candidates.
[[nodiscard]] std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace headlight
