// Fused attention: tiles of scores live in the cache and are never stored. Forward keeps a running maximum
// and sum for each query (online softmax); backward recomputes the scores from the stored log-sum-exp.
#include <cmath>
#include <limits>

#include "kernels/cpu/context.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/rows.h"

namespace headlight::kernels::cpu {

namespace {

constexpr int64_t kQueries = 48;     // rows of a tile of scores
constexpr int64_t kKeys = 128;       // columns of a tile of scores
constexpr int64_t kGroup = 240;      // queries that share a packed tile of keys
constexpr int64_t kSmall = 1 << 19;  // multiply-adds below which heads are done together

static_assert(kKeys % kWidth == 0);

constexpr float kLowest = -std::numeric_limits<float>::infinity();

// The rows of qkv [B,T,(H+2·H_kv)·D] and of z [B,T,H·D].
struct Layout {
  int64_t T, H, H_kv, D;
  [[nodiscard]] int64_t packed_row() const { return (H + 2 * H_kv) * D; }
  [[nodiscard]] int64_t group() const { return H / H_kv; }
};

// One query head of one batch item, and the key head that it shares.
struct Head {
  int64_t query;     // offset of q in qkv
  int64_t key;       // of k; v follows after H_kv·D
  int64_t separate;  // offset in z and dz
  int64_t row;       // index of its first row of lse
};
Head head_at(int64_t index, const Layout& l) {
  const int64_t b = index / l.H;
  const int64_t h = index % l.H;
  const int64_t packed = b * l.T * l.packed_row();
  return {packed + h * l.D, packed + (l.H + h / l.group()) * l.D, b * l.T * l.H * l.D + h * l.D, index * l.T};
}

// Keys of the tile [begin, end) that queries below `last` may see.
int64_t visible(int64_t begin, int64_t end, int64_t last, bool causal) {
  return causal ? std::min(end, last) - begin : end - begin;
}

// Hands each thread its part of the slot's memory.
class Carve {
 public:
  explicit Carve(float* memory) : next_(memory) {}
  float* take(int64_t floats) {
    float* taken = next_;
    next_ += padded(floats);
    return taken;
  }
  static int64_t padded(int64_t floats) { return divide_up(floats, 16) * 16; }

 private:
  float* next_;
};

// What a query has seen so far: its largest score and Σ e^(score − top).
struct Running {
  float top;
  float total;
};

// Scores of one row, kWidth at a time: the first `count` times `scale`, −∞ beyond.
Floats scaled(const float* row, int64_t j, int64_t count, float scale) {
  return first_lanes(count - j) ? load(row + j) * scale : fill(kLowest);
}

// Turns the row into e^(score − top), 0 from `count` on; `seen` rounded up to whole vectors is written.
// Returns the factor by which what was summed before shrinks.
float renew(Running& running, float* row, int64_t count, int64_t seen, float scale) {
  Floats tops = fill(kLowest);
  for (int64_t j = 0; j < seen; j += kWidth) tops = max(scaled(row, j, count, scale), tops);
  const float top = std::max(running.top, largest(tops));
  const float shift = top == kLowest ? 0.0F : top;
  Floats totals{};
  for (int64_t j = 0; j < seen; j += kWidth) {
    const Floats value = exp(scaled(row, j, count, scale) - shift);
    store(row + j, value);
    totals += value;
  }
  // Nothing seen before, or no new maximum: nothing shrinks.
  const float factor = running.top == kLowest || running.top == top ? 1.0F : std::exp(running.top - top);
  running = {top, running.total * factor + sum(totals)};
  return factor;
}

// The same from the log-sum-exp, and dscores from dpattern in the same pass.
void restore(float* row, float* drow, int64_t count, int64_t seen, float scale, float lse, float dot) {
  for (int64_t j = 0; j < seen; j += kWidth) {
    const Floats p = exp(scaled(row, j, count, scale) - lse);
    const Floats ds = p * ((load(drow + j) - dot) * scale);
    store(row + j, p);
    store(drow + j, first_lanes(count - j) ? ds : fill(0.0F));
  }
}

}  // namespace

void attention_forward(Context& context, float* z, float* lse, const float* qkv, float scale, MaskKind kind,
                       int64_t B, int64_t T, int64_t H, int64_t H_kv, int64_t D) {
  CpuContext& cpu = on_cpu(context);
  const bool causal = kind == MaskKind::causal;
  const Layout layout{T, H, H_kv, D};
  const int64_t C = H * D, W = layout.packed_row();
  const int64_t groups = divide_up(T, kGroup);
  const int64_t units = B * H * groups;
  const int64_t units_in_chunk =
      std::max<int64_t>(1, kSmall / std::max<int64_t>(1, 2 * std::min(T, kGroup) * T * D));
  cpu.reserve_slots(panel_floats(D, kKeys) + panel_floats(kKeys, D) + Carve::padded(kQueries * kKeys) +
                    Carve::padded(kGroup * D) + Carve::padded(2 * kGroup));
  for_chunks(cpu, units, units_in_chunk, [&](int64_t unit, int slot) {
    const Head head = head_at(unit / groups, layout);
    const int64_t group_begin = unit % groups * kGroup;
    const int64_t group_end = std::min(T, group_begin + kGroup);
    Carve memory(cpu.slot(slot));
    float* key_memory = memory.take(panel_floats(D, kKeys));
    float* value_memory = memory.take(panel_floats(kKeys, D));
    float* scores = memory.take(kQueries * kKeys);
    float* sums = memory.take(kGroup * D);
    auto* running = reinterpret_cast<Running*>(memory.take(2 * kGroup));
    std::fill(running, running + (group_end - group_begin), Running{kLowest, 0.0F});
    const float* q = qkv + head.query;
    const float* k = qkv + head.key;
    const float* v = k + H_kv * D;

    const int64_t last_key = causal ? group_end : T;
    for (int64_t k0 = 0; k0 < last_key; k0 += kKeys) {
      const int64_t k1 = std::min(last_key, k0 + kKeys);
      const Panels keys = pack_panels(key_memory, {k + k0 * W, 1, W}, D, k1 - k0);
      const Panels values = pack_panels(value_memory, {v + k0 * W, W, 1}, k1 - k0, D);
      for (int64_t i0 = group_begin; i0 < group_end; i0 += kQueries) {
        const int64_t rows = std::min(group_end, i0 + kQueries) - i0;
        const int64_t seen = visible(k0, k1, i0 + rows, causal);
        if (seen <= 0) continue;
        multiply(scores, kKeys, {q + i0 * W, W, 1}, keys, rows, seen, D, false);
        float* sum_rows = sums + (i0 - group_begin) * D;
        for (int64_t i = 0; i < rows; ++i) {
          float* row = scores + i * kKeys;
          const int64_t count = visible(k0, k0 + seen, i0 + i + 1, causal);
          const float factor = renew(running[i0 - group_begin + i], row, count, seen, scale);
          if (k0 > 0 && factor != 1.0F) {
            map(sum_rows + i * D, sum_rows + i * D, D, [&](Floats x) { return x * factor; });
          }
        }
        multiply(sum_rows, D, {scores, kKeys, 1}, values, rows, D, seen, k0 > 0);
      }
    }
    for (int64_t i = group_begin; i < group_end; ++i) {
      const Running& row = running[i - group_begin];
      const float inverse = 1.0F / row.total;
      map(z + head.separate + i * C, sums + (i - group_begin) * D, D, [&](Floats x) { return x * inverse; });
      lse[head.row + i] = row.top + std::log(row.total);
    }
  });
}

void attention_backward(Context& context, float* dqkv, const float* dz, const float* z, const float* lse,
                        const float* qkv, float scale, MaskKind kind, int64_t B, int64_t T, int64_t H,
                        int64_t H_kv, int64_t D) {
  CpuContext& cpu = on_cpu(context);
  const bool causal = kind == MaskKind::causal;
  const Layout layout{T, H, H_kv, D};
  const int64_t C = H * D, W = layout.packed_row(), group = layout.group();
  const int64_t units_in_chunk = std::max<int64_t>(1, kSmall / std::max<int64_t>(1, 5 * group * T * T * D));
  cpu.reserve_slots(2 * panel_floats(D, kKeys) + panel_floats(kKeys, D) + 2 * panel_floats(kQueries, D) +
                    2 * Carve::padded(kQueries * kKeys) + 2 * Carve::padded(kKeys * D) +
                    Carve::padded(group * T));
  // A unit is a key head: the query heads that share it add to its gradient one after the other.
  for_chunks(cpu, B * H_kv, units_in_chunk, [&](int64_t unit, int slot) {
    const int64_t first_head = unit * group;
    Carve memory(cpu.slot(slot));
    float* key_columns = memory.take(panel_floats(D, kKeys));
    float* value_columns = memory.take(panel_floats(D, kKeys));
    float* key_rows = memory.take(panel_floats(kKeys, D));
    float* query_rows = memory.take(panel_floats(kQueries, D));
    float* dz_rows = memory.take(panel_floats(kQueries, D));
    float* pattern = memory.take(kQueries * kKeys);
    float* dscores = memory.take(kQueries * kKeys);
    float* dkey = memory.take(kKeys * D);
    float* dvalue = memory.take(kKeys * D);
    float* dots = memory.take(group * T);
    for (int64_t g = 0; g < group; ++g) {
      const int64_t at = head_at(first_head + g, layout).separate;
      for (int64_t i = 0; i < T; ++i) dots[g * T + i] = row_dot(dz + at + i * C, z + at + i * C, D);
    }

    const int64_t key = head_at(first_head, layout).key;
    for (int64_t k0 = 0; k0 < T; k0 += kKeys) {
      const int64_t k1 = std::min(T, k0 + kKeys);
      const float* k = qkv + key + k0 * W;
      const Panels keys_across = pack_panels(key_columns, {k, 1, W}, D, k1 - k0);
      const Panels values_across = pack_panels(value_columns, {k + H_kv * D, 1, W}, D, k1 - k0);
      const Panels keys = pack_panels(key_rows, {k, W, 1}, k1 - k0, D);
      std::fill(dkey, dkey + (k1 - k0) * D, 0.0F);
      std::fill(dvalue, dvalue + (k1 - k0) * D, 0.0F);
      for (int64_t g = 0; g < group; ++g) {
        const Head head = head_at(first_head + g, layout);
        const float* dz_head = dz + head.separate;
        for (int64_t i0 = causal ? k0 / kQueries * kQueries : 0; i0 < T; i0 += kQueries) {
          const int64_t rows = std::min(T, i0 + kQueries) - i0;
          const int64_t seen = visible(k0, k1, i0 + rows, causal);
          if (seen <= 0) continue;
          const Operand queries{qkv + head.query + i0 * W, W, 1};
          const Operand dz_tile{dz_head + i0 * C, C, 1};
          multiply(pattern, kKeys, queries, keys_across, rows, seen, D, false);
          multiply(dscores, kKeys, dz_tile, values_across, rows, seen, D, false);
          for (int64_t i = 0; i < rows; ++i) {
            const int64_t count = visible(k0, k0 + seen, i0 + i + 1, causal);
            restore(pattern + i * kKeys, dscores + i * kKeys, count, seen, scale, lse[head.row + i0 + i],
                    dots[g * T + i0 + i]);
          }
          const Panels dz_panels = pack_panels(dz_rows, dz_tile, rows, D);
          const Panels query_panels = pack_panels(query_rows, queries, rows, D);
          multiply(dvalue, D, {pattern, 1, kKeys}, dz_panels, seen, D, rows, true);
          multiply(dkey, D, {dscores, 1, kKeys}, query_panels, seen, D, rows, true);
          multiply(dqkv + head.query + i0 * W, W, {dscores, kKeys, 1}, keys, rows, D, seen, k0 > 0);
        }
      }
      for (int64_t j = k0; j < k1; ++j) {
        float* dk = dqkv + key + j * W;
        std::copy(dkey + (j - k0) * D, dkey + (j - k0 + 1) * D, dk);
        std::copy(dvalue + (j - k0) * D, dvalue + (j - k0 + 1) * D, dk + H_kv * D);
      }
    }
  });
}

}  // namespace headlight::kernels::cpu
