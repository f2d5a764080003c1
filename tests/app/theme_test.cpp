// Texts can be read in every theme.
#include "app/theme/theme.h"

#include "app/render/color_map.h"

#include <gtest/gtest.h>

#include <vector>

namespace headlight::app {
namespace {

TEST(Theme, TextsReachFourAndAHalfToOneOnEverySurface) {
  for (const ThemeKind kind : theme_kinds()) {
    const Theme& t = theme(kind);
    const std::vector<Color> grounds = {t.background, t.surface, t.raised};
    const std::vector<std::pair<const char*, Color>> texts = {
        {"text", t.text},           {"strong", t.strong},     {"past", t.past},
        {"future", t.future},       {"muted", t.muted},       {"warning", t.warning},
        {"error", t.error},         {"query", t.query},       {"key", t.key},
        {"value", t.value},         {"mlp", t.mlp},           {"residual", t.residual},
        {"attention", t.attention}, {"norm", t.norm},         {"gradient", t.gradient},
        {"logits", t.logits},       {"position", t.position}, {"accent", t.accent}};
    for (const auto& [name, color] : texts)
      for (const Color ground : grounds)
        EXPECT_GE(contrast(color, ground), 4.5)
            << theme_name(kind) << " " << name << " on " << std::hex << ground;
    EXPECT_GE(contrast(t.on_accent, t.accent), 4.5) << theme_name(kind);
    EXPECT_GE(contrast(t.on_chosen, t.chosen), 4.5) << theme_name(kind);
    EXPECT_GE(contrast(t.strong, t.row), 4.5) << theme_name(kind);
    EXPECT_GE(contrast(t.muted, t.hovered), 4.5) << theme_name(kind);
    EXPECT_GE(contrast(t.muted, t.row), 4.5) << theme_name(kind);
  }
}

TEST(Theme, HighContrastReachesSevenToOne) {
  const Theme& t = theme(ThemeKind::high_contrast);
  for (const Color color : {t.text, t.muted, t.future, t.query, t.key, t.value, t.attention, t.mlp})
    EXPECT_GE(contrast(color, t.background), 7);
}

TEST(Theme, MeaningsComeFromHookNames) {
  using enum EquationPart::Meaning;
  EXPECT_EQ(buffer_meaning("blocks.0.attn.hook_q"), query);
  EXPECT_EQ(buffer_meaning("blocks.0.attn.hook_k"), key);
  EXPECT_EQ(buffer_meaning("blocks.1.attn.hook_pattern"), attention);
  EXPECT_EQ(buffer_meaning("blocks.1.mlp.hook_post"), mlp);
  EXPECT_EQ(buffer_meaning("blocks.1.hook_resid_mid"), residual);
  EXPECT_EQ(buffer_meaning("blocks.1.attn.hook_q_grad"), gradient);
}

TEST(ColorMaps, EndsAndMiddle) {
  EXPECT_EQ(map_color(ColorMap::viridis, 0, ThemeKind::dark), rgb(0x440154));
  EXPECT_EQ(map_color(ColorMap::viridis, 1, ThemeKind::dark), rgb(0xfde725));
  for (const ThemeKind kind : theme_kinds())
    EXPECT_EQ(map_color(ColorMap::diverging, 0.5f, kind), theme(kind).neutral);
}

}  // namespace
}  // namespace headlight::app
