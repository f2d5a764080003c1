// One libFuzzer program for each body of tests/fuzz/bodies.h, chosen by FUZZ_BODY.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "tests/fuzz/bodies.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    headlight::test::FUZZ_BODY(std::string_view(reinterpret_cast<const char*>(data), size));
  } catch (const headlight::Error& error) {
    // A refusal must be a sentence that can be shown.
    const std::string_view sentence = error.what();
    if (sentence.empty() || headlight::valid_utf8_length(sentence) != sentence.size()) __builtin_trap();
  }
  return 0;
}
