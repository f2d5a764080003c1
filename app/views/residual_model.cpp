// Norms, cosines and the logit lens.
#include "app/views/residual_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace headlight::app {
namespace {

/// Σ a·b in double over independent partial sums, which the compiler turns into vector instructions.
double dot(const float* a, const float* b, int64_t n) {
  constexpr int64_t lanes = 16;
  float sums[lanes] = {};
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (int64_t k = 0; k < lanes; ++k) sums[k] += a[i + k] * b[i + k];
  double sum = 0;
  for (const float s : sums) sum += static_cast<double>(s);
  for (; i < n; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

/// Rows [T, C] of the first sequence of the batch; empty where the buffer was not recorded.
std::span<const float> rows_of(const Run& run, BufferId id) {
  const auto values = run.values(id);
  const auto count = static_cast<size_t>(run.program().T() * run.config.n_embd);
  return values.size() >= count ? values.first(count) : std::span<const float>();
}

/// Points of the stream by their hook names; a name that stands for an earlier point's value is passed over.
std::vector<StreamPoint> stream_points(const Run& run, std::vector<std::string>& missing) {
  std::vector<StreamPoint> points;
  const auto add = [&](StreamPoint::Kind kind, int64_t block, const char* hook) {
    std::string name = fmt::format("blocks.{}.{}", block, hook);
    const auto id = run.program().find(name);
    if (!id ||
        std::any_of(points.begin(), points.end(), [&](const StreamPoint& p) { return p.buffer == *id; }))
      return;
    if (rows_of(run, *id).empty()) {
      missing.push_back(std::move(name));
      return;
    }
    points.push_back({kind, block, *id, std::move(name)});
  };
  add(StreamPoint::Kind::embedding, 0, "hook_resid_pre");
  for (int64_t l = 0; l < run.config.n_layer; ++l) {
    add(StreamPoint::Kind::after_attention, l, "hook_resid_mid");
    add(StreamPoint::Kind::after_mlp, l, "hook_resid_post");
  }
  return points;
}

void add_norms(const Run& run, BufferId id, std::vector<float>& out, float& largest) {
  const int64_t T = run.program().T(), C = run.config.n_embd;
  const float* x = rows_of(run, id).data();
  for (int64_t t = 0; t < T; ++t) {
    const auto norm = static_cast<float>(std::sqrt(dot(x + t * C, x + t * C, C)));
    out.push_back(norm);
    if (std::isfinite(norm)) largest = std::max(largest, norm);
  }
}

void add_part(const Run& run, ResidualModel& m, int64_t block, bool mlp) {
  const std::string name = fmt::format("blocks.{}.{}", block, mlp ? "hook_mlp_out" : "hook_attn_out");
  const auto id = run.program().find(name);
  const auto stream =
      run.program().find(fmt::format("blocks.{}.{}", block, mlp ? "hook_resid_mid" : "hook_resid_pre"));
  if (!id) return;
  if (rows_of(run, *id).empty()) {
    m.missing.push_back(name);
    return;
  }
  m.parts.push_back({block, mlp, *id, stream.value_or(no_buffer)});
  const size_t first = m.written.size();
  add_norms(run, *id, m.written, m.largest_written);
  const std::span<const float> before = stream ? rows_of(run, *stream) : std::span<const float>();
  const float* x = rows_of(run, *id).data();
  for (int64_t t = 0; t < m.T; ++t) {
    double cosine = 0;
    if (!before.empty()) {
      const float* s = before.data() + t * m.C;
      const double size =
          std::sqrt(dot(s, s, m.C)) * static_cast<double>(m.written[first + static_cast<size_t>(t)]);
      if (size > 0) cosine = dot(x + t * m.C, s, m.C) / size;
    }
    m.cosines.push_back(static_cast<float>(cosine));
  }
}

/// What the unembedding needs of a run.
struct Unembedding {
  std::span<const float> head;        ///< [V, C]
  std::span<const float> gain, bias;  ///< of the last norm; empty: none
  double epsilon = 0;
  bool norm = false;
  bool centred = true;  ///< LayerNorm takes the mean off, RMSNorm does not
};

Unembedding unembedding_of(const Run& run, std::string& missing) {
  Unembedding u;
  const auto need = [&](const char* name, bool optional) {
    const auto values = run.values(name);
    if (values.empty() && !(optional && !run.program().find(name)) && missing.empty()) missing = name;
    return values;
  };
  u.head = need(run.config.tie_word_embeddings ? "wte.weight" : "lm_head.weight", false);
  u.norm = run.config.has_final_norm();
  u.centred = run.config.norm == NormKind::layernorm;
  u.epsilon = run.config.layer_norm_epsilon;
  if (u.norm) {
    u.gain = need("ln_f.weight", false);
    u.bias = need("ln_f.bias", true);
  }
  return u;
}

/// x [C] as the unembedding reads it.
void normalize(const Unembedding& u, const float* x, int64_t C, float* out) {
  if (!u.norm) {
    std::copy_n(x, C, out);
    return;
  }
  double mean = 0, square = 0;
  for (int64_t c = 0; u.centred && c < C; ++c) mean += static_cast<double>(x[c]);
  mean /= static_cast<double>(C);
  for (int64_t c = 0; c < C; ++c)
    square += (static_cast<double>(x[c]) - mean) * (static_cast<double>(x[c]) - mean);
  const double scale = 1 / std::sqrt(square / static_cast<double>(C) + u.epsilon);
  for (int64_t c = 0; c < C; ++c) {
    const double n =
        (static_cast<double>(x[c]) - mean) * scale * static_cast<double>(u.gain[static_cast<size_t>(c)]);
    out[c] =
        static_cast<float>(n + (u.bias.empty() ? 0.0 : static_cast<double>(u.bias[static_cast<size_t>(c)])));
  }
}

LensCell read_cell(const std::vector<float>& logits, int32_t target) {
  LensCell cell;
  const auto best = std::max_element(logits.begin(), logits.end());
  cell.token = static_cast<int32_t>(best - logits.begin());
  double sum = 0;
  for (const float z : logits) sum += static_cast<double>(std::exp(z - *best));
  cell.probability = static_cast<float>(1 / sum);
  if (target >= 0 && static_cast<size_t>(target) < logits.size())
    cell.target_probability =
        static_cast<float>(static_cast<double>(std::exp(logits[static_cast<size_t>(target)] - *best)) / sum);
  return cell;
}

}  // namespace

double mean_pairwise_cosine(std::span<const float> x, int64_t T, int64_t C) {
  // Σ_{i≠j} u_i·u_j = |Σ u_i|² − n for n vectors of length 1.
  std::vector<double> sum(static_cast<size_t>(C), 0.0);
  int64_t n = 0;
  for (int64_t t = 0; t < T; ++t) {
    const float* row = x.data() + t * C;
    const double norm = std::sqrt(dot(row, row, C));
    if (!(norm > 0)) continue;
    ++n;
    for (int64_t c = 0; c < C; ++c) sum[static_cast<size_t>(c)] += static_cast<double>(row[c]) / norm;
  }
  if (n < 2) return std::numeric_limits<double>::quiet_NaN();
  double square = 0;
  for (const double s : sum) square += s * s;
  const auto count = static_cast<double>(n);
  return (square - count) / (count * (count - 1));
}

bool lens_is_large(const Run& run, size_t points, double budget) {
  return static_cast<double>(run.config.vocab_size) * static_cast<double>(run.config.n_embd) *
             static_cast<double>(run.program().T()) * static_cast<double>(points) >
         budget;
}

LogitLens prepare_lens(const Run& run, std::span<const StreamPoint> points, int64_t column, double budget) {
  LogitLens lens;
  const int64_t T = run.program().T(), C = run.config.n_embd, V = run.config.vocab_size;
  const Unembedding u = unembedding_of(run, lens.missing);
  if (!lens.missing.empty() || points.empty()) return lens;
  const bool large = lens_is_large(run, points.size(), budget);
  lens.extent = large ? LogitLens::Extent::column : LogitLens::Extent::all;
  lens.column = std::clamp<int64_t>(column, 0, T - 1);
  lens.cells.resize(points.size() * static_cast<size_t>(T));
  lens.colors.resize(lens.cells.size(), 0.f);
  std::vector<float> x(static_cast<size_t>(C)), logits(static_cast<size_t>(V));
  for (size_t p = 0; p < points.size(); ++p) {
    const float* rows = rows_of(run, points[p].buffer).data();
    for (int64_t t = large ? lens.column : 0; t < (large ? lens.column + 1 : T); ++t) {
      normalize(u, rows + t * C, C, x.data());
      for (int64_t v = 0; v < V; ++v)
        logits[static_cast<size_t>(v)] = static_cast<float>(dot(x.data(), u.head.data() + v * C, C));
      const int32_t target = t + 1 < T ? run.tokens[static_cast<size_t>(t + 1)] : -1;
      const size_t at = p * static_cast<size_t>(T) + static_cast<size_t>(t);
      lens.cells[at] = read_cell(logits, target);
      lens.colors[at] = lens.cells[at].probability;
    }
  }
  return lens;
}

ResidualModel prepare_residual(const Run& run, int64_t column, double budget) {
  ResidualModel m;
  m.run = run.id;
  m.T = run.program().T();
  m.C = run.config.n_embd;
  m.L = run.config.n_layer;
  m.V = run.config.vocab_size;
  m.residual = run.config.residual;
  m.has_mlp = run.config.mlp != MlpKind::none;
  m.post_norm = run.config.norm != NormKind::none && run.config.norm_position == NormPosition::post;
  m.final_norm = run.config.has_final_norm();
  m.points = stream_points(run, m.missing);
  for (const StreamPoint& point : m.points) {
    add_norms(run, point.buffer, m.norms, m.largest_norm);
    m.similarity.push_back(mean_pairwise_cosine(rows_of(run, point.buffer), m.T, m.C));
  }
  for (int64_t l = 0; l < m.L; ++l) {
    add_part(run, m, l, false);
    add_part(run, m, l, true);
  }
  m.lens = prepare_lens(run, m.points, column, budget);
  return m;
}

}  // namespace headlight::app
