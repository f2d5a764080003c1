// What cells have to do with each other: where a cell stands on the stage, which cells made it and how much,
// what a row of weights says.
#include <algorithm>
#include <cmath>

#include "app/views/pass_model.h"

namespace headlight::app {

std::optional<BufferPlane::Cell> PassMatrix::cell(int64_t offset) const {
  auto at = cells.cell(offset);
  if (at && cells.offset(at->row, at->col) != offset) return std::nullopt;  // another head's
  if (at && transposed) std::swap(at->row, at->col);
  return at;
}

std::optional<PassScene::Place> PassScene::find(const CellRef& cell) const {
  for (size_t i = 0; i < matrices.size(); ++i) {
    if (matrices[i].cells.buffer != cell.buffer || matrices[i].derived) continue;
    if (const auto at = matrices[i].cell(cell.offset)) return Place{static_cast<int>(i), at->row, at->col};
  }
  return std::nullopt;
}

std::optional<PassTop> top_of_row(const PassScene& scene, std::span<const int32_t> tokens, int64_t row,
                                  int64_t first) {
  if (scene.pattern < 0) return std::nullopt;
  const PassMatrix& m = scene.matrices[static_cast<size_t>(scene.pattern)];
  const int64_t drawn = row - m.first_row;
  if (m.shown.plane.empty() || m.shown.difference || drawn < 0 || drawn >= m.rows()) return std::nullopt;
  PassTop top;
  top.value = -1;
  for (int64_t j = 0; j < (m.used_cols >= 0 ? m.used_cols : m.cols()); ++j) {
    const auto v = static_cast<double>(m.shown.plane.at(drawn, j));
    if (v > top.value) {
      top.value = v;
      top.col = j;
    }
  }
  if (top.value < 0) return std::nullopt;
  const auto same = [&](int64_t a, int64_t b) {
    return tokens[static_cast<size_t>(a)] == tokens[static_cast<size_t>(b)];
  };
  const auto known = static_cast<int64_t>(tokens.size());
  const int64_t at = first + row;
  if (m.over_tokens() && top.col > 0 && at < known && top.col - 1 < at && top.col < known &&
      same(top.col - 1, at))
    top.earlier = top.col - 1;
  return top;
}

PassFlows pass_flows(const PassScene& scene, const CellRef& cell, const CellTerms& terms, size_t limit) {
  PassFlows flows;
  flows.to = scene.find(cell);
  if (!flows.to) return flows;
  struct Part {
    PassScene::Place from;
    double value;
  };
  std::vector<Part> parts;
  std::vector<PassFlows::Box> boxes;
  const auto grow = [&](const PassScene::Place& p) {
    for (PassFlows::Box& box : boxes) {
      if (box.matrix != p.matrix) continue;
      box = {p.matrix, std::min(box.row0, p.row), std::min(box.col0, p.col), std::max(box.row1, p.row + 1),
             std::max(box.col1, p.col + 1)};
      return;
    }
    boxes.push_back({p.matrix, p.row, p.col, p.row + 1, p.col + 1});
  };
  for (const CellTerm& term : terms.terms) {
    if (term.value == 0 || !std::isfinite(term.value)) continue;
    std::vector<PassScene::Place> seen;
    // A mean over a row has the whole row as factors: a box says so, not a line from each cell.
    const bool many = term.factors.size() > 4;
    const bool leads = many && term.factors[0].buffer != term.factors[1].buffer;
    for (size_t f = 0; f < term.factors.size(); ++f) {
      const CellRef& factor = term.factors[f];
      const auto place = scene.find(factor);
      // The explained cell may stand among its own factors (a gradient's softmax): no line to itself.
      if (!place || (place->matrix == flows.to->matrix)) continue;
      const bool again = std::any_of(seen.begin(), seen.end(), [&](const PassScene::Place& s) {
        return s.matrix == place->matrix && s.row == place->row && s.col == place->col;
      });
      if (again) continue;
      seen.push_back(*place);
      grow(*place);
      // Attached vectors (mean, σ, gain) are factors of every term: a box shows them, no bundle of lines.
      const bool own = scene.matrices[static_cast<size_t>(place->matrix)].attach == PassMatrix::Attach::none;
      if (own && (!many || (leads && f == 0))) parts.push_back({*place, term.value});
    }
  }
  const size_t kept = std::min(limit, parts.size());
  std::partial_sort(parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(kept), parts.end(),
                    [](const Part& a, const Part& b) { return std::abs(a.value) > std::abs(b.value); });
  parts.resize(kept);
  const double largest = parts.empty() ? 1 : std::max(std::abs(parts[0].value), 1e-300);
  for (const Part& part : parts)
    flows.lines.push_back({part.from, part.value, static_cast<float>(std::abs(part.value) / largest)});
  flows.boxes = std::move(boxes);
  return flows;
}

}  // namespace headlight::app
