// The dtypes that safetensors files may hold, shared by the reader and the writer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace headlight {

/// Bytes of one number, or 0 when the dtype is unknown.
[[nodiscard]] uint64_t dtype_bytes(std::string_view dtype);

/// All names, for a sentence.
[[nodiscard]] std::string known_dtypes();

}  // namespace headlight
