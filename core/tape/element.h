// Element types of buffers. A program computes in fp32, or in 16 bits where it was rewritten so
// (core/tape/precision.h).
#pragma once

#include <cstddef>
#include <string_view>

namespace headlight {

/// i32 and u64: tokens and seeds. The others are numbers that a program computes with.
enum class ElementType { f32, i32, u64, bf16, f16 };

/// Bytes of one element.
[[nodiscard]] constexpr size_t element_bytes(ElementType type) {
  switch (type) {
    case ElementType::bf16:
    case ElementType::f16:
      return 2;
    case ElementType::u64:
      return 8;
    case ElementType::f32:
    case ElementType::i32:
      break;
  }
  return 4;
}

/// True for f32, bf16 and f16.
[[nodiscard]] constexpr bool is_floating(ElementType type) {
  return type != ElementType::i32 && type != ElementType::u64;
}

/// As the field calls it: "fp32", "bf16", "fp16", "i32", "u64".
[[nodiscard]] constexpr std::string_view element_name(ElementType type) {
  switch (type) {
    case ElementType::i32:
      return "i32";
    case ElementType::u64:
      return "u64";
    case ElementType::bf16:
      return "bf16";
    case ElementType::f16:
      return "fp16";
    case ElementType::f32:
      break;
  }
  return "fp32";
}

}  // namespace headlight
