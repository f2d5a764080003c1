// The register-blocked matrix product: six rows of A by up to four vectors of columns of B, B packed into
// panels that stay in the second-level cache, tiles of C shared among the pool's threads. Where the build has
// no fused multiply-add (a plain x86-64 build), tiles go to oneDNN, which chooses its instructions at run
// time.
#include "kernels/cpu/gemm.h"

#include <dnnl.h>
#include <omp.h>

#include <array>

#include "kernels/cpu/simd.h"

namespace headlight::kernels::cpu {

namespace {

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
constexpr bool kOwnTiles = true;
#else
constexpr bool kOwnTiles = false;
#endif

// Accumulators: 6 × 4 of 32 registers with AVX-512, 6 × 2 of 16 otherwise.
constexpr int kRows = 6;
constexpr int kVectors = kWidth == 16 ? 4 : 2;
// Rows of A that are packed side by side: a whole number of blocks and of vectors.
constexpr int64_t kGroup = 48;
static_assert(kGroup % kRows == 0 && kGroup % kWidth == 0);
// Depth of a packed block: a panel of B and six rows of A stay close to the core.
constexpr int64_t kDepth = 256;
// Multiply-adds of a chunk: about 200 µs of one core at full speed; below the second, a thread is not worth
// waking.
constexpr int64_t kChunkWork = 12 << 20;
constexpr int64_t kSharedWork = 1 << 19;

// A as the innermost kernel walks it: groups of kGroup rows, `group` apart, of blocks of kRows rows, `block`
// apart; element (i, k) of a block at data[i·row + k·depth].
struct Left {
  const float* data;
  int64_t group;
  int64_t block;
  int64_t row;
  int64_t depth;
};

Left left_of(Operand a) { return {a.data, a.row * kGroup, a.row * kRows, a.row, a.column}; }

// Where a result goes: `columns` of the last vector are real.
struct Target {
  float* data;
  int64_t row;
  int64_t last_columns;
  bool accumulate;
  const float* bias;
};

template <int Rows, int Vectors, bool RowMajor>
void inner(const Target& c, const Left& a, const float* b, int64_t b_row, int64_t K) {
  Floats total[Rows][Vectors] = {};
  const float* rows[Rows];
  for (int i = 0; i < Rows; ++i) rows[i] = a.data + i * (RowMajor ? a.row : 1);
  const float* left = a.data;
  for (int64_t k = 0; k < K; ++k) {
    Floats right[Vectors];
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) right[v] = load(b + v * kWidth);
#pragma GCC unroll 8
    for (int i = 0; i < Rows; ++i) {
      const Floats value = fill(RowMajor ? rows[i][k] : left[i]);
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) total[i][v] += value * right[v];
    }
    b += b_row;
    if (!RowMajor) left += a.depth;
  }
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) {
    float* row = c.data + i * c.row;
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) {
      Floats value = total[i][v];
      float* to = row + v * kWidth;
      if (v < Vectors - 1 || c.last_columns == kWidth) {
        if (c.bias != nullptr) value += load(c.bias + v * kWidth);
        if (c.accumulate) value += load(to);
        store(to, value);
      } else {
        if (c.bias != nullptr) value += load_partial(c.bias + v * kWidth, c.last_columns);
        if (c.accumulate) value += load_partial(to, c.last_columns);
        store_partial(to, value, c.last_columns);
      }
    }
  }
}

using Inner = void (*)(const Target&, const Left&, const float*, int64_t, int64_t);

template <bool RowMajor, int... Index>
constexpr auto make_inners(std::integer_sequence<int, Index...> /*indices*/) {
  return std::array<Inner, kRows * kVectors>{&inner<Index / kVectors + 1, Index % kVectors + 1, RowMajor>...};
}
template <bool RowMajor>
constexpr auto kInners = make_inners<RowMajor>(std::make_integer_sequence<int, kRows * kVectors>{});

// Vectors of columns are shared evenly among panels: five vectors are three and two, not four and one.
struct PanelPlan {
  int64_t panels;
  int64_t share;   // vectors of each panel
  int64_t larger;  // of which the first ones have one more
  explicit PanelPlan(int64_t N) {
    const int64_t vectors = divide_up(N, kWidth);
    panels = divide_up(vectors, kVectors);
    share = panels == 0 ? 0 : vectors / panels;
    larger = vectors - share * panels;
  }
  [[nodiscard]] int64_t first(int64_t panel) const { return panel * share + std::min(panel, larger); }
};

void multiply_left(float* c, int64_t c_row, const Left& a, const Panels& b, int64_t M, int64_t N, int64_t K,
                   bool accumulate, const float* bias) {
  const PanelPlan plan(b.columns);
  const auto& inners = a.depth == 1 ? kInners<true> : kInners<false>;
  for (int64_t panel = 0; panel < plan.panels && plan.first(panel) * kWidth < N; ++panel) {
    const int64_t first = plan.first(panel);
    const int64_t b_row = (plan.first(panel + 1) - first) * kWidth;
    const int64_t columns = std::min(N - first * kWidth, b_row);
    const int64_t vectors = divide_up(columns, kWidth);
    const float* right = b.data + first * kWidth * b.depth;
    const auto function = [&](int64_t rows) {
      return inners[static_cast<size_t>((rows - 1) * kVectors + vectors - 1)];
    };
    for (int64_t i = 0; i < M; i += kRows) {
      const Target target{c + i * c_row + first * kWidth, c_row, columns - (vectors - 1) * kWidth, accumulate,
                          bias == nullptr ? nullptr : bias + first * kWidth};
      const Left block{a.data + i / kGroup * a.group + i % kGroup / kRows * a.block, a.group, a.block, a.row,
                       a.depth};
      function(std::min<int64_t>(kRows, M - i))(target, block, right, b_row, K);
    }
  }
}

// Rows that packing asks the memory for ahead of the one that it copies.
constexpr int64_t kAhead = 16;

// Floats of a packed A [M,K].
int64_t left_floats(int64_t M, int64_t K) { return divide_up(M, kGroup) * kGroup * K; }

// Two vectors, i and i + Half rows of a square, exchange their off-diagonal blocks.
template <int Half, int... Lane>
void exchange(Floats& upper, Floats& lower, std::integer_sequence<int, Lane...> /*lanes*/) {
  const Floats first =
      __builtin_shuffle(upper, lower, Ints{((Lane & Half) == 0 ? Lane : Lane - Half + kWidth)...});
  lower = __builtin_shuffle(upper, lower, Ints{((Lane & Half) == 0 ? Lane + Half : Lane + kWidth)...});
  upper = first;
}
template <int Half>
void transpose(Floats (&square)[kWidth]) {
#pragma GCC unroll 16
  for (int i = 0; i < kWidth; ++i) {
    if ((i & Half) == 0) {
      exchange<Half>(square[i], square[i + Half], std::make_integer_sequence<int, kWidth>{});
    }
  }
  if constexpr (Half > 1) transpose<Half / 2>(square);
}

// One vector of columns of B, each column contiguous in memory, into rows `step` apart.
void pack_columns(float* to, int64_t step, const float* from, int64_t column, int64_t columns, int64_t K) {
  for (int64_t k = 0; k < K; k += kWidth) {
    const int64_t depth = std::min<int64_t>(kWidth, K - k);
    Floats square[kWidth];
#pragma GCC unroll 16
    for (int j = 0; j < kWidth; ++j) {
      square[j] = Floats{};
      if (j < columns) {
        const float* source = from + j * column + k;
        __builtin_prefetch(source + kWidth * column);  // the next vector of columns
        square[j] = depth == kWidth ? load(source) : load_partial(source, depth);
      }
    }
    transpose<kWidth / 2>(square);
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; ++i) {
      if (i < depth) store(to + (k + i) * step, square[i]);
    }
  }
}

// A [M,K] whose columns are contiguous, in groups of kGroup rows: whole vectors are copied, and the rows that
// the innermost kernel takes lie next to each other.
Left pack_left(float* to, Operand a, int64_t M, int64_t K) {
  for (int64_t k = 0; k < K; ++k) {
    const float* from = a.data + k * a.column;
    for (int64_t i = 0; i < M; i += 16) __builtin_prefetch(from + kAhead * a.column + i);
    for (int64_t i = 0; i < M; i += kWidth) {
      float* vector = to + i / kGroup * kGroup * K + k * kGroup + i % kGroup;
      store(vector, i + kWidth <= M ? load(from + i) : load_partial(from + i, M - i));
    }
  }
  return {to, kGroup * K, kRows, 1, kGroup};
}

// How a product is cut: fixed by its shape alone.
struct Cut {
  int64_t rows;     // of a tile of C
  int64_t columns;  // of a tile of C
  int64_t parts;    // of K, summed in order afterwards
  int64_t depth;    // of a part
};

Cut cut_product(int64_t M, int64_t N, int64_t K, int64_t batch, bool pack_a) {
  Cut cut{};
  const int64_t wanted = pack_a ? 384 : 128;
  cut.columns = std::min(N, wanted);
  // Rows: enough to pay for packing B; where only B is packed, no more than makes a chunk.
  const int64_t most =
      pack_a ? 256 : std::clamp<int64_t>(kChunkWork / (cut.columns * std::max<int64_t>(1, K)), 192, 384);
  cut.rows = std::min(M, divide_up(divide_up(M, divide_up(M, most)), kRows) * kRows);
  const int64_t tiles = divide_up(M, cut.rows) * divide_up(N, cut.columns) * batch;
  cut.parts = 1;
  // A deep product with few tiles (the gradient of a weight) is shared along K.
  if (batch == 1 && tiles < 16) cut.parts = std::clamp<int64_t>(std::min(16 / tiles, K / 1024), 1, 8);
  // Fewer than four tiles leave a core idle or waiting: halve both sides, to whole panels and row groups.
  if (batch == 1 && pack_a && tiles * cut.parts < 4) {
    constexpr int64_t kColumnStep = 64;
    cut.columns = divide_up(divide_up(N, 2), kColumnStep) * kColumnStep;
    cut.rows = divide_up(divide_up(M, 2), kRows) * kRows;
  }
  cut.depth = divide_up(K, cut.parts);
  cut.parts = std::max<int64_t>(1, divide_up(K, std::max<int64_t>(1, cut.depth)));
  return cut;
}

void tile_with_dnnl(float* c, int64_t c_row, Operand a, Operand b, int64_t M, int64_t N, int64_t K,
                    const float* bias) {
  omp_set_num_threads(1);  // of this thread: the pool has shared the work out already
  if (K == 0) {
    for (int64_t i = 0; i < M; ++i) std::fill(c + i * c_row, c + i * c_row + N, 0.0F);
  } else {
    const bool a_rows = a.column == 1;
    const bool b_rows = b.column == 1;
    dnnl_sgemm(a_rows ? 'N' : 'T', b_rows ? 'N' : 'T', M, N, K, 1.0F, a.data,
               a_rows ? std::max(a.row, K) : a.column, b.data, b_rows ? std::max(b.row, N) : b.column, 0.0F,
               c, c_row);
  }
  for (int64_t i = 0; bias != nullptr && i < M; ++i) {
    map(c + i * c_row, c + i * c_row, bias, N, [](Floats x, Floats y) { return x + y; });
  }
}

void tile(float* scratch, float* c, int64_t c_row, Operand a, Operand b, int64_t M, int64_t N, int64_t K,
          const float* bias) {
  if (!kOwnTiles) return tile_with_dnnl(c, c_row, a, b, M, N, K, bias);
  const bool pack_a = a.column != 1;
  const int64_t blocks = std::max<int64_t>(1, divide_up(K, kDepth));
  float* packed_a = scratch;
  float* panels = scratch + (pack_a ? left_floats(M, kDepth) : 0);
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t begin = K * block / blocks;
    const int64_t depth = K * (block + 1) / blocks - begin;
    const Panels right = pack_panels(panels, {b.data + begin * b.row, b.row, b.column}, depth, N);
    const Operand part{a.data + begin * a.column, a.row, a.column};
    const Left left = pack_a ? pack_left(packed_a, part, M, depth) : left_of(part);
    multiply_left(c, c_row, left, right, M, N, depth, block > 0, block == 0 ? bias : nullptr);
  }
}

}  // namespace

int64_t panel_floats(int64_t K, int64_t N) { return divide_up(N, kWidth) * kWidth * K; }

Panels pack_panels(float* to, Operand b, int64_t K, int64_t N) {
  const PanelPlan plan(N);
  if (b.column == 1) {
    // Row by row through all panels: memory is read in long runs.
    for (int64_t k = 0; k < K; ++k) {
      const float* from = b.data + k * b.row;
      for (int64_t j = 0; j < N; j += 16) __builtin_prefetch(from + kAhead * b.row + j);
      for (int64_t panel = 0; panel < plan.panels; ++panel) {
        const int64_t first = plan.first(panel) * kWidth;
        const int64_t step = plan.first(panel + 1) * kWidth - first;
        const int64_t columns = std::min(N - first, step);
        float* row = to + first * K + k * step;
        int64_t j = 0;
        for (; j + kWidth <= columns; j += kWidth) store(row + j, load(from + first + j));
        if (j < columns) store(row + j, load_partial(from + first + j, columns - j));
      }
    }
  } else {
    for (int64_t panel = 0; panel < plan.panels; ++panel) {
      const int64_t first = plan.first(panel) * kWidth;
      const int64_t step = plan.first(panel + 1) * kWidth - first;
      const int64_t columns = std::min(N - first, step);
      for (int64_t j = 0; j < columns; j += kWidth) {
        pack_columns(to + first * K + j, step, b.data + (first + j) * b.column, b.column, columns - j, K);
      }
    }
  }
  return {to, K, N};
}

void multiply(float* c, int64_t c_row, Operand a, const Panels& b, int64_t M, int64_t N, int64_t K,
              bool accumulate, const float* bias) {
  multiply_left(c, c_row, left_of(a), b, M, N, K, accumulate, bias);
}

void gemm(CpuContext& context, float* c, int64_t c_row, Operand a, Operand b, int64_t M, int64_t N, int64_t K,
          const float* bias, const Batch& batch) {
  if (M == 0 || N == 0) return;
  const bool pack_a = a.column != 1;
  const int64_t count = batch.outer * batch.inner;
  if (M == 1 && count == 1 && a.column == 1) return gemv(context, c, a.data, b, N, K, bias);
  const Cut cut = cut_product(M, N, K, count, pack_a);
  const int64_t row_tiles = divide_up(M, cut.rows);
  const int64_t column_tiles = divide_up(N, cut.columns);
  const int64_t tiles = row_tiles * column_tiles * cut.parts * count;
  const int64_t tile_work = cut.rows * cut.columns * std::max<int64_t>(1, cut.depth);
  // Small tiles go together, so that a chunk is worth handing to a thread.
  const int64_t tiles_in_chunk = std::max<int64_t>(1, kSharedWork / tile_work);
  context.reserve_slots((pack_a ? left_floats(cut.rows, kDepth) : 0) + panel_floats(kDepth, cut.columns));
  float* partial = cut.parts > 1 ? context.workspace((cut.parts - 1) * M * N) : nullptr;

  for_chunks(context, tiles, tiles_in_chunk, [&](int64_t index, int slot) {
    const int64_t column = index % column_tiles * cut.columns;
    const int64_t row = index / column_tiles % row_tiles * cut.rows;
    const int64_t part = index / (column_tiles * row_tiles) % cut.parts;
    const int64_t item = index / (column_tiles * row_tiles * cut.parts);
    const int64_t outer = item / batch.inner;
    const int64_t inner_item = item % batch.inner;
    const int64_t depth = part * cut.depth;
    const auto at = [&](const Stride& stride) {
      return outer * stride.outer + inner_item / stride.shared * stride.inner;
    };
    const Operand left{a.data + at(batch.a) + row * a.row + depth * a.column, a.row, a.column};
    const Operand right{b.data + at(batch.b) + depth * b.row + column * b.column, b.row, b.column};
    float* to =
        part == 0 ? c + at(batch.c) + row * c_row + column : partial + (part - 1) * M * N + row * N + column;
    tile(context.slot(slot), to, part == 0 ? c_row : N, left, right, std::min(cut.rows, M - row),
         std::min(cut.columns, N - column), std::min(cut.depth, K - depth),
         bias != nullptr && part == 0 ? bias + column : nullptr);
  });

  if (cut.parts == 1) return;
  for_rows(context, M, N * cut.parts, kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t part = 1; part < cut.parts; ++part) {
        map(c + row * c_row, c + row * c_row, partial + (part - 1) * M * N + row * N, N,
            [](Floats x, Floats y) { return x + y; });
      }
    }
  });
}

}  // namespace headlight::kernels::cpu
