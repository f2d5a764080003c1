// Weights of 16 bits: packing, and x·W with them. W lies in panels of a few vectors of columns, row after
// row, so that every product reads it in one long run; two columns share a word, so that both become floats
// with one operation each. A few rows of x multiply straight from the panels; more of them through tiles of
// floats in the second-level cache.
#include <bit>
#include <cmath>

#include "kernels/cpu/context.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/inference.h"
#include "kernels/cpu/simd.h"

namespace headlight::kernels::cpu {

namespace {

constexpr int kVectors = 4;                    // of a panel
constexpr int64_t kPanel = kVectors * kWidth;  // columns of a panel
constexpr int kRows = kWidth == 16 ? 6 : 2;    // rows of x in registers
constexpr int64_t kFewRows = 16;               // up to here, panels are multiplied as they lie
constexpr int64_t kChunkBytes = 192 << 10;     // of W that a thread takes at a time
constexpr int64_t kTileRows = 192, kTileDepth = 256, kTileColumns = 128;
// Columns that multiply() takes as one panel: rows of that many floats, one behind the other.
constexpr int64_t kBlock = (kWidth == 16 ? 4 : 2) * kWidth;
static_assert(kTileColumns % kPanel == 0 && kPanel % kBlock == 0);

typedef uint32_t LooseBits __attribute__((vector_size(kWidth * 4), aligned(4), may_alias));

int64_t panels_of(int64_t out) { return divide_up(out, kPanel); }

// Where W[k,o] lies, in 16-bit elements.
int64_t place(int64_t k, int64_t o, int64_t in) {
  const int64_t column = o % kPanel, pair = column / (2 * kWidth), lane = column % kWidth;
  return (o / kPanel * in + k) * kPanel + (pair * kWidth + lane) * 2 + column % (2 * kWidth) / kWidth;
}

uint16_t narrow(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>(bits >> 16 | 0x40U);
  return static_cast<uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}
float widen(uint16_t half) { return std::bit_cast<float>(static_cast<uint32_t>(half) << 16); }

inline Floats as_floats(Bits bits) {
  Floats value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// The vectors of one row of a panel.
inline void widen_row(Floats (&to)[kVectors], const uint16_t* from) {
#pragma GCC unroll 4
  for (int pair = 0; pair < kVectors / 2; ++pair) {
    const Bits both = *reinterpret_cast<const LooseBits*>(from + pair * 2 * kWidth);
    to[2 * pair] = as_floats(both << 16);
    to[2 * pair + 1] = as_floats(both & 0xFFFF0000U);
  }
}

// Columns [column, column + kBlock) of W, rows [k0, k0 + depth), as floats.
void widen_block(float* to, const uint16_t* w, int64_t in, int64_t column, int64_t k0, int64_t depth) {
  const uint16_t* from = w + (column / kPanel * in + k0) * kPanel + column % kPanel;
  for (int64_t k = 0; k < depth; ++k) {
#pragma GCC unroll 4
    for (int64_t j = 0; j < kBlock; j += 2 * kWidth) {
      const Bits both = *reinterpret_cast<const LooseBits*>(from + k * kPanel + j);
      store(to + k * kBlock + j, as_floats(both << 16));
      store(to + k * kBlock + j + kWidth, as_floats(both & 0xFFFF0000U));
    }
  }
}

template <int Rows>
void multiply_panel(float* y, int64_t y_row, const float* x, int64_t x_row, const uint16_t* w, int64_t in,
                    int64_t columns, const float* bias) {
  constexpr int64_t kAhead = 1024;  // elements: some pages' ends are crossed without waiting
  Floats totals[Rows][kVectors] = {};
  for (int64_t k = 0; k < in; ++k) {
    Floats right[kVectors];
    widen_row(right, w);
    __builtin_prefetch(w + kAhead);
    __builtin_prefetch(w + kAhead + kPanel / 2);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const Floats left = fill(x[r * x_row + k]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) totals[r][v] += left * right[v];
    }
    w += kPanel;
  }
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < kVectors && v * kWidth < columns; ++v) {
      const int64_t lanes = std::min<int64_t>(kWidth, columns - v * kWidth);
      float* to = y + r * y_row + v * kWidth;
      if (lanes == kWidth) {
        store(to, bias == nullptr ? totals[r][v] : totals[r][v] + load(bias + v * kWidth));
      } else {
        const Floats add = bias == nullptr ? Floats{} : load_partial(bias + v * kWidth, lanes);
        store_partial(to, totals[r][v] + add, lanes);
      }
    }
  }
}

void multiply_panel(int64_t rows, float* y, int64_t y_row, const float* x, int64_t x_row, const uint16_t* w,
                    int64_t in, int64_t columns, const float* bias) {
  while (rows > 0) {
    const int64_t now = std::min<int64_t>(rows, kRows);
    if (now == 1) {
      multiply_panel<1>(y, y_row, x, x_row, w, in, columns, bias);
    } else if (now == 2) {
      multiply_panel<2>(y, y_row, x, x_row, w, in, columns, bias);
    } else if constexpr (kRows > 2) {
      if (now == 3) {
        multiply_panel<3>(y, y_row, x, x_row, w, in, columns, bias);
      } else if (now == 4) {
        multiply_panel<4>(y, y_row, x, x_row, w, in, columns, bias);
      } else if (now == 5) {
        multiply_panel<5>(y, y_row, x, x_row, w, in, columns, bias);
      } else {
        multiply_panel<6>(y, y_row, x, x_row, w, in, columns, bias);
      }
    }
    rows -= now;
    y += now * y_row;
    x += now * x_row;
  }
}

}  // namespace

size_t packed_bytes_bf16(int64_t in, int64_t out) {
  return static_cast<size_t>(panels_of(out) * kPanel * in) * sizeof(uint16_t);
}

void pack_bf16(Context& context, void* packed, const float* w, int64_t in, int64_t out, WeightLayout layout) {
  auto* to = static_cast<uint16_t*>(packed);
  for_elements(context, panels_of(out), 1, [&](int64_t panel, int64_t /*end*/) {
    for (int64_t k = 0; k < in; ++k) {
      for (int64_t o = panel * kPanel; o < (panel + 1) * kPanel; ++o) {
        const float value = o >= out ? 0.0F : layout == WeightLayout::in_out ? w[k * out + o] : w[o * in + k];
        to[place(k, o, in)] = narrow(value);
      }
    }
  });
}

void unpack_bf16(Context& context, float* w, const void* packed, int64_t in, int64_t out,
                 WeightLayout layout) {
  const auto* from = static_cast<const uint16_t*>(packed);
  for_rows(context, in, out, kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      for (int64_t o = 0; o < out; ++o) {
        w[layout == WeightLayout::in_out ? k * out + o : o * in + k] = widen(from[place(k, o, in)]);
      }
    }
  });
}

void linear_forward_bf16(Context& context, float* y, const float* x, const void* packed, const float* bias,
                         int64_t R, int64_t in, int64_t out) {
  CpuContext& cpu = on_cpu(context);
  const auto* w = static_cast<const uint16_t*>(packed);
  if (R <= kFewRows) {
    const int64_t together = std::max<int64_t>(1, kChunkBytes / std::max<int64_t>(1, 2 * in * kPanel));
    for_chunks(cpu, panels_of(out), together, [&](int64_t panel, int /*slot*/) {
      const int64_t column = panel * kPanel;
      multiply_panel(R, y + column, out, x, in, w + column * in, in, std::min(kPanel, out - column),
                     bias == nullptr ? nullptr : bias + column);
    });
    return;
  }
  // Tiles of y: the panels of a tile are widened into floats block by block of their depth.
  const int64_t columns = divide_up(out, kTileColumns), tiles = columns * divide_up(R, kTileRows);
  cpu.reserve_slots(kTileDepth * kBlock);
  for_chunks(cpu, tiles, 1, [&](int64_t tile, int slot) {
    const int64_t column = tile % columns * kTileColumns, row = tile / columns * kTileRows;
    const int64_t width = std::min(kTileColumns, out - column), rows = std::min(kTileRows, R - row);
    float* floats = cpu.slot(slot);
    for (int64_t k0 = 0; k0 < in; k0 += kTileDepth) {
      const int64_t depth = std::min(kTileDepth, in - k0);
      for (int64_t j = 0; j < width; j += kBlock) {
        widen_block(floats, w, in, column + j, k0, depth);
        const int64_t real = std::min(kBlock, width - j);
        multiply(y + row * out + column + j, out, {x + row * in + k0, in, 1}, {floats, depth, kBlock}, rows,
                 real, depth, k0 > 0, k0 == 0 && bias != nullptr ? bias + column + j : nullptr);
      }
    }
  });
}

void embedding_forward_bf16(Context& context, float* y, const int32_t* tokens, const void* packed, int64_t R,
                            int64_t in, int64_t /*out*/) {
  const auto* from = static_cast<const uint16_t*>(packed);
  for_rows(context, R, in, kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t k = 0; k < in; ++k) y[r * in + k] = widen(from[place(k, tokens[r], in)]);
    }
  });
}

}  // namespace headlight::kernels::cpu
