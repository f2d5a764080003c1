// The Residual view: the stream by layer and token, what attention and MLP wrote into it, how alike tokens
// grow with depth, and the logit lens.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "app/views/residual_model.h"
#include "app/views/view.h"

namespace headlight::app {

class ResidualView final : public View {
 public:
  [[nodiscard]] ViewId id() const override { return ViewId::residual; }
  void draw(const ViewContext& context, CommandQueue& commands) override;
  [[nodiscard]] bool animating() const override { return lit_changed_; }

 private:
  /// What the prepared data was made from.
  struct Key {
    uint64_t run = 0, pinned = 0;
    Compare compare = Compare::a;
    std::shared_ptr<const LogitLens> lens;  ///< it may come after its run
    bool operator==(const Key&) const = default;
  };
  /// Tells textures of derived matrices of one run apart; the buffers of a program count from 0.
  enum class Texture : int32_t { lens = -9, norms = -10, written = -11, cosines = -12 };
  using Values = std::shared_ptr<const std::vector<float>>;
  /// A matrix [rows × T] of derived values, and how to draw it.
  struct Map {
    const char* id = "";
    Texture texture = Texture::norms;
    Values values;
    const std::vector<std::string>* rows = nullptr;
    HeatStyle style;
    const char* quantity = "";  ///< text key for the tooltip
    int digits = 2;
  };
  void prepare(const ViewContext& context);
  void draw_header(const ViewContext& context, CommandQueue& commands, Rect& area);
  void draw_notes(const ViewContext& context, Rect& area);
  void draw_stream(const ViewContext& context, CommandQueue& commands, Rect area);
  void draw_map(const ViewContext& context, CommandQueue& commands, const Map& map, const Rect& rect,
                bool tokens);
  void draw_lens(const ViewContext& context, CommandQueue& commands, Rect area);
  /// Why the lens is not there, or not whole; empty where it is.
  [[nodiscard]] std::string lens_note(const ViewContext& context) const;
  /// Pixels that the lens would fill with its tallest rows.
  [[nodiscard]] float lens_height(const Ui& ui) const;
  void draw_lens_cell(const ViewContext& context, int64_t row, int64_t token, const Rect& cell) const;
  void draw_similarity(const ViewContext& context, Rect area);

  /// Texts of the lens' tokens, and their characters for the fonts.
  void name_tokens(const ViewContext& context);
  [[nodiscard]] const std::string& token_name(int32_t id) const { return token_names_.at(id); }
  [[nodiscard]] HeatKey key_of(Texture texture) const;

  Key key_;
  std::shared_ptr<ResidualModel> shown_;   ///< A, or B when B alone is looked at; replaced, never changed
  std::shared_ptr<ResidualModel> pinned_;  ///< B, null when none is pinned
  bool with_cache_ = false;                ///< the shown run holds the last token alone
  bool difference_ = false;           ///< A − B is asked for and the two have the same points and tokens
  std::string_view obstacle_;         ///< text key of why A − B is not shown
  Values norms_, written_, cosines_;  ///< what is drawn: values or differences
  std::vector<std::string> point_names_, part_names_;
  std::vector<std::string> labels_;  ///< tokens of the shown run
  std::unordered_map<int32_t, std::string> token_names_;
  const Tokenizer* names_of_ = nullptr;  ///< whose they are
  float label_width_ = 0, label_height_ = 0, label_right_ = 0, labels_scale_ = 0;

  int64_t token_ = 0;  ///< selected column
  std::optional<int64_t> hovered_, lit_;
  double scroll_row_ = 0, scroll_col_ = 1e9;  ///< of the lens; starts at the end
  bool lit_changed_ = false;
};

}  // namespace headlight::app
