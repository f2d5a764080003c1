// Text that arrives token by token: holds back what is not a whole character yet and what might become a stop
// string, so that neither is ever shown. Used by generation.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace headlight {

class TextStream {
 public:
  /// `stops`: strings that end the text, none of them empty (throws Error).
  explicit TextStream(std::vector<std::string> stops);

  /// Takes the bytes of one more token; returns what may be shown now, valid UTF-8 (bytes that are none
  /// become U+FFFD). Nothing is taken any more once stopped.
  [[nodiscard]] std::string push(std::string_view bytes);
  /// The text ends here: what was held back.
  [[nodiscard]] std::string finish();

  /// The stop string that ended the text; empty while there is none.
  [[nodiscard]] const std::string& stopped_by() const { return stopped_by_; }

 private:
  [[nodiscard]] std::string take_text(bool last);

  std::vector<std::string> stops_;
  std::string bytes_;  ///< the start of a character
  std::string held_;   ///< text that is a beginning of a stop string
  std::string stopped_by_;
};

}  // namespace headlight
