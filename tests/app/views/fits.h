// What every view keeps at any size, zoom and language: its controls inside their rooms, apart from each
// other, and no text cut.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/app/views/live_window.h"

namespace headlight::app {

/// Controls whose ids begin with `prefix`, `least` of them or more: inside their rooms and apart. `where`:
/// said with a failure.
inline void expect_inside_and_apart(LiveWindow& window, std::string_view prefix, size_t least,
                                    const std::string& where) {
  std::vector<const Control*> all;
  for (const Control& c : window.app().controls().all())
    if (c.id.starts_with(prefix)) all.push_back(&c);
  EXPECT_GE(all.size(), least) << where;
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_TRUE(all[i]->clip.inset(-1).contains(all[i]->rect)) << all[i]->id << " " << where;
    for (size_t j = i + 1; j < all.size(); ++j)
      EXPECT_FALSE(all[i]->rect.inset(0.5f).overlaps(all[j]->rect.inset(0.5f)))
          << all[i]->id << " and " << all[j]->id << " " << where;
  }
}

/// A view that scrolls: its main control stays in sight, what is in sight does not overlap, and at zoom 1 no
/// text in the room of the main control is cut.
inline void expect_fits_every_window(LiveWindow& window, std::string_view prefix, const std::string& main) {
  for (const char* language : {"en", "vi"}) {
    window.run(std::string("language.set ") + language);
    for (const char* zoom : {"0.75", "1", "1.5", "2"}) {
      window.run(std::string("zoom.set ") + zoom);
      for (const ImVec2 size : {ImVec2{1280, 720}, ImVec2{1920, 1080}}) {
        window.resize(size);
        window.frames(2);
        const std::string where = fmt::format("{} at {} in {} wide", language, zoom, size.x);
        const Control* first = window.control(main);
        ASSERT_NE(first, nullptr) << where;
        EXPECT_TRUE(first->clip.contains(first->rect)) << where;
        std::vector<Control> own;
        for (const Control& control : window.app().controls().all())
          if (control.id.starts_with(prefix)) own.push_back(control);
        for (size_t i = 0; i < own.size(); ++i)
          for (size_t j = i + 1; j < own.size(); ++j)
            EXPECT_FALSE(own[i].rect.overlaps(own[j].rect) && own[i].clip.overlaps(own[j].rect) &&
                         own[j].clip.overlaps(own[i].rect))
                << own[i].id << " over " << own[j].id << " " << where;
        if (std::string_view(zoom) != "1") continue;
        for (const CutText& cut : window.app().controls().cut())
          EXPECT_FALSE(first->clip.contains(cut.rect)) << "cut: " << cut.text << " " << where;
      }
    }
  }
}

}  // namespace headlight::app
