// Errors of the core: an exception that carries one sentence for a person.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>

namespace headlight {

/// Says which file, tensor or rule, and what to do. Caught once at the engine's edge or in main().
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Throws Error with a formatted sentence.
template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace headlight
