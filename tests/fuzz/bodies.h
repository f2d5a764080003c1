// What is done with bytes that claim to be a file: read them, and hold what was read to its promises. Run on
// mutated seeds by the tests beside this file, and by libFuzzer (tests/libfuzzer).
#pragma once

#include <string_view>

namespace headlight::test {

/// Each reads `bytes`; throws Error where they are refused, and std::logic_error where a
/// promise is broken.
void fuzz_safetensors(std::string_view bytes);
void fuzz_tokenizer_json(std::string_view bytes);
/// merges.txt beside a vocabulary of the bytes and a few words.
void fuzz_merges(std::string_view bytes);
void fuzz_config(std::string_view bytes);

}  // namespace headlight::test
