// What an expression says when it fails: tests of bad input compare the sentence, not only that there is one.
#pragma once

#include <exception>
#include <string>

#include "core/base/error.h"

namespace headlight::test {

/// The sentence of the Error that `run` throws; "no error" when it throws none, and "not an Error: …" for
/// other exceptions.
template <class Run>
std::string error_of(Run&& run) {
  try {
    static_cast<void>(run());
  } catch (const Error& error) {
    return error.what();
  } catch (const std::exception& error) {
    return std::string("not an Error: ") + error.what();
  }
  return "no error";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace headlight::test

/// The sentence must hold each part.
#define EXPECT_SAYS(sentence, part) EXPECT_PRED2(headlight::test::contains, sentence, part)
#define ASSERT_SAYS(sentence, part) ASSERT_PRED2(headlight::test::contains, sentence, part)
