// See logit_lens.h.
#include "core/run/logit_lens.h"

#include <algorithm>
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

/// The most probable tokens of one row of logits and their probabilities.
LensCell read_cell(std::span<const float> logits, std::span<const float> probabilities, int32_t target) {
  std::array<int32_t, 3> best = {-1, -1, -1};
  const auto logit = [&](int32_t token) { return logits[static_cast<size_t>(token)]; };
  for (int32_t v = 0; v < static_cast<int32_t>(logits.size()); ++v) {
    if (best[2] >= 0 && logit(v) <= logit(best[2])) continue;
    best[2] = v;
    for (size_t i = 2; i > 0 && (best[i - 1] < 0 || logit(best[i]) > logit(best[i - 1])); --i)
      std::swap(best[i], best[i - 1]);
  }
  LensCell cell;
  const auto probability = [&](int32_t token) { return probabilities[static_cast<size_t>(token)]; };
  cell.token = best[0];
  cell.probability = probability(best[0]);
  for (size_t i = 0; i < cell.runners_up.size(); ++i)
    if (best[i + 1] >= 0) cell.runners_up[i] = {best[i + 1], probability(best[i + 1])};
  if (target >= 0 && static_cast<size_t>(target) < logits.size())
    cell.target_probability = probability(target);
  return cell;
}

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
  const DeviceMemory x(backend, static_cast<size_t>(most * C) * sizeof(float), "the logit lens");
  const DeviceMemory y(backend, static_cast<size_t>(most * V) * sizeof(float), "the logit lens");
  std::vector<float> rows(static_cast<size_t>(most * C)), logits(static_cast<size_t>(most * V)),
      probabilities(logits.size());
  for (size_t first = 0; first < wanted.size(); first += static_cast<size_t>(most)) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) throw Cancelled();
    const size_t count = std::min(static_cast<size_t>(most), wanted.size() - first);
    for (size_t i = 0; i < count; ++i) {
      const auto cell = static_cast<int64_t>(wanted[first + i]);
      const auto stream = rows_of(run, points[static_cast<size_t>(cell / T)].buffer);
      norm.apply(stream.data() + cell % T * C, rows.data() + static_cast<int64_t>(i) * C);
    }
    const auto R = static_cast<int64_t>(count);
    const size_t bytes = count * static_cast<size_t>(V) * sizeof(float);
    auto* on_device = static_cast<float*>(y.get());
    backend.upload(x.get(), rows.data(), count * static_cast<size_t>(C) * sizeof(float));
    backend.kernels().linear_forward(backend.context(), on_device, static_cast<const float*>(x.get()),
                                     head->value, nullptr, R, C, V, kernels::WeightLayout::out_in);
    backend.download(logits.data(), on_device, bytes);
    backend.kernels().softmax_forward(backend.context(), on_device, on_device, 1.0F, R, V);
    backend.download(probabilities.data(), on_device, bytes);
    for (size_t i = 0; i < count; ++i) {
      const size_t cell = wanted[first + i], t = cell % static_cast<size_t>(T);
      const bool followed = t + 1 < std::min(run.tokens.size(), static_cast<size_t>(T));
      const auto width = static_cast<size_t>(V);
      lens->cells[cell] =
          read_cell(std::span(logits).subspan(i * width, width),
                    std::span(probabilities).subspan(i * width, width), followed ? run.tokens[t + 1] : -1);
    }
  }
  return lens;
}

}  // namespace headlight
