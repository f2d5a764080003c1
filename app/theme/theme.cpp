// The three themes. Hues of the meanings are Okabe and Ito's, lightened on dark ground and darkened on white
// until they can be read as text.
#include "app/theme/theme.h"

#include <array>

namespace headlight::app {
namespace {

Theme dark_theme() {
  Theme t;
  t.kind = ThemeKind::dark;
  t.background = rgb(0x0f1216);
  t.surface = rgb(0x151a20);
  t.raised = rgb(0x1c222a);
  t.hovered = rgb(0x262e38);
  t.line = rgb(0x262d37);
  t.track = rgb(0x3a4655);
  t.text = rgb(0xe8ecf2);
  t.strong = rgb(0xffffff);
  t.past = rgb(0xb8c1cf);
  t.future = rgb(0x7f8a9b);
  t.muted = rgb(0x8f99aa);
  t.accent = rgb(0x6cb6ff);
  t.on_accent = rgb(0x0b1017);
  t.chosen = rgb(0x2b3a4c);
  t.on_chosen = rgb(0xffffff);
  t.row = rgb(0x20303f);
  t.bar = rgb(0x3f6d97);
  t.masked = rgb(0x12161b);
  t.hatch = rgb(0x2a323d);
  t.neutral = rgb(0x1b1e24);
  t.warning = rgb(0xe69f00);
  t.error = rgb(0xff8a7a);
  t.query = rgb(0x56b4e9);
  t.key = rgb(0xe69f00);
  t.value = rgb(0x00b389);
  t.attention = rgb(0xef6a2e);
  t.mlp = rgb(0xd58bb5);
  t.residual = rgb(0xc4ccd8);
  t.norm = rgb(0x8fa8ff);
  t.gradient = rgb(0xf0e442);
  t.logits = rgb(0xd9b38c);
  t.position = rgb(0x9ccf9a);
  return t;
}

Theme light_theme() {
  Theme t;
  t.kind = ThemeKind::light;
  t.dark = false;
  t.background = rgb(0xf6f8fa);
  t.surface = rgb(0xffffff);
  t.raised = rgb(0xecf0f5);
  t.hovered = rgb(0xe1e7ee);
  t.line = rgb(0xd8dee7);
  t.track = rgb(0xb9c3d0);
  t.text = rgb(0x1a2029);
  t.strong = rgb(0x000000);
  t.past = rgb(0x3a4553);
  t.future = rgb(0x5f6b7b);
  t.muted = rgb(0x566172);
  t.accent = rgb(0x1464b4);
  t.on_accent = rgb(0xffffff);
  t.chosen = rgb(0xc9def4);
  t.on_chosen = rgb(0x0c2844);
  t.row = rgb(0xdcebf9);
  t.bar = rgb(0x6fa3d2);
  t.masked = rgb(0xeef1f4);
  t.hatch = rgb(0xc5ccd6);
  t.neutral = rgb(0xffffff);
  t.warning = rgb(0x8a5a00);
  t.error = rgb(0xb3261e);
  t.query = rgb(0x0068a5);
  t.key = rgb(0x8a5c00);
  t.value = rgb(0x00694f);
  t.attention = rgb(0xb34700);
  t.mlp = rgb(0x9b3f77);
  t.residual = rgb(0x4b5563);
  t.norm = rgb(0x3b4fc4);
  t.gradient = rgb(0x6f6400);
  t.logits = rgb(0x7d5426);
  t.position = rgb(0x2f6b2c);
  return t;
}

Theme high_contrast_theme() {
  Theme t = dark_theme();
  t.kind = ThemeKind::high_contrast;
  t.background = rgb(0x000000);
  t.surface = rgb(0x000000);
  t.raised = rgb(0x141414);
  t.hovered = rgb(0x2a2a2a);
  t.line = rgb(0x8a8a8a);
  t.track = rgb(0x7a7a7a);
  t.text = rgb(0xffffff);
  t.past = rgb(0xffffff);
  t.future = rgb(0xb9b9b9);
  t.muted = rgb(0xd2d2d2);
  t.accent = rgb(0xffd84d);
  t.on_accent = rgb(0x000000);
  t.chosen = rgb(0xffd84d);
  t.on_chosen = rgb(0x000000);
  t.row = rgb(0x003a5c);
  t.bar = rgb(0x4da3e8);
  t.masked = rgb(0x000000);
  t.hatch = rgb(0x5a5a5a);
  t.neutral = rgb(0x000000);
  t.query = rgb(0x7cc8f5);
  t.key = rgb(0xffb52e);
  t.value = rgb(0x2fd6ab);
  t.attention = rgb(0xff8a52);
  t.mlp = rgb(0xf0a8d0);
  t.residual = rgb(0xe6e6e6);
  t.norm = rgb(0xa9bcff);
  t.logits = rgb(0xf0cba5);
  t.position = rgb(0xb5e8b3);
  return t;
}

constexpr std::array kinds = {ThemeKind::dark, ThemeKind::light, ThemeKind::high_contrast};

}  // namespace

Color Theme::meaning(EquationPart::Meaning m) const {
  using Meaning = EquationPart::Meaning;
  switch (m) {
    case Meaning::plain:
      return text;
    case Meaning::muted:
      return muted;
    case Meaning::query:
      return query;
    case Meaning::key:
      return key;
    case Meaning::value:
      return value;
    case Meaning::attention:
      return attention;
    case Meaning::mlp:
      return mlp;
    case Meaning::residual:
      return residual;
    case Meaning::norm:
      return norm;
    case Meaning::gradient:
      return gradient;
    case Meaning::logits:
      return logits;
    case Meaning::position:
      return position;
  }
  return text;
}

const Theme& theme(ThemeKind kind) {
  static const std::array<Theme, 3> themes = {dark_theme(), light_theme(), high_contrast_theme()};
  return themes[static_cast<size_t>(kind)];
}

std::span<const ThemeKind> theme_kinds() { return kinds; }

std::string_view theme_name(ThemeKind kind) {
  constexpr std::array<std::string_view, 3> names = {"dark", "light", "high-contrast"};
  return names[static_cast<size_t>(kind)];
}

std::optional<ThemeKind> theme_from_name(std::string_view name) {
  for (const ThemeKind kind : kinds)
    if (theme_name(kind) == name) return kind;
  return std::nullopt;
}

EquationPart::Meaning buffer_meaning(std::string_view name) {
  using enum EquationPart::Meaning;
  const auto has = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
  if (name.ends_with("_grad") || has("grad_norm")) return gradient;
  if (has("hook_qkv")) return attention;
  if (has("hook_q") || has("attn.W_Q") || has("rot_q")) return query;
  if (has("hook_k") || has("attn.W_K") || has("rot_k") || has("past_k")) return key;
  if (has("hook_v") || has("attn.W_V") || has("past_v")) return value;
  if (has("hook_resid")) return residual;
  if (has("mlp")) return mlp;
  if (has(".ln") || has("ln1.") || has("ln2.") || name.starts_with("ln_")) return norm;
  if (has("attn")) return attention;
  if (has("unembed") || has("logits") || has("loss")) return logits;
  if (has("pos") || has("rotary")) return position;
  return plain;
}

}  // namespace headlight::app
