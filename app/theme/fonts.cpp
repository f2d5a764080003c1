// Loads the faces, builds the atlas with FreeType, adds characters on demand.
#include "app/theme/fonts.h"

#include <fmt/format.h>
#include <ft2build.h>
#include <imgui_freetype.h>
#include <imgui_internal.h>
#include FT_FREETYPE_H

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>

namespace headlight::app {
namespace {

// Latin with Vietnamese, Greek, punctuation, super- and subscripts, arrows, mathematics and a few shapes.
// What else a corpus brings is added by need().
constexpr ImWchar base_ranges[] = {0x0020, 0x007E, 0x00A0, 0x017F, 0x01A0, 0x01A1, 0x01AF, 0x01B0, 0x0300,
                                   0x0303, 0x0309, 0x0309, 0x0323, 0x0323, 0x0391, 0x03C9, 0x1D40, 0x1D40,
                                   0x1D62, 0x1D62, 0x1EA0, 0x1EF9, 0x2010, 0x2026, 0x2030, 0x2033, 0x2070,
                                   0x2099, 0x20AB, 0x20AB, 0x2190, 0x2194, 0x2200, 0x2265, 0x2297, 0x2299,
                                   0x22C5, 0x22C5, 0x25A0, 0x25A1, 0x25B2, 0x25BF, 0x25C6, 0x25CF, 0};

constexpr const char* font_roots[] = {"/usr/share/fonts", "/usr/local/share/fonts"};

std::filesystem::path find_font(const char* name) {
  std::vector<std::filesystem::path> roots(std::begin(font_roots), std::end(font_roots));
  if (const char* home = std::getenv("HOME"))
    roots.emplace_back(std::filesystem::path(home) / ".local/share/fonts");
  for (const auto& root : roots) {
    std::error_code error;
    if (std::filesystem::exists(root / name, error)) return root / name;
  }
  return {};
}

}  // namespace

Fonts::Fonts() {
  load(inter, "fonts-inter", {"opentype/inter/Inter-Regular.otf", "truetype/inter/Inter-Regular.ttf"});
  load(inter_medium, "fonts-inter", {"opentype/inter/Inter-Medium.otf", "truetype/inter/Inter-Medium.ttf"});
  load(inter_semibold, "fonts-inter",
       {"opentype/inter/Inter-SemiBold.otf", "truetype/inter/Inter-SemiBold.ttf"});
  load(inter_bold, "fonts-inter", {"opentype/inter/Inter-Bold.otf", "truetype/inter/Inter-Bold.ttf"});
  load(noto_mono, "fonts-noto-mono", {"truetype/noto/NotoSansMono-Regular.ttf"});
  load(noto_mono_bold, "fonts-noto-mono", {"truetype/noto/NotoSansMono-Bold.ttf"});
  load(dejavu, "fonts-dejavu-core", {"truetype/dejavu/DejaVuSans.ttf"});
}

void Fonts::load(FaceId id, std::string_view package, std::initializer_list<const char*> files) {
  Face& face = faces_[id];
  for (const char* name : files) {
    const auto path = find_font(name);
    if (path.empty()) continue;
    std::ifstream in(path, std::ios::binary);
    face.bytes.assign(std::istreambuf_iterator<char>(in), {});
    FT_Library library = nullptr;
    FT_Face ft = nullptr;
    if (FT_Init_FreeType(&library) != 0) break;
    if (FT_New_Memory_Face(library, reinterpret_cast<const FT_Byte*>(face.bytes.data()),
                           static_cast<FT_Long>(face.bytes.size()), 0, &ft) == 0) {
      face.file = path;
      face.line_per_em =
          static_cast<float>(ft->ascender - ft->descender) / static_cast<float>(ft->units_per_EM);
      FT_Done_Face(ft);
    }
    FT_Done_FreeType(library);
    if (!face.file.empty()) return;
  }
  missing_.push_back(
      fmt::format("The font file {} is missing or unreadable; install {}.", *files.begin(), package));
}

void Fonts::add(TextStyle style, FaceId face, float em_px, float spacing_px) {
  ImFontAtlas* atlas = ImGui::GetIO().Fonts;
  ImFont* font = nullptr;
  // The face itself, then the others as its fallbacks: mathematics and rare letters come from DejaVu Sans.
  const FaceId chain[] = {face, dejavu, noto_mono, inter};
  for (const FaceId id : chain) {
    Face& f = faces_[id];
    if (f.file.empty() || (font != nullptr && id == face)) continue;
    ImFontConfig config;
    config.FontData = f.bytes.data();
    config.FontDataSize = static_cast<int>(f.bytes.size());
    config.FontDataOwnedByAtlas = false;
    config.SizePixels = std::round(em_px * scale_ * f.line_per_em);
    config.GlyphExtraSpacing.x = std::round(spacing_px * scale_);
    config.GlyphRanges = ranges_.data();
    config.OversampleH = config.OversampleV = 1;
    config.PixelSnapH = true;
    config.FontBuilderFlags = ImGuiFreeTypeBuilderFlags_LightHinting;
    config.MergeMode = font != nullptr;
    ImFont* added = atlas->AddFont(&config);
    if (font == nullptr) font = added;
  }
  if (font == nullptr) {
    ImFontConfig config;
    config.SizePixels = std::round(em_px * scale_);
    font = atlas->AddFontDefault(&config);
  }
  fonts_[static_cast<size_t>(style)] = font;
}

bool Fonts::build(float scale) {
  if (scale == scale_ && !stale_) return false;
  scale_ = scale;
  stale_ = false;
  ranges_.assign(std::begin(base_ranges), std::end(base_ranges) - 1);
  for (const ImWchar c : extra_) ranges_.insert(ranges_.end(), {c, c});
  ranges_.push_back(0);

  ImFontAtlas* atlas = ImGui::GetIO().Fonts;
  atlas->Clear();
  atlas->FontBuilderIO = ImGuiFreeType::GetBuilderForFreeType();
  atlas->Flags |= ImFontAtlasFlags_NoMouseCursors;
  atlas->TexDesiredWidth = scale > 1.6f ? 4096 : 2048;
  using enum TextStyle;
  add(body, inter, 15, 0);
  add(body_medium, inter_medium, 15, 0);
  add(body_semibold, inter_semibold, 15, 0);
  add(label, inter, 13, 0);
  add(small, inter, 14, 0);
  fonts_[static_cast<size_t>(caption)] = fonts_[static_cast<size_t>(label)];
  add(heading, inter_semibold, 14, 0);
  add(section, inter_semibold, 12, 0.6f);
  add(group, inter, 12, 0.6f);
  add(title, inter_bold, 19, 0);
  add(operation, inter_semibold, 17, 0);
  add(mono, noto_mono, 13, 0);
  add(mono_small, noto_mono, 12, 0);
  add(mono_large, noto_mono, 14, 0);
  add(mono_index, noto_mono, 10, 0);
  add(mono_bold, noto_mono_bold, 13, 0);
  add(equation, dejavu, 26, 0);
  add(equation_small, dejavu, 17, 0);
  add(display, dejavu, 22, 0);
  atlas->Build();
  ImGui::GetIO().FontDefault = font(body);
  return true;
}

void Fonts::need(std::string_view utf8) {
  const char* p = utf8.data();
  const char* end = p + utf8.size();
  while (p < end) {
    unsigned int c = 0;
    const int n = ImTextCharFromUtf8(&c, p, end);
    if (n <= 0) break;
    p += n;
    if (c < 0x20 || c > 0xFFFF || extra_.contains(static_cast<ImWchar>(c))) continue;
    bool known = false;
    for (size_t i = 0; base_ranges[i] != 0; i += 2)
      known = known || (c >= base_ranges[i] && c <= base_ranges[i + 1]);
    if (known) continue;
    extra_.insert(static_cast<ImWchar>(c));
    stale_ = true;
  }
}

ImVec2 Fonts::measure(TextStyle style, std::string_view text) const {
  ImFont* f = font(style);
  if (text.empty()) return {0, f->FontSize};  // ImGui takes no null pointer
  return f->CalcTextSizeA(f->FontSize, 1e9f, 0, text.data(), text.data() + text.size());
}

}  // namespace headlight::app
