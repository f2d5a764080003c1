// See logit_lens.h.
#include "core/run/logit_lens.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/base/error.h"
#include "core/model/device_memory.h"
#include "core/run/executor.h"

namespace headlight {

namespace {

/// Logits that are worked out at a time: few enough to stay near the processor, enough to fill it.
constexpr int64_t kLogitsAtOnce = 1 << 21;
constexpr int64_t kFewestRows = 16, kMostRows = 512;

std::span<const float> rows_of(const Run& run, BufferId id) {
  return run.range(id, {0, run.program().T() * run.config.n_embd});
}

/// The norm before the unembedding, on the host: its work is nothing beside the product's.
class LastNorm {
 public:
  LastNorm(const ModelConfig& config, const Parameters& parameters)
      : C_(config.n_embd),
        present_(config.has_final_norm()),
        centred_(config.norm == NormKind::layernorm),
        epsilon_(config.layer_norm_epsilon) {
    if (!present_) return;
    const auto get = [&](std::string_view name) {
      const Parameters::Entry* entry = parameters.find(name);
      return entry == nullptr ? std::vector<float>() : parameters.download(entry->value, *entry);
    };
    gain_ = get("ln_f.weight");
    bias_ = get("ln_f.bias");
  }

  /// x [C] as the unembedding reads it.
  void apply(const float* x, float* out) const {
    if (!present_) {
      std::copy_n(x, C_, out);
      return;
    }
    double mean = 0, square = 0;
    for (int64_t c = 0; centred_ && c < C_; ++c) mean += static_cast<double>(x[c]);
    mean /= static_cast<double>(C_);
    for (int64_t c = 0; c < C_; ++c) {
      const double from_mean = static_cast<double>(x[c]) - mean;
      square += from_mean * from_mean;
    }
    const double scale = 1 / std::sqrt(square / static_cast<double>(C_) + epsilon_);
    for (int64_t c = 0; c < C_; ++c) {
      const auto at = static_cast<size_t>(c);
      const double bias = bias_.empty() ? 0.0 : static_cast<double>(bias_[at]);
      out[c] = static_cast<float>(
          (static_cast<double>(x[c]) - mean) * scale * static_cast<double>(gain_[at]) + bias);
    }
  }

 private:
  int64_t C_;
  bool present_, centred_;
  double epsilon_;
  std::vector<float> gain_, bias_;
};

/// Logits of some rows, and what the backend reads off them: the most probable tokens, their logits, the
/// row's log-sum-exp and the logit of the token that comes next. Only these leave the backend.
class LogitRows {
 public:
  /// Throws OutOfMemory.
  LogitRows(kernels::Backend& backend, int64_t most, int64_t C, int64_t V)
      : backend_(backend),
        C_(C),
        V_(V),
        k_(std::min<int64_t>(V, 1 + static_cast<int64_t>(LensCell().runners_up.size()))),
        x_(backend, floats(most * C), "the logit lens"),
        logits_(backend, floats(most * V), "the logit lens"),
        targets_(backend, floats(most), "the logit lens"),
        read_(backend, floats(most * (2 * k_ + 2)), "the logit lens") {}

  /// Cells of rows [R,C] of what the unembedding `head` [V,C] reads; `targets` [R]: the next tokens, −1 where
  /// none comes.
  std::vector<LensCell> read(std::span<const float> rows, const float* head,
                             std::span<const int32_t> targets) {
    const auto R = static_cast<int64_t>(targets.size());
    auto* logits = static_cast<float*>(logits_.get());
    auto* values = static_cast<float*>(read_.get());
    auto* index = reinterpret_cast<int32_t*>(values + R * k_);
    float* log_sum_exp = values + 2 * R * k_;
    float* named = log_sum_exp + R;
    backend_.upload(x_.get(), rows.data(), rows.size_bytes());
    backend_.upload(targets_.get(), targets.data(), targets.size_bytes());
    kernels::Context& context = backend_.context();
    backend_.kernels().linear_forward(context, logits, static_cast<const float*>(x_.get()), head, nullptr, R,
                                      C_, V_, kernels::WeightLayout::out_in);
    backend_.inspection().of_float.top_of_rows(context, values, index, log_sum_exp, named, logits,
                                               static_cast<const int32_t*>(targets_.get()), R, V_, k_);
    host_.resize(static_cast<size_t>(R * (2 * k_ + 2)));
    backend_.download(host_.data(), values, host_.size() * sizeof(float));
    std::vector<LensCell> cells;
    for (int64_t r = 0; r < R; ++r) cells.push_back(cell(R, r, targets[static_cast<size_t>(r)]));
    return cells;
  }

 private:
  static size_t floats(int64_t count) { return static_cast<size_t>(count) * sizeof(float); }

  [[nodiscard]] LensCell cell(int64_t R, int64_t r, int32_t target) const {
    const float* values = host_.data();
    const float log_sum_exp = values[2 * R * k_ + r];
    const auto at = [&](int64_t j) -> LensToken {
      return {std::bit_cast<int32_t>(values[R * k_ + r * k_ + j]),
              std::exp(values[r * k_ + j] - log_sum_exp)};
    };
    LensCell cell;
    static_cast<LensToken&>(cell) = at(0);
    for (int64_t j = 1; j < k_; ++j) cell.runners_up[static_cast<size_t>(j - 1)] = at(j);
    if (target >= 0) cell.target_probability = std::exp(values[2 * R * k_ + R + r] - log_sum_exp);
    return cell;
  }

  kernels::Backend& backend_;
  int64_t C_, V_, k_;
  DeviceMemory x_, logits_, targets_, read_;
  std::vector<float> host_;
};

}  // namespace

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

double lens_work(const Run& run) {
  const int64_t points = 1 + run.config.n_layer * (run.config.mlp == MlpKind::none ? 1 : 2);
  return static_cast<double>(run.config.vocab_size) * static_cast<double>(run.config.n_embd) *
         static_cast<double>(run.program().T()) * static_cast<double>(points);
}

std::shared_ptr<const LogitLens> read_lens(const Run& run, const Parameters& parameters,
                                           std::optional<int64_t> column, const std::atomic<bool>* cancel) {
  auto lens = std::make_shared<LogitLens>();
  const int64_t T = run.program().T(), C = run.config.n_embd, V = run.config.vocab_size;
  std::vector<std::string> missing;
  const std::vector<StreamPoint> points = stream_points(run, missing);
  const char* name = run.config.tie_word_embeddings ? "wte.weight" : "lm_head.weight";
  const Parameters::Entry* head = parameters.find(name);
  lens->points = static_cast<int64_t>(points.size());
  lens->T = T;
  if (points.empty() || head == nullptr) {
    lens->missing = points.empty() && !missing.empty() ? missing.front() : name;
    return lens;
  }
  lens->extent = column ? LogitLens::Extent::column : LogitLens::Extent::all;
  lens->column = std::clamp<int64_t>(column && *column >= 0 ? *column : T - 1, 0, T - 1);
  lens->cells.resize(points.size() * static_cast<size_t>(T));
  std::vector<size_t> wanted;  // cells to read
  for (size_t i = 0; i < lens->cells.size(); ++i)
    if (!column || static_cast<int64_t>(i) % T == lens->column) wanted.push_back(i);

  kernels::Backend& backend = parameters.backend();
  const LastNorm norm(run.config, parameters);
  const auto most = std::min<int64_t>(std::clamp(kLogitsAtOnce / V, kFewestRows, kMostRows),
                                      static_cast<int64_t>(wanted.size()));
  LogitRows logits(backend, most, C, V);
  std::vector<float> rows(static_cast<size_t>(most * C));
  std::vector<int32_t> targets;
  for (size_t first = 0; first < wanted.size(); first += static_cast<size_t>(most)) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) throw Cancelled();
    const size_t count = std::min(static_cast<size_t>(most), wanted.size() - first);
    targets.clear();
    for (size_t i = 0; i < count; ++i) {
      const auto cell = static_cast<int64_t>(wanted[first + i]);
      const auto stream = rows_of(run, points[static_cast<size_t>(cell / T)].buffer);
      norm.apply(stream.data() + cell % T * C, rows.data() + static_cast<int64_t>(i) * C);
      const size_t next = static_cast<size_t>(cell % T) + 1;
      const bool followed = next < std::min(run.tokens.size(), static_cast<size_t>(T));
      targets.push_back(followed ? run.tokens[next] : -1);
    }
    const std::vector<LensCell> cells =
        logits.read(std::span(rows).first(count * static_cast<size_t>(C)), head->value, targets);
    for (size_t i = 0; i < count; ++i) lens->cells[wanted[first + i]] = cells[i];
  }
  return lens;
}

}  // namespace headlight
