// Planes, scores and scales of attention.
#include "app/views/attention_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <utility>

#include "core/tape/op.h"

namespace headlight::app {
namespace {

constexpr std::array<std::string_view, attention_stage_count> stage_names = {"raw", "scaled", "mask",
                                                                             "softmax"};
constexpr std::array<std::string_view, attention_stage_count> stage_hooks = {
    "hook_scores_raw", "hook_scores_scaled", "hook_attn_scores", "hook_pattern"};
/// So that a picture and the whole head have different textures.
constexpr int64_t picture_plane = int64_t{1} << 40;
constexpr size_t most_arcs = 160;
constexpr float lightest_arc = 0.04f;

void widen(ValueRange& range, const std::shared_ptr<const HeadDigest>& digest) {
  if (digest == nullptr) return;
  range.low = std::min(range.low, digest->low);
  range.high = std::max(range.high, digest->high);
}

/// Largest size of the values that are scores.
float extreme_of(const Plane& plane) {
  float most = 0;
  for (int64_t i = 0; i < plane.rows; ++i)
    for (int64_t j = 0; j < plane.cols; ++j)
      if (const float size = std::abs(plane.at(i, j)); size < largest_score) most = std::max(most, size);
  return most;
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
HeadPlane difference(const HeadPlane& a, const Plane& b, uint64_t run_b) {
  HeadPlane result;
  result.key = a.key;
  result.key.other_run = run_b;
  if (a.plane.empty() || b.empty()) return result;
  auto values = std::make_shared<std::vector<float>>();
  values->reserve(static_cast<size_t>(a.plane.rows * a.plane.cols));
  for (int64_t i = 0; i < a.plane.rows; ++i) {
    for (int64_t j = 0; j < a.plane.cols; ++j) {
      const float x = a.plane.at(i, j), y = b.at(i, j);
      values->push_back(x == y ? 0.f : x - y);
    }
  }
  result.plane = {values->data(), a.plane.rows, a.plane.cols, a.plane.cols, 1};
  result.owner = std::move(values);
  return result;
}

/// The digest that the run took of a head, or one made from its cells; null where there are none.
std::shared_ptr<const HeadDigest> digest_of(const Run& run, const std::string& name, int64_t head) {
  const auto p = buffer_plane(run, name, head);
  if (!p) return nullptr;
  if (auto taken = run.digest(p->buffer, p->plane_index)) return taken;
  if (p->plane.empty()) return nullptr;
  const bool is_pattern = run.program().step(run.program().buffer(p->buffer).writer).op->kind() == "softmax";
  return std::make_shared<HeadDigest>(
      digest_head(p->plane, std::span(run.tokens).first(static_cast<size_t>(p->plane.rows)), is_pattern));
}

/// The picture of a digest under the key of the head's own texture.
HeadPlane picture_of(const BufferPlane& source, uint64_t run, std::shared_ptr<const HeadDigest> digest) {
  HeadPlane result;
  result.key = {run, 0, source.buffer, source.plane_index + picture_plane};
  if (digest == nullptr) return result;
  result.plane = digest->picture.plane();
  result.owner = std::move(digest);
  return result;
}

/// Leaves out of a picture of a cache of S places those behind the text's n tokens.
void keep_places(HeadPlane& picture, int64_t S, int64_t n) {
  const int64_t together = (S + picture_side - 1) / picture_side;
  picture.plane.cols = std::min(picture.plane.cols, (n + together - 1) / together);
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
  for (int64_t l = 0; l < run.config.n_layer; ++l) {
    const std::string name = stage_buffer(l, AttentionStage::softmax);
    for (int64_t h = 0; h < run.config.n_head; ++h) {
      const auto digest = digest_of(run, name, h);
      if (digest == nullptr || !digest->pattern) return {};
      heads.push_back({digest->pattern->scores, digest->pattern->leak});
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

bool stands_out(std::optional<double> score, std::optional<double> even) {
  return score && even && *score >= *even + 0.2;
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
  const bool same = same_heads && run->program().T() == b->program().T() &&
                    run->past.size() == b->past.size() && cache_capacity(*run) == cache_capacity(*b);
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
  g.first = static_cast<int64_t>(shown.past.size());
  g.T = g.first + shown.program().T();
  const bool cached = shown.with_cache();
  const auto causal = [](const Run& r) { return r.config.mask == AttentionMask::causal; };
  g.causal = causal(shown) && (!g.runs.minus || causal(*g.runs.minus));
  if (!cached) {
    g.even = even_scores(std::span(shown.tokens).first(static_cast<size_t>(g.T)), causal(shown));
    g.heads = summarize(shown);
    if (g.runs.minus) g.minus = summarize(*g.runs.minus);
  }
  g.best_induction = strongest(g.heads, &DetectorScores::induction, g.even.induction);
  g.best_previous = strongest(g.heads, &DetectorScores::previous, g.even.previous);

  const bool probabilities = stage == AttentionStage::softmax;
  g.is_signed = !probabilities || g.runs.minus != nullptr;
  std::vector<float> extremes;  // largest size of each head's values
  bool any = false;
  for (int64_t l = 0; l < g.L; ++l) {
    const std::string name = stage_buffer(l, stage);
    for (int64_t h = 0; h < g.H; ++h) {
      BufferPlane source = buffer_plane(shown, name, h).value_or(BufferPlane{});
      const int64_t places = source.plane.cols;
      if (cached) source.plane.cols = std::min(places, g.T);
      const auto a = digest_of(shown, name, h);
      HeadPlane picture = picture_of(source, shown.id, a);
      if (cached) keep_places(picture, places, g.T);
      std::shared_ptr<const HeadDigest> b;
      if (g.runs.minus) {
        b = digest_of(*g.runs.minus, name, h);
        HeadPlane other = picture_of(source, g.runs.minus->id, b);
        if (cached) keep_places(other, places, g.T);
        picture = difference(picture, other.plane, g.runs.minus->id);
      } else if (g.runs.beside && g.is_signed) {
        b = digest_of(*g.runs.beside, name, h);
      }
      if (picture.plane.empty() && g.missing.empty()) g.missing = reason(a ? *g.runs.minus : shown, name);
      any = any || !picture.plane.empty();
      if (g.is_signed && !picture.plane.empty()) {
        ValueRange range{0, 0};
        widen(range, a);
        widen(range, b);
        extremes.push_back(g.runs.minus ? extreme_of(picture.plane) : std::max(-range.low, range.high));
      }
      g.sources.push_back(std::move(source));
      g.thumbnails.push_back(std::move(picture));
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
  g.style.hatch_future =
      g.causal && !cached && (probabilities || (g.runs.minus && stage == AttentionStage::mask));
  return g;
}

HeadPlane whole_head(const AttentionGrid& grid, int64_t block, int64_t head) {
  const Run& shown = *grid.runs.shown;
  const BufferPlane& source = grid.sources[grid.index(block, head)];
  const HeadPlane a{{shown.id, 0, source.buffer, source.plane_index}, source.plane, grid.runs.shown};
  if (!grid.runs.minus) return a;
  auto b = buffer_plane(*grid.runs.minus, stage_buffer(block, grid.stage), head);
  if (b) b->plane.cols = std::min(b->plane.cols, a.plane.cols);
  return difference(a, b ? b->plane : Plane{}, grid.runs.minus->id);
}

AttentionHead prepare_head(const AttentionGrid& grid, int64_t block, int64_t head) {
  AttentionHead result;
  result.style = grid.style;
  result.first = grid.first;
  result.map = whole_head(grid, block, head);
  if (result.map.plane.empty()) {
    result.map = grid.thumbnails[grid.index(block, head)];
    result.enlarged = !result.map.plane.empty();
  }
  if (grid.is_signed) {
    ValueRange range{0, 0};
    if (grid.runs.minus) {
      range.high = extreme_of(result.map.plane);
    } else {
      const std::string name = stage_buffer(block, grid.stage);
      widen(range, digest_of(*grid.runs.shown, name, head));
      if (grid.runs.beside) widen(range, digest_of(*grid.runs.beside, name, head));
    }
    set_scale(result.style, true, range);
  }
  const std::string name = stage_buffer(block, AttentionStage::softmax);
  const auto digest = digest_of(*grid.runs.shown, name, head);
  if (digest && digest->pattern) {
    result.entropy = digest->pattern->entropy;
    result.strongest = digest->pattern->strongest;
  }
  if (const auto a = buffer_plane(*grid.runs.shown, name, head)) result.pattern = a->plane;
  if (!grid.runs.minus) return result;
  if (const auto other = digest_of(*grid.runs.minus, name, head); other && other->pattern)
    result.entropy_minus = other->pattern->entropy;
  const auto b = buffer_plane(*grid.runs.minus, name, head);
  if (!b || b->plane.empty() || result.pattern.empty()) {
    // Without B's cells there is no |A − B| to draw arcs of.
    result.pattern = {};
    return result;
  }
  result.minus = b->plane;
  for (int64_t i = grid.first; i < grid.T; ++i) {
    int64_t best = 0;
    for (int64_t j = 1; j < grid.T; ++j)
      if (result.weight(i, j) > result.weight(i, best)) best = j;
    result.strongest[static_cast<size_t>(i - grid.first)] = static_cast<int32_t>(best);
  }
  return result;
}

float arc_threshold(const AttentionHead& head, int64_t first, int64_t count) {
  std::vector<float> heavy;
  for (int64_t i = first; i < first + count; ++i)
    for (int64_t j = first; j < first + count; ++j)
      if (const float w = head.weight(i, j); w >= lightest_arc) heavy.push_back(w);
  if (heavy.size() <= most_arcs) return lightest_arc;
  std::nth_element(heavy.begin(), heavy.begin() + most_arcs, heavy.end(), std::greater<>());
  return std::nextafter(heavy[most_arcs], INFINITY);
}

}  // namespace headlight::app
