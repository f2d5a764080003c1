// Pictures of heads and what the rows of their patterns say. A band of rows that share the cells of a picture
// is a unit of work.
#include <cmath>

#include "kernels/cpu/context.h"
#include "kernels/cpu/inspection.h"

namespace headlight::kernels::cpu {

namespace {

struct Range {
  float low = 0, high = 0;
};

/// What the columns of a band hold, each by itself so that the compiler makes vectors of the loop over them.
struct Columns {
  uint32_t* strongest;
  float *low, *high;
  /// In `memory` [3·cols].
  Columns(float* memory, int64_t cols)
      : strongest(reinterpret_cast<uint32_t*>(memory)), low(memory + cols), high(memory + 2 * cols) {
    std::fill(strongest, strongest + cols, 0U);
    std::fill(low, high + cols, 0.0F);
  }
};

/// One row of a picture from `rows` rows of a matrix.
template <class E>
Range draw_band(float* cells, const Columns& columns, const E* x, int64_t rows, int64_t cols,
                const PictureShape& shape) {
  uint32_t* __restrict strongest = columns.strongest;
  float* __restrict low = columns.low;
  float* __restrict high = columns.high;
  for (int64_t i = 0; i < rows; ++i) {
    const E* __restrict row = x + i * cols;
    for (int64_t j = 0; j < cols; ++j) {
      const float value = to_float(row[j]);
      const uint32_t key = strength(value);
      strongest[j] = key > strongest[j] ? key : strongest[j];
      // False for NaN, too.
      const float score = std::abs(value) < largest_score ? value : 0.0F;
      low[j] = score < low[j] ? score : low[j];
      high[j] = score > high[j] ? score : high[j];
    }
  }
  for (int64_t cell = 0; cell < shape.cols; ++cell) {
    const uint32_t* first = strongest + cell * shape.square;
    const uint32_t* last = strongest + std::min(cols, (cell + 1) * shape.square);
    cells[cell] = of_strength(*std::max_element(first, last));
  }
  return {*std::min_element(low, low + cols), *std::max_element(high, high + cols)};
}

}  // namespace

template <class E>
void head_pictures(Context& context, float* picture, float* range, const E* x, int64_t H, int64_t Tq,
                   int64_t Tk) {
  CpuContext& cpu = on_cpu(context);
  const PictureShape shape = picture_shape(Tq, Tk);
  const int64_t bands = H * shape.rows;
  auto* ranges = reinterpret_cast<Range*>(cpu.workspace(std::max<int64_t>(1, 2 * bands)));
  cpu.reserve_slots(3 * Tk);
  const int64_t together = rows_in_chunk(shape.square * Tk, kStreamChunk);
  for_chunks(cpu, bands, together, [&](int64_t band, int slot) {
    const int64_t h = band / shape.rows;
    const int64_t first = band % shape.rows * shape.square;
    ranges[band] = draw_band(picture + band * shape.cols, Columns(cpu.slot(slot), Tk),
                             x + (h * Tq + first) * Tk, std::min(shape.square, Tq - first), Tk, shape);
  });
  for (int64_t h = 0; h < H; ++h) {
    Range all;
    for (int64_t band = h * shape.rows; band < (h + 1) * shape.rows; ++band) {
      all.low = std::min(all.low, ranges[band].low);
      all.high = std::max(all.high, ranges[band].high);
    }
    range[2 * h] = all.low;
    range[2 * h + 1] = all.high;
  }
}

template <class E>
void pattern_rows(Context& context, PatternRow* rows, const E* p, const int32_t* copied, int64_t H,
                  int64_t Tq, int64_t Tk) {
  for_rows(context, H * Tq, Tk, kMathChunk, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const E* row = p + r * Tk;
      const int64_t i = r % Tq;
      rows[r] =
          pattern_row(i, Tk, copied == nullptr ? -1 : copied[i], [&](int64_t j) { return to_float(row[j]); });
    }
  });
}

template HeadPictures<float> head_pictures<float>;
template HeadPictures<bfloat16> head_pictures<bfloat16>;
template HeadPictures<float16> head_pictures<float16>;
template PatternRows<float> pattern_rows<float>;
template PatternRows<bfloat16> pattern_rows<bfloat16>;
template PatternRows<float16> pattern_rows<float16>;

}  // namespace headlight::kernels::cpu
