// A registry of what stands where in the current frame: each control reports its id and rectangle. Tests
// click on controls by name, check that nothing overlaps or is cut off, and the mouse never has to be
// guessed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "app/base/rect.h"

namespace headlight::app {

struct Control {
  std::string id;
  Rect rect;
  Rect clip;  ///< the part of the window in which it can be seen
  bool enabled = true;
};

/// A text that had to be cut to fit.
struct CutText {
  std::string text;
  Rect rect;
  float wanted = 0;  ///< pixels
};

class Controls {
 public:
  void clear() {
    controls_.clear();
    cut_.clear();
  }
  void add(std::string_view id, Rect rect, Rect clip, bool enabled = true) {
    controls_.push_back({std::string(id), rect, clip, enabled});
  }
  void add_cut(std::string_view text, Rect rect, float wanted) {
    cut_.push_back({std::string(text), rect, wanted});
  }
  /// The control of that id, null if this frame has none.
  [[nodiscard]] const Control* find(std::string_view id) const {
    for (const Control& c : controls_)
      if (c.id == id) return &c;
    return nullptr;
  }
  [[nodiscard]] const std::vector<Control>& all() const { return controls_; }
  [[nodiscard]] const std::vector<CutText>& cut() const { return cut_; }

 private:
  std::vector<Control> controls_;
  std::vector<CutText> cut_;
};

}  // namespace headlight::app
