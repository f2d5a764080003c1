// Planes, scores and scales of attention.
#include "app/views/attention_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <unordered_map>
#include <utility>

namespace headlight::app {
namespace {

constexpr std::array<std::string_view, attention_stage_count> stage_names = {"raw", "scaled", "mask",
                                                                             "softmax"};
constexpr std::array<std::string_view, attention_stage_count> stage_hooks = {
    "hook_scores_raw", "hook_scores_scaled", "hook_attn_scores", "hook_pattern"};
/// A finite mask writes −1e9: a mark of what is masked, not a score. Scales leave it out.
constexpr float largest_score = 1e8f;
/// Thumbnails larger than this many cells a side are pooled.
constexpr int64_t largest_thumbnail = 96;
/// So that a pooled plane and the whole one have different textures.
constexpr int64_t pooled_plane = int64_t{1} << 40;
constexpr size_t most_arcs = 160;
constexpr float lightest_arc = 0.04f;

/// For each query the key behind the previous occurrence of its token; −1 where there is none.
std::vector<int64_t> induction_keys(std::span<const int32_t> tokens) {
  std::vector<int64_t> keys(tokens.size(), -1);
  std::unordered_map<int32_t, int64_t> last;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto [it, fresh] = last.try_emplace(tokens[i], static_cast<int64_t>(i));
    if (!fresh) keys[i] = std::exchange(it->second, static_cast<int64_t>(i)) + 1;
  }
  return keys;
}

/// Means of weight(i, key) over the queries that have such a key.
template <class Weight>
DetectorScores scores_of(std::span<const int32_t> tokens, const std::vector<int64_t>& induction,
                         Weight weight) {
  DetectorScores s;
  const auto T = static_cast<int64_t>(tokens.size());
  double copied = 0, previous = 0, first = 0;
  int64_t queries = 0;
  for (int64_t i = 0; i < T; ++i) {
    const int64_t key = induction[static_cast<size_t>(i)];
    if (key >= 0) {
      copied += weight(i, key);
      ++queries;
    }
    if (i > 0) {
      previous += weight(i, i - 1);
      first += weight(i, 0);
    }
  }
  if (queries > 0) s.induction = copied / static_cast<double>(queries);
  if (T > 1) {
    s.previous = previous / static_cast<double>(T - 1);
    s.first = first / static_cast<double>(T - 1);
  }
  return s;
}

void widen(ValueRange& range, const Plane& plane) {
  if (plane.empty()) return;
  for (int64_t i = 0; i < plane.rows; ++i) {
    for (int64_t j = 0; j < plane.cols; ++j) {
      const float v = plane.at(i, j);
      if (!(std::abs(v) < largest_score)) continue;
      range.low = std::min(range.low, v);
      range.high = std::max(range.high, v);
    }
  }
}

/// Ends of the scale: 0 … 1 for probabilities, else symmetric about 0.
void set_scale(HeatStyle& style, bool is_signed, ValueRange range) {
  if (!is_signed) {
    style.low = 0;
    style.high = 1;
    return;
  }
  const float largest = std::max(std::abs(range.low), std::abs(range.high));
  const float extreme = largest > 0 ? largest : 1;
  style.low = -extreme;
  style.high = extreme;
}

/// A − B cell by cell. What is masked in both is no difference.
HeadPlane difference(const BufferPlane& a, const BufferPlane& b, uint64_t run_a, uint64_t run_b) {
  HeadPlane result;
  result.key = {run_a, run_b, a.buffer, a.plane_index};
  if (a.plane.empty() || b.plane.empty()) return result;
  auto values = std::make_shared<std::vector<float>>();
  values->reserve(static_cast<size_t>(a.plane.rows * a.plane.cols));
  for (int64_t i = 0; i < a.plane.rows; ++i) {
    for (int64_t j = 0; j < a.plane.cols; ++j) {
      const float x = a.plane.at(i, j), y = b.plane.at(i, j);
      values->push_back(x == y ? 0.f : x - y);
    }
  }
  result.plane = {values->data(), a.plane.rows, a.plane.cols, a.plane.cols, 1};
  result.owner = std::move(values);
  return result;
}

/// Each cell of the result is the value of largest size in a square of the source, so that a thin diagonal
/// stays visible.
HeadPlane pooled(const HeadPlane& whole) {
  const int64_t n = std::max(whole.plane.rows, whole.plane.cols);
  if (whole.plane.empty() || n <= largest_thumbnail) return whole;
  const int64_t square = (n + largest_thumbnail - 1) / largest_thumbnail;
  const int64_t rows = (whole.plane.rows + square - 1) / square,
                cols = (whole.plane.cols + square - 1) / square;
  auto values = std::make_shared<std::vector<float>>(static_cast<size_t>(rows * cols), -INFINITY);
  for (int64_t i = 0; i < whole.plane.rows; ++i) {
    float* cell = values->data() + i / square * cols;
    for (int64_t first = 0; first < whole.plane.cols; first += square, ++cell) {
      for (int64_t j = first; j < std::min(first + square, whole.plane.cols); ++j) {
        const float v = whole.plane.at(i, j);
        if (std::isnan(*cell)) break;
        if (std::isnan(v) || (std::isfinite(v) && (!std::isfinite(*cell) || std::abs(v) > std::abs(*cell))))
          *cell = v;
      }
    }
  }
  HeadPlane result = whole;
  result.plane = {values->data(), rows, cols, cols, 1};
  result.owner = std::move(values);
  result.key.plane += pooled_plane;
  return result;
}

/// Why a stage's buffer has no values: fused away, over the budget, or not asked for.
std::string_view reason(const Run& run, const std::string& name) {
  const Program& program = run.program();
  if (!program.find(name)) return "attention.missing.fused";
  const std::string& real = program.buffer(*program.find(name)).name;
  const bool over = std::find(run.left_out.begin(), run.left_out.end(), real) != run.left_out.end();
  return over ? "attention.missing.budget" : "attention.missing.capture";
}

std::vector<HeadSummary> summarize(const Run& run) {
  std::vector<HeadSummary> heads;
  const int64_t T = run.program().T();
  const std::span<const int32_t> tokens = std::span(run.tokens).first(static_cast<size_t>(T));
  const auto induction = induction_keys(tokens);
  for (int64_t l = 0; l < run.config.n_layer; ++l) {
    for (int64_t h = 0; h < run.config.n_head; ++h) {
      const auto p = buffer_plane(run, stage_buffer(l, AttentionStage::softmax), h);
      if (!p || p->plane.empty()) return {};
      const Plane& a = p->plane;
      heads.push_back(
          {scores_of(tokens, induction, [&](int64_t i, int64_t j) { return a.at(i, j); }), future_mass(a)});
    }
  }
  return heads;
}

std::optional<size_t> strongest(const std::vector<HeadSummary>& heads,
                                std::optional<double> DetectorScores::*member, std::optional<double> even) {
  std::optional<size_t> best;
  for (size_t i = 0; i < heads.size(); ++i) {
    const auto score = heads[i].scores.*member;
    if (stands_out(score, even) && (!best || *score > *(heads[*best].scores.*member))) best = i;
  }
  return best;
}

}  // namespace

std::string_view stage_name(AttentionStage stage) { return stage_names[static_cast<size_t>(stage)]; }

std::optional<AttentionStage> stage_from_name(std::string_view name) {
  for (size_t i = 0; i < stage_names.size(); ++i)
    if (stage_names[i] == name) return static_cast<AttentionStage>(i);
  return std::nullopt;
}

std::string stage_buffer(int64_t block, AttentionStage stage) {
  return fmt::format("blocks.{}.attn.{}", block, stage_hooks[static_cast<size_t>(stage)]);
}

DetectorScores detector_scores(const Plane& pattern, std::span<const int32_t> tokens) {
  return scores_of(tokens, induction_keys(tokens), [&](int64_t i, int64_t j) { return pattern.at(i, j); });
}

DetectorScores even_scores(std::span<const int32_t> tokens, bool causal) {
  const auto T = static_cast<double>(tokens.size());
  return scores_of(tokens, induction_keys(tokens),
                   [&](int64_t i, int64_t) { return causal ? 1.0 / static_cast<double>(i + 1) : 1.0 / T; });
}

bool stands_out(std::optional<double> score, std::optional<double> even) {
  return score && even && *score >= *even + 0.2;
}

double future_mass(const Plane& pattern) {
  double mass = 0;
  for (int64_t i = 0; i < pattern.rows; ++i)
    for (int64_t j = i + 1; j < pattern.cols; ++j) mass += pattern.at(i, j);
  return pattern.rows > 0 ? mass / static_cast<double>(pattern.rows) : 0;
}

std::vector<double> row_entropy(const Plane& pattern) {
  std::vector<double> entropy(static_cast<size_t>(std::max<int64_t>(pattern.rows, 0)), 0.0);
  for (int64_t i = 0; i < pattern.rows; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < pattern.cols; ++j)
      if (const float a = pattern.at(i, j); a > 0)
        sum -= static_cast<double>(a) * std::log(static_cast<double>(a));
    entropy[static_cast<size_t>(i)] = std::max(sum, 0.0);
  }
  return entropy;
}

double even_entropy(int64_t row, int64_t T, bool causal) {
  return std::log(static_cast<double>(causal ? row + 1 : T));
}

Comparison compare_attention(const std::shared_ptr<const Run>& run, const Pins& pins) {
  Comparison c{run, nullptr, nullptr, {}};
  const auto& b = pins.run;
  if (!b) return c;
  const ModelConfig &x = run->config, &y = b->config;
  const bool same_heads = x.n_layer == y.n_layer && x.n_head == y.n_head;
  const bool same = same_heads && run->program().T() == b->program().T();
  if (same) c.beside = b;
  if (pins.compare == Compare::b) {
    c.beside = same ? run : nullptr;
    c.shown = b;
  } else if (pins.compare == Compare::difference) {
    if (same)
      c.minus = b;
    else
      c.obstacle = same_heads ? "attention.obstacle.tokens" : "attention.obstacle.heads";
  }
  return c;
}

AttentionGrid prepare_attention(const std::shared_ptr<const Run>& run, const Pins& pins,
                                AttentionStage stage) {
  AttentionGrid g;
  g.stage = stage;
  g.runs = compare_attention(run, pins);
  const Run& shown = *g.runs.shown;
  g.L = shown.config.n_layer;
  g.H = shown.config.n_head;
  g.T = shown.program().T();
  const auto causal = [](const Run& r) { return r.config.mask == AttentionMask::causal; };
  g.causal = causal(shown) && (!g.runs.minus || causal(*g.runs.minus));
  const std::span<const int32_t> tokens = std::span(shown.tokens).first(static_cast<size_t>(g.T));
  g.even = even_scores(tokens, causal(shown));
  g.heads = summarize(shown);
  if (g.runs.minus) g.minus = summarize(*g.runs.minus);
  g.best_induction = strongest(g.heads, &DetectorScores::induction, g.even.induction);
  g.best_previous = strongest(g.heads, &DetectorScores::previous, g.even.previous);

  const bool probabilities = stage == AttentionStage::softmax;
  g.is_signed = !probabilities || g.runs.minus != nullptr;
  std::vector<float> extremes;  // largest size of each head's values
  bool any = false;
  for (int64_t l = 0; l < g.L; ++l) {
    const std::string name = stage_buffer(l, stage);
    for (int64_t h = 0; h < g.H; ++h) {
      const auto a = buffer_plane(shown, name, h);
      HeadPlane whole;
      if (a && g.runs.minus) {
        const auto b = buffer_plane(*g.runs.minus, name, h);
        if (b) whole = difference(*a, *b, shown.id, g.runs.minus->id);
      } else if (a) {
        whole = {{shown.id, 0, a->buffer, a->plane_index}, a->plane, g.runs.shown};
      }
      if (whole.plane.empty() && g.missing.empty()) {
        g.missing = reason(shown, name);
        if (a && !a->plane.empty() && g.runs.minus) g.missing = reason(*g.runs.minus, name);
      }
      any = any || !whole.plane.empty();
      if (g.is_signed && !whole.plane.empty()) {
        ValueRange range{0, 0};
        widen(range, whole.plane);
        if (!g.runs.minus && g.runs.beside)
          if (const auto b = buffer_plane(*g.runs.beside, name, h)) widen(range, b->plane);
        extremes.push_back(std::max(-range.low, range.high));
      }
      g.sources.push_back(a.value_or(BufferPlane{}));
      g.thumbnails.push_back(pooled(whole));
      g.planes.push_back(std::move(whole));
    }
  }
  // Single heads that the budget left out are drawn as such; only when nothing is there, a sentence says why.
  if (any) g.missing = {};
  // One head with huge scores would leave all others dark: the middle head sets the scale.
  float extreme = 0;
  if (!extremes.empty()) {
    std::sort(extremes.begin(), extremes.end());
    extreme = extremes[extremes.size() / 2];
    if (extreme == 0) extreme = extremes.back();
    g.clipped = extremes.back() > extreme;
  }
  set_scale(g.style, g.is_signed, {-extreme, extreme});
  if (g.is_signed) g.style.map = ColorMap::diverging;
  // In A − B and behind the softmax, what is masked has the value 0.
  g.style.hatch_future = g.causal && (probabilities || (g.runs.minus && stage == AttentionStage::mask));
  return g;
}

AttentionHead prepare_head(const AttentionGrid& grid, int64_t block, int64_t head) {
  AttentionHead result;
  result.style = grid.style;
  const size_t at = grid.index(block, head);
  if (grid.is_signed) {
    ValueRange range{INFINITY, -INFINITY};
    widen(range, grid.planes[at].plane);
    if (!grid.runs.minus && grid.runs.beside)
      if (const auto b = buffer_plane(*grid.runs.beside, stage_buffer(block, grid.stage), head))
        widen(range, b->plane);
    set_scale(result.style, true, range.low > range.high ? ValueRange{} : range);
  }
  const std::string name = stage_buffer(block, AttentionStage::softmax);
  const auto a = buffer_plane(*grid.runs.shown, name, head);
  if (!a || a->plane.empty()) return result;
  result.pattern = a->plane;
  result.entropy = row_entropy(a->plane);
  Plane other;
  if (grid.runs.minus) {
    if (const auto b = buffer_plane(*grid.runs.minus, name, head); b && !b->plane.empty()) {
      other = b->plane;
      result.entropy_minus = row_entropy(other);
    }
  }
  const int64_t T = grid.T;
  result.weights.reserve(static_cast<size_t>(T * T));
  for (int64_t i = 0; i < T; ++i) {
    int64_t best = 0;
    for (int64_t j = 0; j < T; ++j) {
      const float v = a->plane.at(i, j);
      const float w = other.empty() ? v : std::abs(v - other.at(i, j));
      result.weights.push_back(w);
      if (w > result.weights[static_cast<size_t>(i * T + best)]) best = j;
    }
    result.strongest.push_back(best);
  }
  return result;
}

float arc_threshold(std::span<const float> weights, int64_t T, int64_t first, int64_t count) {
  std::vector<float> heavy;
  for (int64_t i = first; i < first + count; ++i)
    for (int64_t j = first; j < first + count; ++j)
      if (const float w = weights[static_cast<size_t>(i * T + j)]; w >= lightest_arc) heavy.push_back(w);
  if (heavy.size() <= most_arcs) return lightest_arc;
  std::nth_element(heavy.begin(), heavy.begin() + most_arcs, heavy.end(), std::greater<>());
  return std::nextafter(heavy[most_arcs], INFINITY);
}

}  // namespace headlight::app
