// Paints a laid-out scene: matrices with their labels, ticks and scales, the operator, the lines from the
// cells that made the hovered one, the bars of a loss and of norms. Used by the Pass view alone.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "app/views/pass_layout.h"
#include "app/views/pass_model.h"
#include "app/views/view.h"
#include "app/widgets/matrix.h"

namespace headlight::app {

/// Names along the axes, made once for a run.
struct PassLabels {
  std::vector<std::string> tokens;      ///< that were run
  std::vector<std::string> places;      ///< of the cache: their tokens; empty texts where none lies
  std::vector<std::string> vocabulary;  ///< of the model; empty: not named
  [[nodiscard]] std::span<const std::string> of_rows(const PassMatrix& matrix) const {
    return of(matrix.row_axis, matrix.first_row, matrix.used_rows);
  }
  [[nodiscard]] std::span<const std::string> of_columns(const PassMatrix& matrix) const {
    return of(matrix.col_axis, matrix.first_col, matrix.used_cols);
  }

 private:
  [[nodiscard]] std::span<const std::string> of(PassAxis axis, int64_t first, int64_t used) const;
};

/// What a frame paints with.
struct PassStage {
  const ViewContext& context;
  CommandQueue& commands;
  const PassScene& scene;
  const PassGeometry& geometry;
  const PassFlows& flows;
  const PassLabels& labels;
  std::optional<int64_t> token;          ///< position of the token under consideration
  std::map<int, MatrixWindow>& windows;  ///< by matrix: what of it is seen, where its cells are small
  std::vector<MatrixResult> drawn = {};  ///< by matrix, filled by draw_pass_matrices
  Rect chip = {};                        ///< the operator, filled by draw_pass_chip
};

[[nodiscard]] PassMetrics pass_metrics(const Ui& ui);
/// Room for the labels of each matrix of the scene.
[[nodiscard]] std::vector<PassMargins> pass_margins(const Ui& ui, const PassScene& scene,
                                                    const PassLabels& labels);
/// Title of a matrix in the current language ("gradient of pattern A").
[[nodiscard]] std::string pass_title(const Ui& ui, const PassMatrix& matrix);

void draw_pass_matrices(PassStage& stage);
void draw_pass_chip(PassStage& stage);
void draw_pass_flows(const PassStage& stage);
/// Loss by token, from token to target.
void draw_pass_loss(const PassStage& stage);
/// Gradient norms by parameter.
void draw_pass_norms(const PassStage& stage);

}  // namespace headlight::app
