// Weights of 8 bits: packing, and x·W with them. Codes lie as unsigned bytes (code + 128) in panels of 64
// columns, four inputs of a column side by side, which is what the processor's byte dot products read; the
// 128 comes off through the sum of x's codes. Sums over a run of inputs are exact in whole numbers on every
// processor.
#include <cmath>

#include "kernels/cpu/context.h"
#include "kernels/cpu/inference.h"
#include "kernels/cpu/simd.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace headlight::kernels::cpu {

namespace {

constexpr int64_t kPanel = 64;             // columns of a panel
constexpr int64_t kQuad = 4;               // inputs side by side
constexpr int64_t kStep = kPanel * kQuad;  // bytes of four rows of a panel
constexpr int64_t kOffset = 128;           // what is added to a code
constexpr float kLargest = 127.0F;
constexpr int64_t kFewRows = 4;            // up to here, a chunk is as many panels as make a long read
constexpr int64_t kChunkBytes = 96 << 10;  // of W that a thread takes at a time
constexpr int64_t kTileRows = 96, kTilePanels = 2;
constexpr int64_t kQuantizeChunk = 16384;

// How a packed matrix is laid out: codes of one panel behind the other, then scales [panel][group][column].
struct Layout {
  int64_t in, out, group;
  int64_t run;    // inputs of x that share a scale
  int64_t depth;  // inputs, filled up to whole runs
  int64_t panels;
  int64_t groups;  // of weights

  Layout(int64_t in_, int64_t out_, int64_t group_)
      : in(in_),
        out(out_),
        group(group_),
        run(int8_run(group_)),
        depth(divide_up(in_, run) * run),
        panels(divide_up(out_, kPanel)),
        groups(group_ > 0 ? divide_up(in_, group_) : 1) {}
  [[nodiscard]] int64_t runs() const { return depth / run; }
  [[nodiscard]] int64_t panel_bytes() const { return depth * kPanel; }
  [[nodiscard]] int64_t code_bytes() const { return panels * panel_bytes(); }
  [[nodiscard]] int64_t code(int64_t k, int64_t o) const {
    return o / kPanel * panel_bytes() + k / kQuad * kStep + o % kPanel * kQuad + k % kQuad;
  }
  [[nodiscard]] int64_t scale(int64_t k, int64_t o) const {
    return (o / kPanel * groups + (group > 0 ? k / group : 0)) * kPanel + o % kPanel;
  }
  [[nodiscard]] uint8_t* codes(void* packed) const { return static_cast<uint8_t*>(packed); }
  [[nodiscard]] const uint8_t* codes(const void* packed) const { return static_cast<const uint8_t*>(packed); }
  [[nodiscard]] float* scales(void* packed) const {
    return reinterpret_cast<float*>(codes(packed) + code_bytes());
  }
  [[nodiscard]] const float* scales(const void* packed) const {
    return reinterpret_cast<const float*>(codes(packed) + code_bytes());
  }
  [[nodiscard]] float value(const void* packed, int64_t k, int64_t o) const {
    return static_cast<float>(static_cast<int>(codes(packed)[code(k, o)]) - static_cast<int>(kOffset)) *
           scales(packed)[scale(k, o)];
  }
};

// x rounded by run: codes [R, depth], and for each run its scale and −128·Σ codes.
struct Rounded {
  const int8_t* codes;
  const float* scales;
  const int32_t* offsets;
};

void round_row(int8_t* codes, float* scales, int32_t* offsets, const float* x, const Layout& w) {
  for (int64_t run = 0; run < w.runs(); ++run) {
    const int64_t begin = run * w.run, n = std::min(w.run, w.in - begin);
    float largest_of_run = 0;
    for (int64_t k = 0; k < n; ++k) largest_of_run = std::max(largest_of_run, std::abs(x[begin + k]));
    // Not-a-number and infinity pass through the scale.
    float all = 0;
    for (int64_t k = 0; k < n; ++k) all += x[begin + k] * 0.0F;
    const float inverse = largest_of_run > 0 ? kLargest / largest_of_run : 0.0F;
    constexpr float kRound = 12582912.0F;  // adding 1.5·2^23 rounds to an integer, ties to even
    int32_t total = 0;
    for (int64_t k = 0; k < n; ++k) {
      const auto code = static_cast<int32_t>((x[begin + k] * inverse + kRound) - kRound);
      codes[begin + k] = static_cast<int8_t>(code);
      total += code;
    }
    std::fill(codes + begin + n, codes + begin + w.run, static_cast<int8_t>(0));
    scales[run] = largest_of_run / kLargest + all;
    offsets[run] = -static_cast<int32_t>(kOffset) * total;
  }
}

Rounded round_rows(CpuContext& cpu, const float* x, int64_t R, const Layout& w) {
  const int64_t code_floats = divide_up(R * w.depth, 64) * 16;
  float* scales = cpu.workspace(code_floats + 2 * R * w.runs()) + code_floats;
  auto* codes = reinterpret_cast<int8_t*>(scales - code_floats);
  auto* offsets = reinterpret_cast<int32_t*>(scales + R * w.runs());
  for_rows(cpu, R, w.in, kQuantizeChunk, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      round_row(codes + r * w.depth, scales + r * w.runs(), offsets + r * w.runs(), x + r * w.in, w);
    }
  });
  return {codes, scales, offsets};
}

// A vector of sums, and the dot products of a vector of columns with four codes of x.
constexpr int kLanes = kWidth;
typedef int32_t Sums __attribute__((vector_size(kWidth * 4)));

#if defined(__AVX512VNNI__)
inline Sums add_products(Sums sums, const uint8_t* weights, const int8_t* x) {
  int32_t four;
  std::memcpy(&four, x, sizeof four);
  return reinterpret_cast<Sums>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sums),
                                                    _mm512_loadu_si512(weights), _mm512_set1_epi32(four)));
}
#else
// Sums of the products of both halves of each word, as signed numbers of 16 bits.
inline Sums multiply_halves(Sums a, Sums b) {
#if defined(__AVX512BW__)
  return reinterpret_cast<Sums>(
      _mm512_madd_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif defined(__AVX2__) && !defined(__AVX512F__)
  return reinterpret_cast<Sums>(
      _mm256_madd_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#elif defined(__SSE2__) && !defined(__AVX__)
  return reinterpret_cast<Sums>(_mm_madd_epi16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
#else
  return ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
#endif
}

// Two bytes as the halves of a word.
inline Sums halves(int8_t low, int8_t high) {
  const auto bits = static_cast<uint32_t>(static_cast<uint16_t>(high)) << 16 | static_cast<uint16_t>(low);
  return Sums{} + static_cast<int32_t>(bits);
}

inline Sums add_products(Sums sums, const uint8_t* weights, const int8_t* x) {
  typedef uint32_t Words __attribute__((vector_size(kWidth * 4), aligned(1), may_alias));
  typedef uint32_t Word __attribute__((vector_size(kWidth * 4)));
  // The four bytes of a column are one word: the even and the odd ones, with room for a product each.
  const Word word = *reinterpret_cast<const Words*>(weights);
  sums += multiply_halves(reinterpret_cast<Sums>(word & 0x00FF00FFU), halves(x[0], x[2]));
  return sums + multiply_halves(reinterpret_cast<Sums>((word >> 8) & 0x00FF00FFU), halves(x[1], x[3]));
}
#endif

inline Floats as_floats(Sums sums) { return __builtin_convertvector(sums, Floats); }

// Rows × Vectors of y from one panel, from column `column` of it.
template <int Rows, int Vectors>
void multiply_panel(float* y, const Layout& w, const void* packed, const Rounded& x, int64_t row,
                    int64_t panel, int64_t column, const float* bias) {
  const uint8_t* codes = w.codes(packed) + panel * w.panel_bytes() + column * kQuad;
  const float* scales = w.scales(packed) + panel * w.groups * kPanel + column;
  const int8_t* left[Rows];
  for (int r = 0; r < Rows; ++r) left[r] = x.codes + (row + r) * w.depth;
  const int64_t runs = w.runs();
  const int64_t runs_in_group = w.group > 0 ? w.group / w.run : runs;
  Floats totals[Rows][Vectors] = {};
  Floats finished[Rows][Vectors] = {};
  for (int64_t run = 0; run < runs; ++run) {
    Sums sums[Rows][Vectors];
    for (int r = 0; r < Rows; ++r) {
      for (int v = 0; v < Vectors; ++v) sums[r][v] = Sums{} + x.offsets[(row + r) * runs + run];
    }
    for (int64_t k = run * w.run; k < (run + 1) * w.run; k += kQuad) {
      if (Rows <= 2) {
        __builtin_prefetch(codes + 8 * kStep);
        if (Vectors * kLanes > 16) __builtin_prefetch(codes + 8 * kStep + 64);
        if (Vectors * kLanes > 32) __builtin_prefetch(codes + 8 * kStep + 128);
        if (Vectors * kLanes > 32) __builtin_prefetch(codes + 8 * kStep + 192);
      }
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) {
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r) {
          sums[r][v] = add_products(sums[r][v], codes + v * kLanes * kQuad, left[r] + k);
        }
      }
      codes += kStep;
    }
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const float scale = x.scales[(row + r) * runs + run];
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) totals[r][v] += as_floats(sums[r][v]) * scale;
    }
    // The end of a group of weights, or of all.
    if ((run + 1) % runs_in_group == 0 || run + 1 == runs) {
      for (int r = 0; r < Rows; ++r) {
        for (int v = 0; v < Vectors; ++v) {
          finished[r][v] += totals[r][v] * load(scales + v * kLanes);
          totals[r][v] = Floats{};
        }
      }
      scales += kPanel;
    }
  }
  const int64_t first = panel * kPanel + column;
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < Vectors; ++v) {
      const int64_t at = first + v * kLanes, lanes = std::min<int64_t>(kLanes, w.out - at);
      if (lanes <= 0) break;
      float* to = y + (row + r) * w.out + at;
      if (lanes == kLanes) {
        store(to, bias == nullptr ? finished[r][v] : finished[r][v] + load(bias + at));
      } else {
        const Floats add = bias == nullptr ? Floats{} : load_partial(bias + at, lanes);
        store_partial(to, finished[r][v] + add, lanes);
      }
    }
  }
}

// Rows [row, row + rows) of one panel. Few rows take the whole width at once, so that W is read in one run.
void multiply_rows(float* y, const Layout& w, const void* packed, const Rounded& x, int64_t row, int64_t rows,
                   int64_t panel, const float* bias) {
  constexpr int kWide = kLanes == 16 ? 4 : 2;  // vectors of the few
  constexpr int kManyRows = kLanes == 16 ? 6 : 2;
  constexpr int kNarrow = kLanes == 16 ? 2 : 1;
  const auto across = [&]<int Rows, int Vectors>() {
    for (int64_t column = 0; column < kPanel; column += Vectors * kLanes) {
      multiply_panel<Rows, Vectors>(y, w, packed, x, row, panel, column, bias);
    }
    row += Rows;
    rows -= Rows;
  };
  while (rows >= kManyRows) across.template operator()<kManyRows, kNarrow>();
  while (rows >= 2) across.template operator()<2, kWide>();
  if (rows == 1) across.template operator()<1, kWide>();
}

}  // namespace

size_t packed_bytes_int8(int64_t in, int64_t out, int64_t group) {
  const Layout layout(in, out, group);
  return static_cast<size_t>(layout.code_bytes()) +
         static_cast<size_t>(layout.groups * layout.panels * kPanel) * sizeof(float);
}

void pack_int8(Context& context, void* packed, const float* w, int64_t in, int64_t out, int64_t group,
               WeightLayout layout) {
  const Layout to(in, out, group);
  const int64_t length = group > 0 ? group : in;
  const auto value = [&](int64_t k, int64_t o) {
    return layout == WeightLayout::in_out ? w[k * out + o] : w[o * in + k];
  };
  for_elements(context, to.panels, 1, [&](int64_t panel, int64_t /*end*/) {
    std::fill(to.codes(packed) + panel * to.panel_bytes(), to.codes(packed) + (panel + 1) * to.panel_bytes(),
              static_cast<uint8_t>(kOffset));
    for (int64_t begin = 0; begin < in; begin += length) {
      const int64_t end = std::min(in, begin + length);
      float largest_of[kPanel] = {};
      const int64_t columns = std::min(kPanel, out - panel * kPanel);
      for (int64_t k = begin; k < end; ++k) {
        for (int64_t j = 0; j < columns; ++j) {
          const float size = std::abs(value(k, panel * kPanel + j));
          largest_of[j] = std::isnan(size) || size > largest_of[j] ? size : largest_of[j];
        }
      }
      for (int64_t j = 0; j < kPanel; ++j) {
        to.scales(packed)[to.scale(begin, panel * kPanel + j)] = largest_of[j] / kLargest;
      }
      for (int64_t k = begin; k < end; ++k) {
        for (int64_t j = 0; j < columns; ++j) {
          const int64_t o = panel * kPanel + j;
          const float inverse =
              std::isfinite(largest_of[j]) && largest_of[j] > 0 ? kLargest / largest_of[j] : 0.0F;
          const float code = std::isfinite(largest_of[j]) ? std::nearbyint(value(k, o) * inverse) : 0.0F;
          to.codes(packed)[to.code(k, o)] =
              static_cast<uint8_t>(static_cast<int>(code) + static_cast<int>(kOffset));
        }
      }
    }
  });
}

void unpack_int8(Context& context, float* w, const void* packed, int64_t in, int64_t out, int64_t group,
                 WeightLayout layout) {
  const Layout from(in, out, group);
  for_rows(context, in, out, kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      for (int64_t o = 0; o < out; ++o) {
        w[layout == WeightLayout::in_out ? k * out + o : o * in + k] = from.value(packed, k, o);
      }
    }
  });
}

void linear_forward_int8(Context& context, float* y, const float* x, const void* packed, const float* bias,
                         int64_t R, int64_t in, int64_t out, int64_t group) {
  CpuContext& cpu = on_cpu(context);
  const Layout w(in, out, group);
  const Rounded rounded = round_rows(cpu, x, R, w);
  if (R <= kFewRows) {
    const int64_t together = std::max<int64_t>(1, kChunkBytes / w.panel_bytes());
    for_chunks(cpu, w.panels, together,
               [&](int64_t panel, int /*slot*/) { multiply_rows(y, w, packed, rounded, 0, R, panel, bias); });
    return;
  }
  const int64_t across = divide_up(w.panels, kTilePanels), tiles = across * divide_up(R, kTileRows);
  for_chunks(cpu, tiles, 1, [&](int64_t tile, int /*slot*/) {
    const int64_t row = tile / across * kTileRows, first = tile % across * kTilePanels;
    const int64_t rows = std::min(kTileRows, R - row);
    for (int64_t panel = first; panel < std::min(w.panels, first + kTilePanels); ++panel) {
      multiply_rows(y, w, packed, rounded, row, rows, panel, bias);
    }
  });
}

void embedding_forward_int8(Context& context, float* y, const int32_t* tokens, const void* packed, int64_t R,
                            int64_t in, int64_t out, int64_t group) {
  const Layout from(in, out, group);
  for_rows(context, R, in, kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t k = 0; k < in; ++k) y[r * in + k] = from.value(packed, k, tokens[r]);
    }
  });
}

}  // namespace headlight::kernels::cpu
