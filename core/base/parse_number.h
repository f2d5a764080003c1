// Numbers from text that a person typed, whole or not at all: `--set n_head=8`, `--set learning_rate=3e-4`.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace headlight {

/// A whole number, or nothing when the text is not exactly one that fits.
[[nodiscard]] std::optional<int64_t> parse_int(std::string_view text);
/// The same from 0 to 2^64 − 1.
[[nodiscard]] std::optional<uint64_t> parse_uint(std::string_view text);
/// A finite number with a decimal point whatever the locale.
[[nodiscard]] std::optional<double> parse_double(std::string_view text);

}  // namespace headlight
