// See unicode_class.h.
#include "core/text/unicode_class.h"

#include <utf8proc.h>

#include <algorithm>
#include <map>

namespace headlight {

namespace {

/// Letters and numbers that Unicode 15.1 and 16.0 assigned: the library of Debian 12 knows 15.0, and the
/// tokenizers that ids are compared with know 16.0.
struct Assigned {
  char32_t first, last;
  CharClass is;
};
constexpr Assigned kAssignedLater[] = {
    {0x1C89, 0x1C8A, CharClass::letter},   {0xA7CB, 0xA7CD, CharClass::letter},
    {0xA7DA, 0xA7DC, CharClass::letter},   {0x105C0, 0x105F3, CharClass::letter},
    {0x10D40, 0x10D49, CharClass::number}, {0x10D4A, 0x10D65, CharClass::letter},
    {0x10D6F, 0x10D85, CharClass::letter}, {0x10EC2, 0x10EC4, CharClass::letter},
    {0x11380, 0x11389, CharClass::letter}, {0x1138B, 0x1138B, CharClass::letter},
    {0x1138E, 0x1138E, CharClass::letter}, {0x11390, 0x113B5, CharClass::letter},
    {0x113B7, 0x113B7, CharClass::letter}, {0x113D1, 0x113D1, CharClass::letter},
    {0x113D3, 0x113D3, CharClass::letter}, {0x116D0, 0x116E3, CharClass::number},
    {0x11BC0, 0x11BE0, CharClass::letter}, {0x11BF0, 0x11BF9, CharClass::number},
    {0x13460, 0x143FA, CharClass::letter}, {0x16100, 0x1611D, CharClass::letter},
    {0x16130, 0x16139, CharClass::number}, {0x16D40, 0x16D6C, CharClass::letter},
    {0x16D70, 0x16D79, CharClass::number}, {0x18CFF, 0x18CFF, CharClass::letter},
    {0x1CCF0, 0x1CCF9, CharClass::number}, {0x1E5D0, 0x1E5ED, CharClass::letter},
    {0x1E5F0, 0x1E5F0, CharClass::letter}, {0x1E5F1, 0x1E5FA, CharClass::number},
    {0x2EBF0, 0x2EE5D, CharClass::letter},
};

CharClass class_of(char32_t c) {
  if (c == U'\r' || c == U'\n') return CharClass::newline;
  if ((c >= 0x09 && c <= 0x0D) || c == 0x85) return CharClass::space;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return CharClass::letter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return CharClass::number;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return CharClass::space;
    default:
      return CharClass::other;
  }
}

}  // namespace

UnicodeClasses::UnicodeClasses() {
  std::vector<CharClass> all(0x110000);
  for (char32_t c = 0; c < all.size(); ++c) all[c] = class_of(c);
  for (const Assigned& range : kAssignedLater) {
    std::fill(all.begin() + range.first, all.begin() + range.last + 1, range.is);
  }
  std::map<std::vector<CharClass>, uint16_t> known;
  for (size_t page = 0; page < pages_.size(); ++page) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(page * 256);
    const auto [place, fresh] =
        known.emplace(std::vector<CharClass>(begin, begin + 256), static_cast<uint16_t>(known.size()));
    if (fresh) classes_.insert(classes_.end(), begin, begin + 256);
    pages_[page] = place->second;
  }
  std::copy_n(all.begin(), ascii_.size(), ascii_.begin());
}

const UnicodeClasses& UnicodeClasses::get() {
  static const UnicodeClasses table;
  return table;
}

}  // namespace headlight
