// What it takes to look at values where they lie: pictures of heads, what the rows of a pattern say,
// statistics with a histogram, and the largest values of rows. Every backend hands out this table through
// Backend::inspection(), so that only what is shown leaves a device. The rules that both backends and
// core/run follow stand here, too.
//
// All pointers are of the backend's memory. E: float, bfloat16 or float16, widened before anything else.
#pragma once

#include <cmath>
#include <type_traits>

#include "kernels/kernels.h"

namespace headlight::kernels {

// --- pictures of heads ------------------------------------------------------------------------------------
/// Pictures have at most this many cells a side.
inline constexpr int64_t picture_side = 96;
/// A finite mask writes −1e9: a mark of what is masked, not a score. Ranges leave it out.
inline constexpr float largest_score = 1e8F;

/// Cells of the picture of a matrix, each of them for a square of `square`² of its values.
struct PictureShape {
  int64_t square = 1, rows = 0, cols = 0;
};
HEADLIGHT_HOST_DEVICE inline PictureShape picture_shape(int64_t rows, int64_t cols) {
  const int64_t longer = rows > cols ? rows : cols;
  const int64_t square = longer > picture_side ? (longer + picture_side - 1) / picture_side : 1;
  return {square, (rows + square - 1) / square, (cols + square - 1) / square};
}

/// A number that is larger for the value that a picture shows of two: NaN before all, finite values before
/// infinite ones, then the larger size, then the positive one.
HEADLIGHT_HOST_DEVICE inline uint32_t strength(float value) {
  const uint32_t bits = float_bits(value);
  const uint32_t size = bits & 0x7FFFFFFFU;
  const uint32_t positive = (bits >> 31) ^ 1U;
  const uint32_t finite = (size << 1 | positive) + 2U;
  const uint32_t infinite = size > 0x7F800000U ? 0xFFFFFFFFU : positive;
  return size < 0x7F800000U ? finite : infinite;
}
/// The value of that strength.
HEADLIGHT_HOST_DEVICE inline float of_strength(uint32_t key) {
  const uint32_t sign = ((key & 1U) ^ 1U) << 31;
  if (key < 2U) return float_of_bits(sign | 0x7F800000U);
  return float_of_bits(key == 0xFFFFFFFFU ? 0x7FC00000U : sign | (key - 2U) >> 1);
}

/// picture[h] [rows,cols] of picture_shape(Tq, Tk): the strongest value of each square of x[h]. range[h] =
/// {low, high} of 0 and the values smaller in size than largest_score. x [H,Tq,Tk], picture [H,rows,cols],
/// range [H,2].
template <class E>
using HeadPictures = void(Context&, float* picture, float* range, const E* x, int64_t H, int64_t Tq,
                          int64_t Tk);

// --- rows of patterns -------------------------------------------------------------------------------------
/// What row i of an attention pattern says. A key that there is not has the weight 0.
struct PatternRow {
  double future = 0;      ///< mass on keys behind i
  float entropy = 0;      ///< −Σ a ln a over a > 0, nats
  int32_t strongest = 0;  ///< key of the largest value, the first among equals; 0 where there are only NaN
  float copied = 0;       ///< weight of the key that the caller names
  float previous = 0;     ///< weight of key i − 1
  float first = 0;        ///< weight of key 0
};

/// −a ln a, for a > 0.
HEADLIGHT_HOST_DEVICE inline double entropy_term(float a) {
  return a > 0.0F ? -static_cast<double>(a * logf(a)) : 0.0;
}

/// Row i of a pattern of `keys` columns, of which at(j) is column j; `copied`: a column, or −1.
template <class At>
PatternRow pattern_row(int64_t i, int64_t keys, int32_t copied, const At& at) {
  PatternRow row;
  double entropy = 0;
  bool any = false;
  float largest = 0;
  for (int64_t j = 0; j < keys; ++j) {
    const float a = at(j);
    entropy += entropy_term(a);
    if (j > i) row.future += static_cast<double>(a);
    if (a == a && (!any || a > largest)) {
      any = true;
      largest = a;
      row.strongest = static_cast<int32_t>(j);
    }
  }
  const auto weight = [&](int64_t j) { return j >= 0 && j < keys ? at(j) : 0.0F; };
  row.entropy = static_cast<float>(entropy > 0 ? entropy : 0.0);
  row.copied = weight(copied);
  row.previous = weight(i - 1);
  row.first = weight(0);
  return row;
}

/// rows[h,i] of the pattern p[h] with copied[i] (or null: −1 for all). p [H,Tq,Tk], rows [H,Tq], copied [Tq].
template <class E>
using PatternRows = void(Context&, PatternRow* rows, const E* p, const int32_t* copied, int64_t H, int64_t Tq,
                         int64_t Tk);

// --- statistics -------------------------------------------------------------------------------------------
/// Of the finite ones among `count` values; all 0 where none is finite.
struct ValueStatistics {
  int64_t count = 0;
  int64_t non_finite = 0;
  double minimum = 0, maximum = 0;
  double mean = 0, standard_deviation = 0;
};

/// What a part of the values adds up to; parts are put together in a fixed order.
struct FiniteSums {
  int64_t finite = 0;
  double sum = 0;
  double minimum = 1e300, maximum = -1e300;
};
HEADLIGHT_HOST_DEVICE inline bool is_finite(float value) {
  return (float_bits(value) & 0x7FFFFFFFU) < 0x7F800000U;
}
HEADLIGHT_HOST_DEVICE inline void take(FiniteSums& sums, float value) {
  if (!is_finite(value)) return;
  const auto v = static_cast<double>(value);
  ++sums.finite;
  sums.sum += v;
  sums.minimum = v < sums.minimum ? v : sums.minimum;
  sums.maximum = v > sums.maximum ? v : sums.maximum;
}
HEADLIGHT_HOST_DEVICE inline void take(FiniteSums& sums, const FiniteSums& others) {
  sums.finite += others.finite;
  sums.sum += others.sum;
  sums.minimum = others.minimum < sums.minimum ? others.minimum : sums.minimum;
  sums.maximum = others.maximum > sums.maximum ? others.maximum : sums.maximum;
}
/// All but the standard deviation.
HEADLIGHT_HOST_DEVICE inline ValueStatistics statistics_of(const FiniteSums& sums, int64_t count) {
  ValueStatistics s;
  s.count = count;
  s.non_finite = count - sums.finite;
  if (sums.finite == 0) return s;
  s.minimum = sums.minimum;
  s.maximum = sums.maximum;
  s.mean = sums.sum / static_cast<double>(sums.finite);
  return s;
}
/// (value − mean)², 0 for what is not finite: the second pass.
HEADLIGHT_HOST_DEVICE inline double squared_distance(float value, double mean) {
  const double distance = is_finite(value) ? static_cast<double>(value) - mean : 0.0;
  return distance * distance;
}
/// Which of `bins` equal bins between minimum and maximum a finite value falls into.
HEADLIGHT_HOST_DEVICE inline int bin_of(float value, double minimum, double maximum, int bins) {
  const double width = maximum - minimum;
  const double place = width > 0 ? (static_cast<double>(value) - minimum) / width : 0.0;
  const int bin = static_cast<int>(place * bins);
  return bin < bins ? bin : bins - 1;
}

/// Histograms have at most so many bins.
inline constexpr int most_bins = 1024;
/// statistics[0] of x [n], sums in double; histogram [bins] counts the finite values by bin_of.
template <class E>
using Statistics = void(Context&, ValueStatistics* statistics, uint64_t* histogram, const E* x, int64_t n,
                        int bins);

// --- the largest values of rows ---------------------------------------------------------------------------
/// A number that orders values as they are ranked, the first largest: by value, both zeros alike, NaN last,
/// then the lower index. Different for every index.
HEADLIGHT_HOST_DEVICE inline uint64_t rank_key(float value, uint32_t index) {
  const uint32_t bits = float_bits(value == 0.0F ? 0.0F : value);
  const uint32_t order = (bits >> 31) != 0U ? ~bits : bits | 0x80000000U;
  const uint32_t ranked = value == value ? order : 0U;
  return static_cast<uint64_t>(ranked) << 32 | (0xFFFFFFFFU - index);
}
HEADLIGHT_HOST_DEVICE inline uint32_t index_of_key(uint64_t key) {
  return 0xFFFFFFFFU - static_cast<uint32_t>(key);
}

/// Rows are searched for at most so many values.
inline constexpr int64_t most_ranked = 256;
/// index[r,:] are the columns of the k largest values of x[r,:], largest first, by rank_key; values[r,:] what
/// stands there: the row's maximum first. log_sum_exp[r] = ln Σ_j e^x[r,j]; an infinite maximum gives itself,
/// a NaN in the row NaN. named[r] = x[r,columns[r]], NaN where columns[r] is no column (both or neither
/// null). x [R,V], values and index [R,k], 1 ≤ k ≤ min(V, most_ranked).
template <class E>
using TopOfRows = void(Context&, float* values, int32_t* index, float* log_sum_exp, float* named, const E* x,
                       const int32_t* columns, int64_t R, int64_t V, int64_t k);

// --- the table --------------------------------------------------------------------------------------------
template <class E>
struct TypedInspection {
  Required<HeadPictures<E>> head_pictures;
  Required<PatternRows<E>> pattern_rows;
  Required<Statistics<E>> statistics;
  Required<TopOfRows<E>> top_of_rows;
};

/// A backend's kernels for looking.
struct InspectionKernels {
  TypedInspection<float> of_float;
  TypedInspection<bfloat16> of_bfloat16;
  TypedInspection<float16> of_float16;
  /// The kernels for elements of type E.
  template <class E>
  [[nodiscard]] const TypedInspection<E>& typed() const {
    if constexpr (std::is_same_v<E, bfloat16>) {
      return of_bfloat16;
    } else if constexpr (std::is_same_v<E, float16>) {
      return of_float16;
    } else {
      return of_float;
    }
  }
};

}  // namespace headlight::kernels
