// Buffers of a program that live neither in the executor's arena nor in Parameters: the caches of keys and
// values, and weights packed to 16 or 8 bits. The executor asks for them by name.
#pragma once

#include <span>
#include <string_view>

namespace headlight {

class ExternalBuffers {
 public:
  virtual ~ExternalBuffers() = default;
  /// Memory of the backend; null where the name is not one of these.
  [[nodiscard]] virtual void* memory(std::string_view name) const = 0;
  /// Writes the values as fp32 in the buffer's logical order and returns true where they are stored in
  /// another form; false where they are plain fp32.
  virtual bool unpack(std::string_view name, std::span<float> values) const = 0;
};

}  // namespace headlight
