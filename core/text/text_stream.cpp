// See text_stream.h.
#include "core/text/text_stream.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/base/utf8.h"

namespace headlight {

namespace {

/// True where `bytes` is the beginning of a character that more bytes can complete.
bool may_be_completed(std::string_view bytes) {
  const auto first = static_cast<unsigned char>(bytes[0]);
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC2 ? 2 : 1;
  if (first > 0xF4 || bytes.size() >= length) return false;
  // The smallest and the largest completion: one of them is valid where any is.
  for (const char fill : {'\x80', '\xBF'}) {
    std::string whole(bytes);
    whole.resize(length, fill);
    if (valid_utf8_length(whole) == length) return true;
  }
  return false;
}

}  // namespace

TextStream::TextStream(std::vector<std::string> stops) : stops_(std::move(stops)) {
  for (const std::string& stop : stops_) {
    if (stop.empty()) fail("an empty stop string would stop everything; give at least one character");
  }
}

std::string TextStream::take_text(bool last) {
  std::string text;
  std::string_view rest = bytes_;
  while (!rest.empty()) {
    const size_t valid = valid_utf8_length(rest);
    text.append(rest.substr(0, valid));
    rest.remove_prefix(valid);
    if (rest.empty() || (!last && may_be_completed(rest))) break;
    append_utf8(text, U'\uFFFD');
    rest.remove_prefix(1);
  }
  bytes_ = std::string(rest);
  return text;
}

std::string TextStream::push(std::string_view bytes) {
  if (!stopped_by_.empty()) return "";
  bytes_ += bytes;
  held_ += take_text(false);
  // The stop string that is complete first.
  size_t end = std::string::npos, begin = 0;
  for (const std::string& stop : stops_) {
    const size_t at = held_.find(stop);
    if (at != std::string::npos && at + stop.size() < end) {
      end = at + stop.size();
      begin = at;
      stopped_by_ = stop;
    }
  }
  size_t shown = begin;
  if (end == std::string::npos) {
    // All but the longest end that begins a stop string.
    size_t held = 0;
    for (const std::string& stop : stops_) {
      for (size_t n = std::min(stop.size() - 1, held_.size()); n > held; --n) {
        if (std::string_view(held_).ends_with(std::string_view(stop).substr(0, n))) held = n;
      }
    }
    shown = held_.size() - held;
  }
  const std::string text = held_.substr(0, shown);
  held_.erase(0, shown);
  return text;
}

std::string TextStream::finish() {
  if (!stopped_by_.empty()) return "";
  std::string text = held_ + take_text(true);
  held_.clear();
  return text;
}

}  // namespace headlight
