// Fills a scene from a recipe and a run.
#include "app/views/pass_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/views/pass_facts.h"
#include "app/views/pass_names.h"
#include "app/views/pass_recipe.h"
#include "core/ops/ops.h"

namespace headlight::app {
namespace {

/// The wrong, finite mask writes −10⁹: left out of scales, or nothing else could be told apart.
constexpr float mask_depth = -1e8f;
/// Texture keys of transposed planes and of new − old.
constexpr int64_t transposed_key = int64_t{1} << 40, change_key = int64_t{1} << 41;
/// Vocabularies up to this size are named on axes.
constexpr int64_t named_vocabulary = 4096;

PassAxis axis_kind(std::string_view letter, int64_t size, const Run& run, const Tokenizer* tokenizer) {
  if ((letter == "T" || letter == "Tq" || letter == "Tk") && size == run.program().T())
    return PassAxis::tokens;
  if (letter == "S") return PassAxis::places;
  if (letter == "V")
    return tokenizer != nullptr && size <= named_vocabulary ? PassAxis::vocabulary : PassAxis::index;
  return letter.empty() || size <= 1 ? PassAxis::none : PassAxis::index;
}

/// Smallest and largest value that the scale has to tell apart.
ValueRange scale_range(const Plane& plane) {
  ValueRange range{INFINITY, -INFINITY};
  for (int64_t i = 0; i < plane.rows; ++i) {
    for (int64_t j = 0; j < plane.cols; ++j) {
      const float v = plane.at(i, j);
      if (!std::isfinite(v) || v < mask_depth) continue;
      range.low = std::min(range.low, v);
      range.high = std::max(range.high, v);
    }
  }
  return range.low > range.high ? ValueRange{0, 0} : range;
}

void set_scale(ComparedPlane& shown, ValueRange range) {
  shown.is_signed = shown.difference || range.low < 0;
  const float extreme = std::max(std::max(std::abs(range.low), std::abs(range.high)), 1e-12f);
  shown.low = shown.is_signed ? -extreme : 0;
  shown.high = extreme;
}

double norm_of(const Plane& plane) {
  double squares = 0;
  for (int64_t i = 0; i < plane.rows; ++i)
    for (int64_t j = 0; j < plane.cols; ++j) squares += std::pow(static_cast<double>(plane.at(i, j)), 2);
  return std::sqrt(squares);
}

class SceneBuilder {
 public:
  SceneBuilder(const std::shared_ptr<const Run>& run, const Pins& pins, const PassRequest& request)
      : run_(run),
        program_(run->program()),
        step_(program_.step(request.step)),
        pins_(pins),
        request_(request) {}

  PassScene build() {
    scene_.step = request_.step;
    scene_.kind = step_.op->kind();
    scene_.phase = step_.phase;
    scene_.block = step_.block;
    scene_.head = request_.head;
    for (const BufferId id : step_.outputs)
      if (id != no_buffer) {
        scene_.meaning = buffer_meaning(program_.buffer(id).name);
        break;
      }
    if (scene_.kind == "split_heads") scene_.meaning = EquationPart::Meaning::attention;
    const PassRecipe* recipe = find_pass_recipe(scene_.kind);
    PassRecipe plain;
    if (recipe == nullptr) {
      for (size_t i = 0; i < step_.inputs.size(); ++i) plain.slots.push_back({PassSlot::From::input, i});
      for (size_t i = 0; i < step_.outputs.size(); ++i) plain.slots.push_back({PassSlot::From::output, i});
      recipe = &plain;
    }
    scene_.layout = sums_over_heads() ? PassScene::Layout::chain : recipe->layout;
    add_matrices(*recipe);
    if (recipe->shared_scale) share_scale();
    if (scene_.kind == "adamw") finish_update();
    arrange(*recipe);
    add_bands();
    scene_.equation = equation();
    add_pass_facts(scene_, *run_);
    return std::move(scene_);
  }

 private:
  [[nodiscard]] BufferId buffer_of(const PassSlot& slot) const {
    const auto& list = slot.from == PassSlot::From::input ? step_.inputs : step_.outputs;
    if (slot.from == PassSlot::From::forward) {
      if (step_.phase != Phase::backward || step_.outputs.empty()) return no_buffer;
      const std::string& name = program_.buffer(step_.outputs[0]).name;
      if (!is_gradient_name(name)) return no_buffer;  // a forward step that is run again
      const auto id = program_.find(forward_name(name));
      return id && program_.buffer(*id).shape == program_.buffer(step_.outputs[0]).shape ? *id : no_buffer;
    }
    return slot.index < list.size() ? list[slot.index] : no_buffer;
  }

  /// Whether a buffer is a parameter or the 16-bit copy of one.
  [[nodiscard]] bool is_weight(BufferId id) const {
    const Buffer& buffer = program_.buffer(id);
    if (buffer.role == Role::parameter || buffer.writer < 0) return buffer.role == Role::parameter;
    const Step& writer = program_.step(buffer.writer);
    return writer.op->kind() == "cast" && is_weight(writer.inputs[0]);
  }

  [[nodiscard]] bool is_out_in() const {
    for (const BufferId id : step_.inputs)
      if (id != no_buffer && program_.buffer(id).shape.rank() == 2 && is_weight(id))
        return program_.buffer(id).shape[0].letter == "V";
    return false;
  }

  [[nodiscard]] bool turned(const PassSlot& slot) const {
    switch (slot.turn) {
      case PassSlot::Turn::no:
        return false;
      case PassSlot::Turn::yes:
        return true;
      case PassSlot::Turn::if_in_out:
        return !is_out_in();
      case PassSlot::Turn::if_out_in:
        return is_out_in();
    }
    return false;
  }

  void add_matrices(const PassRecipe& recipe) {
    std::vector<PassSlot> slots = recipe.slots;
    if (recipe.swaps_if_out_in && is_out_in()) {
      std::swap(slots[0].index, slots[1].index);  // dE = dYᵀ X instead of dW = Xᵀ dY
    }
    places_.assign(slots.size(), -1);
    for (size_t i = 0; i < slots.size(); ++i) {
      const PassSlot& slot = slots[i];
      if (slot.from == PassSlot::From::update) {
        add_change(i);
        continue;
      }
      const BufferId id = buffer_of(slot);
      if (id == no_buffer || !is_floating(program_.buffer(id).type)) continue;
      if (slot.attach != PassMatrix::Attach::none && places_[slot.host] < 0) continue;
      places_[i] = static_cast<int>(scene_.matrices.size());
      scene_.matrices.push_back(make(id, slot));
    }
  }

  [[nodiscard]] PassMatrix make(BufferId id, const PassSlot& slot) {
    const Buffer& buffer = program_.buffer(id);
    PassMatrix m;
    m.part = slot.from == PassSlot::From::input    ? PassMatrix::Part::input
             : slot.from == PassSlot::From::output ? PassMatrix::Part::output
                                                   : PassMatrix::Part::forward;
    m.attach = slot.attach;
    if (slot.attach != PassMatrix::Attach::none) m.host = places_[slot.host];
    m.shown = compared_plane(run_, pins_, buffer.name, request_.head);
    m.cells = m.shown.a;
    m.title = buffer_title_key(buffer.name);
    m.gradient = is_gradient_name(buffer.name);
    m.detail = buffer.name;
    for (const auto& [alias, target] : program_.aliases())
      if (target == id && !m.gradient) m.detail += " = " + short_name(alias);
    m.meaning = buffer_meaning(buffer.name);
    if (m.shown.plane.empty()) {
      const auto& left_out = run_->left_out;
      const bool over = std::find(left_out.begin(), left_out.end(), buffer.name) != left_out.end();
      m.missing = over ? PassMatrix::Missing::over_budget : PassMatrix::Missing::not_captured;
    } else if (!m.shown.difference && m.shown.low < mask_depth) {
      set_scale(m.shown, scale_range(m.shown.plane));
    }
    if (m.cells.has_heads) {
      const Shape& shape = buffer.shape;
      for (const Axis& axis : shape.axes())
        if (axis.letter == "H" || axis.letter == "G") scene_.heads = run_->config.n_head;
    }
    m.row_axis = axis_kind(m.cells.row_axis, m.cells.all_rows, *run_, request_.tokenizer);
    m.col_axis = axis_kind(m.cells.col_axis, m.cols(), *run_, request_.tokenizer);
    if (m.attach != PassMatrix::Attach::none && m.attach == PassMatrix::Attach::right)
      m.col_axis = PassAxis::none;
    m.first_row = m.cells.first_row;
    leave_out_unused(m, buffer);
    if (turned(slot)) {
      m.transposed = true;
      std::swap(m.first_row, m.first_col);
      std::swap(m.used_rows, m.used_cols);
      Plane& p = m.shown.plane;
      std::swap(p.rows, p.cols);
      std::swap(p.row_stride, p.col_stride);
      std::swap(m.row_axis, m.col_axis);
      m.shown.key.plane |= transposed_key;
    }
    // A pattern's zeros above the diagonal are cells that the mask closed.
    const std::string_view name = copied_name(buffer.name);
    m.hatch_future = m.square() && run_->config.mask == AttentionMask::causal && !m.transposed &&
                     (name.ends_with("hook_pattern") || name.ends_with("hook_pattern_dropout") ||
                      is_masked_gradient(name));
    return m;
  }

  /// What lies in the unused places of a cache is no value: neither drawn nor in the scale.
  void leave_out_unused(PassMatrix& m, const Buffer& buffer) {
    const int64_t used = places_in_use(*run_, buffer);
    Plane part = m.shown.plane;
    if (m.row_axis == PassAxis::places && used < m.rows()) part.rows = m.used_rows = used;
    if (m.col_axis == PassAxis::places && used < m.cols()) part.cols = m.used_cols = used;
    if ((m.used_rows >= 0 || m.used_cols >= 0) && !m.shown.plane.empty())
      set_scale(m.shown, scale_range(part));
  }

  /// dS is zero where the mask closed a cell, from the softmax's gradient on.
  [[nodiscard]] static bool is_masked_gradient(std::string_view name) {
    return is_gradient_name(name) && (name.find("scores") != std::string_view::npos);
  }

  /// New weight − old weight.
  void add_change(size_t place) {
    const PassMatrix *before = nullptr, *after = nullptr;
    for (const PassMatrix& m : scene_.matrices) {
      if (m.cells.buffer == step_.inputs[0]) before = &m;
      if (m.cells.buffer == step_.outputs[0]) after = &m;
    }
    if (before == nullptr || after == nullptr) return;
    const Plane &w = before->cells.plane, &n = after->cells.plane;
    PassMatrix m;
    m.part = PassMatrix::Part::output;
    m.derived = true;
    m.cells = after->cells;
    m.title = "pass.buffer.change";
    m.meaning = EquationPart::Meaning::gradient;
    m.row_axis = before->row_axis;
    m.col_axis = before->col_axis;
    m.shown.plane = {nullptr, w.rows, w.cols, w.cols, 1};
    m.missing = before->missing != PassMatrix::Missing::none ? before->missing : after->missing;
    if (!w.empty() && !n.empty()) {
      auto values = std::make_shared<std::vector<float>>();
      values->reserve(static_cast<size_t>(w.rows * w.cols));
      for (int64_t i = 0; i < w.rows; ++i)
        for (int64_t j = 0; j < w.cols; ++j) values->push_back(n.at(i, j) - w.at(i, j));
      m.shown.plane.data = values->data();
      m.shown.owner = values;
      m.shown.on_device = nullptr;
      m.shown.key = {run_->id, 0, before->cells.buffer, change_key};
      m.shown.difference = true;
      set_scale(m.shown, scale_range(m.shown.plane));
    }
    places_[place] = static_cast<int>(scene_.matrices.size());
    scene_.matrices.push_back(std::move(m));
  }

  void share_scale() {
    ValueRange range{INFINITY, -INFINITY};
    bool any_difference = false;
    const auto shares = [](const PassMatrix& m) {
      return m.attach == PassMatrix::Attach::none && m.part != PassMatrix::Part::forward &&
             !m.shown.plane.empty();
    };
    for (const PassMatrix& m : scene_.matrices) {
      if (!shares(m)) continue;
      range.low = std::min(range.low, m.shown.low);
      range.high = std::max(range.high, m.shown.high);
      any_difference = any_difference || m.shown.difference;
    }
    for (PassMatrix& m : scene_.matrices)
      if (shares(m) && m.shown.difference == any_difference) set_scale(m.shown, range);
  }

  void finish_update() {
    std::vector<PassMatrix*> weights;
    for (PassMatrix& m : scene_.matrices) {
      if (!m.shown.plane.empty()) m.norm = norm_of(m.shown.plane);
      if (!m.derived && (m.cells.buffer == step_.inputs[0] || m.cells.buffer == step_.outputs[0]))
        weights.push_back(&m);
    }
    if (weights.size() != 2 || weights[0]->shown.plane.empty() || weights[1]->shown.plane.empty()) return;
    const ValueRange range{std::min(weights[0]->shown.low, weights[1]->shown.low),
                           std::max(weights[0]->shown.high, weights[1]->shown.high)};
    for (PassMatrix* m : weights) set_scale(m->shown, range);
  }

  /// The gradient of shared keys or values adds up several heads, so no one product on the stage gives it.
  [[nodiscard]] bool sums_over_heads() const {
    if (scene_.kind != "scores_grad_key" && scene_.kind != "weighted_sum_grad_value") return false;
    return program_.buffer(step_.outputs[0]).shape[2].letter == "G";
  }

  void arrange(const PassRecipe& recipe) {
    if (scene_.layout == PassScene::Layout::product && windows_line_up()) {
      scene_.left = places_[0];
      scene_.top = places_[1];
      scene_.corner = places_[2];
      return;
    }
    if (scene_.layout == PassScene::Layout::product) scene_.layout = PassScene::Layout::chain;
    for (const PassScene::Grid& grid : recipe.grids) {
      PassScene::Grid own;
      for (const auto& row : grid) {
        std::vector<int> there;
        for (const int place : row)
          if (places_[static_cast<size_t>(place)] >= 0) there.push_back(places_[static_cast<size_t>(place)]);
        if (!there.empty()) own.push_back(there);
      }
      if (!own.empty()) scene_.grids.push_back(own);
    }
    if (!scene_.grids.empty() || scene_.matrices.empty()) return;
    PassScene::Grid row(1), column;
    for (size_t i = 0; i < scene_.matrices.size(); ++i) {
      if (scene_.matrices[i].attach != PassMatrix::Attach::none) continue;
      row[0].push_back(static_cast<int>(i));
      column.push_back({static_cast<int>(i)});
    }
    scene_.grids = {row, column};
    if (row[0].size() > 2) {
      PassScene::Grid two(2);
      for (const int i : row[0])
        two[scene_.matrices[static_cast<size_t>(i)].part == PassMatrix::Part::input ? 0 : 1].push_back(i);
      if (!two[0].empty() && !two[1].empty()) scene_.grids.push_back(two);
    }
  }

  /// A product of which only some rows are held shows those rows of its left side. False where it cannot:
  /// the sum goes over the rows that are missing.
  bool windows_line_up() {
    const auto matrix = [&](size_t i) -> PassMatrix& {
      return scene_.matrices[static_cast<size_t>(places_[i])];
    };
    if (places_[0] < 0 || places_[1] < 0 || places_[2] < 0) return true;
    PassMatrix &left = matrix(0), &top = matrix(1), &corner = matrix(2);
    if (!left.windowed() && !top.windowed() && !corner.windowed()) return true;
    if (left.transposed || top.windowed() || corner.transposed) return false;
    const int64_t first = std::max(left.first_row, corner.first_row);
    const int64_t last = std::min(left.first_row + left.rows(), corner.first_row + corner.rows());
    if (first >= last) return false;
    for (PassMatrix* m : {&left, &corner}) {
      const int64_t from = first - m->first_row;
      crop_rows(m->shown, from, from + last - first);
      m->cells = m->shown.a;
      m->first_row = first;
    }
    return true;
  }

  void add_bands() {
    using enum EquationPart::Meaning;
    const int64_t H = run_->config.n_head;
    for (PassMatrix& m : scene_.matrices) {
      if (m.attach != PassMatrix::Attach::none || m.transposed || m.derived) continue;
      const std::string_view name = program_.buffer(m.cells.buffer).name;
      if (m.cells.col_axis == "3C" || m.cells.col_axis == "C+2K") {
        const int64_t C = m.cols() * H / (H + 2 * run_->config.kv_heads()), K = (m.cols() - C) / 2;
        m.bands = {{0, C, "Q", query}, {C, C + K, "K", key}, {C + K, C + 2 * K, "V", value}};
      } else if (name.find("hook_z_concat") != std::string_view::npos && H > 1) {
        const int64_t D = m.cols() / H;
        for (int64_t h = 0; h < H; ++h)
          m.bands.push_back({h * D, (h + 1) * D, std::to_string(h), h == scene_.head ? attention : muted});
      }
    }
  }

  [[nodiscard]] Equation equation() const {
    using enum EquationPart::Meaning;
    Equation e = step_.op->equation();
    // What the op does not know: whether this model has the bias, that the weight is the embedding table, and
    // D.
    if ((scene_.kind == "linear" || scene_.kind == "packed_linear") && step_.inputs[2] == no_buffer)
      for (EquationPart& part : e)
        if (part.text == " = X W + b") part.text = " = X W";
    if (is_out_in() && scene_.kind == "linear_grad_input") e = {{"dX", gradient}, {" = dY E", plain}};
    if (is_out_in() && scene_.kind == "linear_grad_weight") e = {{"dE", gradient}, {" = dYᵀ X", plain}};
    // The letter under a sum stands low.
    for (size_t i = 1; i < e.size(); ++i)
      if (e[i].meaning == muted && e[i].text.size() == 1 && e[i - 1].text.ends_with("Σ"))
        e[i].text = "_{" + e[i].text + "}";
    if (const auto factor = ops::scale_factor(*step_.op); factor && *factor > 0) {
      const double D = 1 / (*factor * *factor);
      e.push_back({fmt::format(",   √D = √{:.4g} = {:.4g}", D, std::sqrt(D)), muted});
    }
    return e;
  }

  const std::shared_ptr<const Run>& run_;
  const Program& program_;
  const Step& step_;
  const Pins& pins_;
  const PassRequest& request_;
  PassScene scene_;
  std::vector<int> places_;  ///< by slot of the recipe: index into the scene's matrices
};

}  // namespace

PassScene prepare_pass(const std::shared_ptr<const Run>& run, const Pins& pins, const PassRequest& request) {
  return SceneBuilder(run, pins, request).build();
}

}  // namespace headlight::app
