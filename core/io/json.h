// JSON from outside, parsed with limits: no input makes the parser recurse deeply, grow without bound or hide
// a key behind another of the same name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

namespace headlight {

struct JsonLimits {
  uint64_t max_bytes = 64u << 20;
  int64_t max_depth = 64;          ///< arrays and objects inside one another
  int64_t max_values = 4'000'000;  ///< values of every kind
};

/// Parses text that someone else wrote. `where` names its source in the sentence. Throws Error on anything
/// but one valid UTF-8 JSON value within the limits and without repeated keys.
[[nodiscard]] nlohmann::json parse_json(std::string_view text, std::string_view where,
                                        const JsonLimits& limits = {});

/// Reads and parses a file. Throws Error as read_whole_file and parse_json do.
[[nodiscard]] nlohmann::json read_json_file(const std::filesystem::path& file, std::string_view what,
                                            const JsonLimits& limits = {});

/// Writes indented JSON and a newline, atomically.
void write_json_file(const std::filesystem::path& file, const nlohmann::json& json,
                     bool keep_previous = false);

}  // namespace headlight
