// Norms and cosines.
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

ResidualModel prepare_residual(const Run& run) {
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
  // A lens of other points was read before the stream was recorded whole.
  if (run.lens && (run.lens->points == m.P() || run.lens->extent == LogitLens::Extent::none))
    m.lens = run.lens;
  if (m.lens)
    for (const LensCell& cell : m.lens->cells) m.lens_colors.push_back(cell.probability);
  return m;
}

}  // namespace headlight::app
