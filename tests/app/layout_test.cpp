// Nothing overlaps, leaves the window or is cut, at any size, zoom and language.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/app/support/harness.h"

namespace headlight::app {
namespace {

bool of_chrome(const std::string& id) {
  for (const char* start :
       {"heads.", "norm.", "mask.", "parts.", "temperature", "step.first", "step.previous", "step.next",
        "step.last", "play.toggle", "device", "tab.", "train.", "model", "switches.menu"})
    if (id.starts_with(start)) return true;
  return false;
}

struct Case {
  ImVec2 size;
  double zoom;
  Language language;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const ImVec2 size : {ImVec2{1280, 720}, ImVec2{1920, 1080}})
    for (const double zoom : {0.75, 1.0, 1.25, 1.5, 2.0, 3.0})
      for (const Language language : {Language::english, Language::vietnamese})
        all.push_back({size, zoom, language});
  return all;
}

std::string describe(const Case& c) {
  return fmt::format("{}x{} at {} in {}", c.size.x, c.size.y, c.zoom, language_code(c.language));
}

TEST(Layout, ControlsOfTheChromeStayInsideAndApart) {
  for (const Case& c : cases()) {
    test::Harness h(c.size);
    h.state().layout.zoom = c.zoom;
    h.state().layout.language = c.language;
    h.frames(3);
    const Rect window{0, 0, c.size.x, c.size.y};
    std::vector<const Control*> chrome;
    for (const Control& control : h.app.controls().all())
      if (of_chrome(control.id)) chrome.push_back(&control);
    EXPECT_GE(chrome.size(), 10u) << describe(c);
    for (size_t i = 0; i < chrome.size(); ++i) {
      EXPECT_TRUE(window.contains(chrome[i]->rect)) << chrome[i]->id << " " << describe(c);
      EXPECT_TRUE(chrome[i]->clip.inset(-1).contains(chrome[i]->rect))
          << chrome[i]->id << " clipped " << describe(c);
      for (size_t j = i + 1; j < chrome.size(); ++j)
        EXPECT_FALSE(chrome[i]->rect.inset(0.5f).overlaps(chrome[j]->rect.inset(0.5f)))
            << chrome[i]->id << " and " << chrome[j]->id << " " << describe(c);
    }
    EXPECT_NE(h.app.controls().find("play.toggle"), nullptr) << describe(c);
  }
}

TEST(Layout, PanelsTileTheWindow) {
  for (const Case& c : cases()) {
    const auto scale = static_cast<float>(c.zoom);
    const Rect window{0, 0, c.size.x, c.size.y};
    const WindowLayout l = window_layout(window, scale, 56 * scale, {});
    const std::vector<Rect> parts = {l.topbar,    l.tabs, l.tree,   l.stage,
                                     l.inspector, l.next, l.prompt, l.training};
    float area = 0;
    for (size_t i = 0; i < parts.size(); ++i) {
      if (parts[i].empty()) continue;
      area += parts[i].width() * parts[i].height();
      EXPECT_TRUE(window.contains(parts[i])) << i << " " << describe(c);
      for (size_t j = i + 1; j < parts.size(); ++j)
        EXPECT_FALSE(!parts[j].empty() && parts[i].overlaps(parts[j])) << i << " " << j << " " << describe(c);
    }
    EXPECT_NEAR(area, c.size.x * c.size.y, 1) << describe(c);
    EXPECT_GE(l.stage.width(), 0.4f * c.size.x) << describe(c);
  }
}

TEST(Layout, NoLabelIsCutInEitherLanguage) {
  for (const ImVec2 size : {ImVec2{1280, 720}, ImVec2{1920, 1080}}) {
    for (const Language language : {Language::english, Language::vietnamese}) {
      for (const double zoom : {0.75, 1.0, 1.5}) {
        for (int v = 0; v < view_count; ++v) {
          test::Harness h(size);
          h.state().layout.zoom = zoom;
          h.state().layout.language = language;
          h.state().layout.view = static_cast<ViewId>(v);
          h.frames(3);
          for (const CutText& cut : h.app.controls().cut())
            ADD_FAILURE() << "\"" << cut.text << "\" wants " << cut.wanted << " of " << cut.rect.width()
                          << " in " << view_name(static_cast<ViewId>(v)) << " "
                          << describe({size, zoom, language});
        }
      }
    }
  }
}

TEST(Layout, OverlaysFitTheirTitles) {
  for (const Language language : {Language::english, Language::vietnamese}) {
    for (const char* overlay : {"help", "palette", "model.menu"}) {
      test::Harness h({1280, 720});
      h.state().layout.language = language;
      h.app.execute(overlay);
      h.frames(3);
      EXPECT_TRUE(h.app.controls().cut().empty())
          << overlay << " " << language_code(language) << ": " << h.app.controls().cut().front().text;
    }
  }
}

}  // namespace
}  // namespace headlight::app
