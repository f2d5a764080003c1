// Where the matrices of a scene stand: arrangements are tried and the one with the largest cells is taken.
// Pure arithmetic on pixels; used by the Pass view and its test.
#pragma once

#include <span>
#include <vector>

#include "app/base/rect.h"
#include "app/views/pass_model.h"

namespace headlight::app {

/// Room in pixels for the labels of one matrix: left of its cells, above them, and beyond their right end.
struct PassMargins {
  float left = 0, top = 0, right = 0;
};

/// Sizes in pixels.
struct PassMetrics {
  float header = 24;  ///< line with a matrix' title
  float legend = 38;  ///< colour scale below a matrix
  float gap = 44;     ///< between matrices
  float chip = 150;   ///< between inputs and outputs, when there is room
  float chip_least = 112;
  float chip_row = 46;  ///< the same when they stand below each other
  float cell = 28;      ///< largest cell
  float attached = 18;  ///< width of an attached column, height of an attached row
  float attached_gap = 8;
  float row_least = 16;  ///< rows get this high where there is room, however narrow their cells
};

struct PassSlotRects {
  Rect header;                ///< title and name
  Rect cells;                 ///< the matrix itself
  Rect legend;                ///< below; empty: it stands at the right end of the header
  bool column_labels = true;  ///< false: those of the matrix above serve
};

struct PassGeometry {
  std::vector<PassSlotRects> slots;  ///< by matrix of the scene
  Rect chip;                         ///< the operator
  Rect bars;                         ///< of a loss, beside the matrix, rows in line; of norms: all
  std::vector<Rect> joins;           ///< between two inputs of a sum: a sign stands there
  bool downwards = false;            ///< outputs stand below the inputs
  bool crossed = false;              ///< a product with rows and columns in line
  float least = 0;                   ///< side of the result's cells, pixels
  float score = 0;                   ///< how large the cells are
};

/// Columns attached at the right need room for their name above: `margins` of their own say how much.
[[nodiscard]] PassGeometry lay_out_pass(const PassScene& scene, std::span<const PassMargins> margins,
                                        const PassMetrics& metrics, const Rect& area);

/// Shares `room` by weight, nobody getting more than he wishes; what the modest leave goes to the others.
[[nodiscard]] std::vector<float> fair_shares(std::span<const float> wishes, std::span<const float> weights,
                                             float room);

}  // namespace headlight::app
