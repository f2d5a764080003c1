// What the Pass view shows of one step: its matrices with what stands on their axes, how they are arranged,
// and the facts that its captions tell. Prepared from a run without ImGui; drawn by pass.cpp.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/views/run_data.h"
#include "core/tape/op.h"
#include "core/text/tokenizer.h"

namespace headlight::app {

/// What names the places along an axis of a matrix: the tokens that were run, the places of a cache, …
enum class PassAxis { none, tokens, places, vocabulary, index };

/// A bracket over columns: the thirds of QKV, the heads of a merged width.
struct PassBand {
  int64_t first = 0, last = 0;  ///< [first, last)
  std::string text;
  EquationPart::Meaning meaning = EquationPart::Meaning::plain;
};

/// One buffer of the step, as it is drawn.
struct PassMatrix {
  enum class Part {
    input,
    output,
    forward
  } part = Part::input;  ///< forward: shown beside a gradient, not read
  enum class Attach { none, right, below } attach = Attach::none;
  enum class Missing { none, not_captured, over_budget } missing = Missing::none;

  int host = -1;        ///< index of the matrix it is attached to: shares its rows (right) or columns (below)
  BufferPlane cells;    ///< where its cells lie in the buffer
  ComparedPlane shown;  ///< values as drawn, transposed already
  bool transposed = false;  ///< drawn with the plane's columns as rows
  bool derived = false;     ///< worked out here (new − old): `cells` are those of the new value
  std::string title;        ///< key of its title
  std::string detail;       ///< hook name, with its aliases
  bool gradient = false;    ///< the title names the forward buffer; this is its gradient
  EquationPart::Meaning meaning = EquationPart::Meaning::plain;
  PassAxis row_axis = PassAxis::none, col_axis = PassAxis::none;
  int64_t first_row = 0, first_col = 0;    ///< of the drawn part, where only some rows are held
  int64_t used_rows = -1, used_cols = -1;  ///< places of a cache that mean something; −1: all
  std::vector<PassBand> bands;
  std::vector<BufferPlane::Cell> marks;  ///< cells that matter whatever is hovered: the targets
  bool hatch_future = false;             ///< zeros above the diagonal are masked cells
  std::optional<double> norm;            ///< ‖·‖ of all values; in update steps

  /// True where some of its rows are drawn and the others are not held.
  [[nodiscard]] bool windowed() const { return cells.plane.rows < cells.all_rows; }
  [[nodiscard]] int64_t rows() const { return shown.plane.rows; }
  [[nodiscard]] int64_t cols() const { return shown.plane.cols; }
  /// True where the columns are tokens of the text: keys.
  [[nodiscard]] bool over_tokens() const {
    return square() || (row_axis == PassAxis::tokens && col_axis == PassAxis::places);
  }
  [[nodiscard]] bool square() const {
    return row_axis == PassAxis::tokens && col_axis == PassAxis::tokens && rows() == cols();
  }
  /// Address of a drawn cell in its buffer, and back.
  [[nodiscard]] int64_t offset(int64_t row, int64_t col) const {
    return transposed ? cells.offset(col, row) : cells.offset(row, col);
  }
  [[nodiscard]] std::optional<BufferPlane::Cell> cell(int64_t offset) const;
};

/// The loss at one position.
struct PassLoss {
  int64_t position = 0;
  int32_t target = -1;  ///< −1: not counted
  double loss = 0;      ///< nats
  double probability = 0;
};

/// One parameter's gradient in the norm of all.
struct PassNorm {
  std::string name;
  double norm = 0;
  int64_t offset = 0;  ///< of its square in the buffer of squares
};

/// A sentence under the caption: a text's key and what fills its {}.
struct PassNote {
  std::string key;
  std::string argument;
};

struct PassScene {
  /// chain: matrices in rows, operator between inputs and outputs. product: left × top = corner, rows and
  /// columns in line. loss: probabilities with bars by token. norms: bars by parameter.
  enum class Layout { chain, product, loss, norms } layout = Layout::chain;
  /// Rows of indices into `matrices`.
  using Grid = std::vector<std::vector<int>>;

  int step = -1;
  std::string kind;
  Equation equation;
  Phase phase = Phase::forward;
  int block = -1;
  int64_t head = -1, heads = 0;  ///< shown and how many, where the step has heads
  EquationPart::Meaning meaning = EquationPart::Meaning::plain;  ///< of its result
  std::string chip_detail;  ///< attribute in numbers: "÷ 4.00", "τ 1.00"
  std::vector<PassMatrix> matrices;
  std::vector<Grid> grids;               ///< arrangements to choose from
  int left = -1, top = -1, corner = -1;  ///< of a product

  std::vector<PassNote> notes;
  std::vector<PassLoss> losses;
  double loss = 0, uniform_loss = 0;  ///< mean over the targets; ln V
  std::vector<PassNorm> norms;        ///< largest first
  BufferId squares = no_buffer;       ///< buffer that the norms' offsets are in
  double norm = 0, clip = 1;          ///< of all; NaN where the step does not know them yet
  int pattern = -1;                   ///< matrix whose rows are attention weights or probabilities

  /// Matrix that shows a cell and where; nothing where it is not on the stage.
  struct Place {
    int matrix;
    int64_t row, col;
  };
  [[nodiscard]] std::optional<Place> find(const CellRef& cell) const;
};

struct PassRequest {
  int step = -1;
  int64_t head = 0;
  const Tokenizer* tokenizer = nullptr;  ///< names the vocabulary; may be null
};

/// Everything to draw of a step. Pure; costs one pass over the buffers shown.
[[nodiscard]] PassScene prepare_pass(const std::shared_ptr<const Run>& run, const Pins& pins,
                                     const PassRequest& request);

/// What one row of weights says: the place that got most.
struct PassTop {
  int64_t col = 0;
  double value = 0;
  std::optional<int64_t>
      earlier;  ///< the token before `col` is this row's token, met before at this position
};
/// Of the scene's pattern; nothing without one or for a row without values. `row` counts the tokens that were
/// run; `tokens` is Run::text(), in which row 0 is token `first`.
[[nodiscard]] std::optional<PassTop> top_of_row(const PassScene& scene, std::span<const int32_t> tokens,
                                                int64_t row, int64_t first = 0);

/// A contribution to the explained cell from a cell on the stage, largest first.
struct PassFlow {
  PassScene::Place from;
  double value = 0;  ///< signed
  float weight = 0;  ///< |value| ∕ largest |value|
};
struct PassFlows {
  std::optional<PassScene::Place> to;
  std::vector<PassFlow> lines;  ///< at most `limit` terms; a term with two cells on the stage gives two lines
  /// Box around all contributing cells of a matrix: [row0, row1) × [col0, col1).
  struct Box {
    int matrix;
    int64_t row0, col0, row1, col1;
  };
  std::vector<Box> boxes;
};
[[nodiscard]] PassFlows pass_flows(const PassScene& scene, const CellRef& cell, const CellTerms& terms,
                                   size_t limit);

}  // namespace headlight::app
