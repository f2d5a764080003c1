// The error of a device without room: says how much was wanted and how much there is. Its own type, so that
// whoever knows what would fit can say so and whoever holds memory that can be spared can try again.
#pragma once

#include <cstddef>
#include <string>

#include "core/base/error.h"

namespace headlight {

class OutOfMemory : public Error {
 public:
  using Error::Error;
};

/// "3.2 GB", "640 MB", "12 kB": bytes for a sentence.
[[nodiscard]] inline std::string bytes_text(size_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (value >= 1e9) return fmt::format("{:.1f} GB", value / 1e9);
  if (value >= 9.95e6) return fmt::format("{:.0f} MB", value / 1e6);
  if (value >= 1e6) return fmt::format("{:.1f} MB", value / 1e6);
  return fmt::format("{:.0f} kB", value / 1e3);
}

}  // namespace headlight
