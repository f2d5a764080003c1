// Pictures of heads, rows of patterns, statistics and the largest values of rows against their definitions,
// on every backend and for every element type.
#include "kernels/inspection.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <optional>

#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

using kernels::PatternRow;
using kernels::ValueStatistics;

class InspectionTest : public KernelTest {
 protected:
  /// body(E{}, rounded values) for each element type.
  template <class Body>
  void for_types(const std::vector<float>& values, const Body& body) {
    {
      SCOPED_TRACE("fp32");
      body(values, values);
    }
    {
      SCOPED_TRACE("bf16");
      rounded_to<kernels::bfloat16>(values, body);
    }
    {
      SCOPED_TRACE("fp16");
      rounded_to<kernels::float16>(values, body);
    }
  }

 private:
  template <class E, class Body>
  static void rounded_to(const std::vector<float>& values, const Body& body) {
    std::vector<E> narrow;
    std::vector<float> wide;
    for (const float value : values) {
      narrow.push_back(kernels::from_float<E>(value));
      wide.push_back(kernels::to_float(narrow.back()));
    }
    body(narrow, wide);
  }
};
HEADLIGHT_ON_EVERY_BACKEND(InspectionTest);

struct Size {
  int64_t H, Tq, Tk;
};
std::string name_of(const Size& s) { return fmt::format("{}×{}×{}", s.H, s.Tq, s.Tk); }
// One cell, odd sizes, one row of a cache, one more than a picture has cells, squares of 2 and 3, many heads.
const Size kSizes[] = {{1, 1, 1},   {2, 3, 3},    {5, 1, 37},    {1, 96, 96},
                       {3, 97, 97}, {1, 200, 90}, {1, 33, 1200}, {70, 24, 24}};

/// What has no place in a well-behaved matrix, here and there.
std::vector<float> with_oddities(std::vector<float> values) {
  const auto put = [&](size_t every, size_t from, float value) {
    for (size_t i = from; i < values.size(); i += every) values[i] = value;
  };
  put(5, 2, -kInfinity);
  put(701, 31, kNan);
  put(907, 13, kInfinity);
  put(97, 41, -1e9F);
  put(11, 7, 0.0F);
  put(13, 8, -0.0F);
  return values;
}

float expected_cell(const std::vector<float>& square) {
  std::optional<float> finite;
  float infinite = -kInfinity;
  for (const float value : square) {
    if (std::isnan(value)) return kNan;
    if (std::isinf(value)) {
      infinite = std::max(infinite, value);
    } else if (!finite || std::abs(value) > std::abs(*finite) ||
               (std::abs(value) == std::abs(*finite) && !std::signbit(value))) {
      finite = value;
    }
  }
  return finite ? *finite : infinite;
}

void expect_same_bits(const std::vector<float>& actual, const std::vector<float>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    const bool both_nan = std::isnan(actual[i]) && std::isnan(expected[i]);
    ASSERT_TRUE(both_nan || std::bit_cast<uint32_t>(actual[i]) == std::bit_cast<uint32_t>(expected[i]))
        << i << ": " << actual[i] << " instead of " << expected[i];
  }
}

TEST_P(InspectionTest, PicturesShowTheStrongestValueOfEachSquare) {
  for (const Size& size : kSizes) {
    SCOPED_TRACE(name_of(size));
    const auto [H, Tq, Tk] = size;
    const int64_t square = (std::max(Tq, Tk) + 95) / 96, rows = (Tq + square - 1) / square,
                  cols = (Tk + square - 1) / square;
    std::vector<float> values = with_oddities(normal_values(H * Tq * Tk, 3));
    // The last head is wholly masked.
    if (H > 1) std::fill(values.end() - Tq * Tk, values.end(), -kInfinity);
    for_types(values, [&]<class E>(const std::vector<E>& elements, const std::vector<float>& x) {
      std::vector<float> expected;
      std::vector<float> expected_range;
      for (int64_t h = 0; h < H; ++h) {
        float low = 0, high = 0;
        for (int64_t i = 0; i < Tq * Tk; ++i) {
          const float value = x[static_cast<size_t>(h * Tq * Tk + i)];
          if (!(std::abs(value) < 1e8F)) continue;
          low = std::min(low, value);
          high = std::max(high, value);
        }
        expected_range.insert(expected_range.end(), {low, high});
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t c = 0; c < cols; ++c) {
            std::vector<float> inside;
            for (int64_t i = r * square; i < std::min(Tq, (r + 1) * square); ++i)
              for (int64_t j = c * square; j < std::min(Tk, (c + 1) * square); ++j)
                inside.push_back(x[static_cast<size_t>((h * Tq + i) * Tk + j)]);
            expected.push_back(expected_cell(inside));
          }
        }
      }
      Buffer<E> matrix(backend(), elements);
      auto picture = blank(H * rows * cols), range = blank(2 * H);
      backend().inspection().typed<E>().head_pictures(context(), picture, range, matrix, H, Tq, Tk);
      expect_same_bits(picture.get(), expected);
      EXPECT_EQ(range.get(), expected_range);
    });
  }
}

TEST_P(InspectionTest, RowsOfPatternsAreWhatTheirDefinitionsSay) {
  for (const Size& size : kSizes) {
    SCOPED_TRACE(name_of(size));
    const auto [H, Tq, Tk] = size;
    std::vector<float> values = normal_values(H * Tq * Tk, 5, 2.0F);
    for (int64_t r = 0; r < H * Tq; ++r) {
      float* row = values.data() + r * Tk;
      std::transform(row, row + Tk, row, [](float x) { return std::exp(x); });
      const float sum = std::accumulate(row, row + Tk, 0.0F);
      std::transform(row, row + Tk, row, [&](float x) { return x / sum; });
    }
    // Equal largest values, a row that is not a number, one with some of them, and an empty one.
    const auto row_at = [&](int64_t r) { return values.data() + r * Tk; };
    if (Tk > 2) row_at(0)[Tk - 1] = row_at(0)[1] = 0.75F;
    if (Tq > 3 || H > 4) {
      std::fill(row_at(1), row_at(2), kNan);
      row_at(2)[0] = kNan;
      std::fill(row_at(3), row_at(4), 0.0F);
    }
    std::vector<int32_t> copied = random_tokens(Tq, static_cast<int32_t>(Tk), 9);
    for (size_t i = 0; i < copied.size(); i += 3) copied[i] = -1;
    for_types(values, [&]<class E>(const std::vector<E>& elements, const std::vector<float>& x) {
      Buffer<E> pattern(backend(), elements);
      Buffer<int32_t> keys = on_device(copied);
      Buffer<PatternRow> rows(backend(), H * Tq);
      Buffer<PatternRow> without(backend(), H * Tq);
      const auto& look = backend().inspection().typed<E>();
      look.pattern_rows(context(), rows, pattern, keys, H, Tq, Tk);
      look.pattern_rows(context(), without, pattern, nullptr, H, Tq, Tk);
      const std::vector<PatternRow> all = rows.get(), others = without.get();
      std::vector<float> entropies, futures;
      Values expected_entropies, expected_futures;
      for (int64_t r = 0; r < H * Tq; ++r) {
        const float* p = x.data() + r * Tk;
        const int64_t i = r % Tq;
        double entropy = 0, future = 0;
        int64_t strongest = 0;
        for (int64_t j = 0; j < Tk; ++j) {
          const auto a = static_cast<double>(p[j]);
          if (a > 0) entropy -= a * std::log(a);
          if (j > i) future += a;
          if (p[j] > p[strongest] || (std::isnan(p[strongest]) && !std::isnan(p[j]))) strongest = j;
        }
        const PatternRow& row = all[static_cast<size_t>(r)];
        entropies.push_back(row.entropy);
        futures.push_back(static_cast<float>(row.future));
        expected_entropies.push_back(entropy);
        expected_futures.push_back(future);
        ASSERT_EQ(row.strongest, strongest) << r;
        const int32_t key = copied[static_cast<size_t>(i)];
        const auto weight = [&](int64_t j) { return j >= 0 && j < Tk ? p[j] : 0.0F; };
        expect_same_bits({row.copied, row.previous, row.first}, {weight(key), weight(i - 1), weight(0)});
        const PatternRow& other = others[static_cast<size_t>(r)];
        EXPECT_EQ(other.copied, 0.0F);
        expect_same_bits({other.entropy, static_cast<float>(other.future)},
                         {row.entropy, static_cast<float>(row.future)});
      }
      expect_close(entropies, expected_entropies, "entropy");
      expect_close(futures, expected_futures, "future");
    });
  }
}

void expect_near(double actual, double expected, double scale, const char* what) {
  EXPECT_NEAR(actual, expected, 1e-12 * (std::abs(expected) + scale)) << what;
}

TEST_P(InspectionTest, StatisticsAreThoseOfTheFiniteValues) {
  // Far from 0, where a sum of squares would lose the deviation.
  std::vector<float> far = normal_values(70'001, 7, 0.5F);
  for (float& value : far) value += 1000.0F;
  std::vector<float> odd = with_oddities(normal_values(10'007, 8));
  const std::vector<std::vector<float>> arrays = {{2.5F},
                                                  {-kInfinity},
                                                  {5, 5},
                                                  {1, 2, 3, -kInfinity, 4, kNan},
                                                  far,
                                                  odd,
                                                  normal_values(33, 9),
                                                  std::vector<float>(300, -0.0F)};
  for (size_t a = 0; a < arrays.size(); ++a) {
    for (const int bins : {1, 3, 40, kernels::most_bins}) {
      SCOPED_TRACE(fmt::format("array {}, {} bins", a, bins));
      for_types(arrays[a], [&]<class E>(const std::vector<E>& elements, const std::vector<float>& x) {
        std::vector<double> finite;
        for (const float value : x)
          if (std::isfinite(value)) finite.push_back(static_cast<double>(value));
        double low = 0, high = 0, mean = 0, deviation = 0;
        std::vector<uint64_t> counts(static_cast<size_t>(bins), 0);
        if (!finite.empty()) {
          low = *std::min_element(finite.begin(), finite.end());
          high = *std::max_element(finite.begin(), finite.end());
          const auto n = static_cast<double>(finite.size());
          mean = std::accumulate(finite.begin(), finite.end(), 0.0) / n;
          for (const double v : finite) deviation += (v - mean) * (v - mean) / n;
          deviation = std::sqrt(deviation);
        }
        for (const double v : finite) {
          const double share = high > low ? (v - low) / (high - low) : 0.0;
          counts[static_cast<size_t>(std::min(share * bins, bins - 1.0))] += 1;
        }
        Buffer<E> values(backend(), elements);
        Buffer<ValueStatistics> result(backend(), 1);
        Buffer<uint64_t> histogram(backend(), bins);
        backend().inspection().typed<E>().statistics(context(), result, histogram, values,
                                                     static_cast<int64_t>(x.size()), bins);
        const ValueStatistics s = result.get()[0];
        EXPECT_EQ(s.count, static_cast<int64_t>(x.size()));
        EXPECT_EQ(s.non_finite, static_cast<int64_t>(x.size() - finite.size()));
        EXPECT_EQ(s.minimum, low);
        EXPECT_EQ(s.maximum, high);
        expect_near(s.mean, mean, high - low, "mean");
        expect_near(s.standard_deviation, deviation, high - low, "standard deviation");
        EXPECT_EQ(histogram.get(), counts);
      });
    }
  }
}

/// Rows in which values repeat, with what ranks last.
std::vector<float> rows_to_rank(int64_t R, int64_t V) {
  std::vector<float> x = normal_values(R * V, 11, 3.0F);
  for (size_t i = 0; i < x.size(); i += 7) x[i] = std::round(x[i]);
  const auto row = [&](int64_t r) { return x.begin() + r * V; };
  if (R < 6) return x;
  std::fill(row(1), row(2), -kInfinity);
  std::fill(row(2), row(3), 1.5F);
  std::fill(row(3), row(4), kNan);
  for (int64_t j = 0; j < V; j += 2) row(4)[j] = j % 4 == 0 ? kNan : -kInfinity;
  row(5)[V / 2] = kInfinity;
  return x;
}

TEST_P(InspectionTest, TheLargestValuesOfRowsComeInOrder) {
  struct Rows {
    int64_t R, V, k;
  };
  for (const auto& [R, V, k] : {Rows{1, 1, 1}, Rows{7, 5, 5}, Rows{6, 65, 10}, Rows{6, 300, 256},
                                Rows{6, 1203, 64}, Rows{30, 41, 1}, Rows{1, 5003, 100}}) {
    SCOPED_TRACE(fmt::format("{} rows of {}, the first {}", R, V, k));
    for_types(rows_to_rank(R, V), [&]<class E>(const std::vector<E>& elements, const std::vector<float>& x) {
      std::vector<float> expected_values;
      std::vector<int32_t> expected_index;
      Values expected_lse;
      for (int64_t r = 0; r < R; ++r) {
        const float* row = x.data() + r * V;
        std::vector<int32_t> order(static_cast<size_t>(V));
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
          return std::isnan(row[b]) ? !std::isnan(row[a]) : row[a] > row[b];
        });
        double total = 0;
        const auto top = static_cast<double>(row[order[0]]);
        for (int64_t j = 0; j < V; ++j) total += std::exp(static_cast<double>(row[j]) - top);
        const bool any_nan = std::any_of(row, row + V, [](float v) { return std::isnan(v); });
        expected_lse.push_back(any_nan ? std::nan("") : std::isinf(top) ? top : top + std::log(total));
        for (int64_t j = 0; j < k; ++j) {
          expected_index.push_back(order[static_cast<size_t>(j)]);
          expected_values.push_back(row[expected_index.back()]);
        }
      }
      Buffer<E> rows(backend(), elements);
      auto values = blank(R * k), lse = blank(R), named = blank(R);
      Buffer<int32_t> index(backend(), R * k);
      std::vector<int32_t> columns = random_tokens(R, static_cast<int32_t>(V), 3);
      columns[0] = -1;
      columns.back() = static_cast<int32_t>(V - 1);
      std::vector<float> expected_named;
      for (size_t r = 0; r < columns.size(); ++r)
        expected_named.push_back(
            columns[r] < 0 ? kNan : x[r * static_cast<size_t>(V) + static_cast<size_t>(columns[r])]);
      Buffer<int32_t> wanted = on_device(columns);
      const auto& look = backend().inspection().typed<E>();
      look.top_of_rows(context(), values, index, lse, named, rows, wanted, R, V, k);
      expect_same_bits(named.get(), expected_named);
      EXPECT_EQ(index.get(), expected_index);
      expect_same_bits(values.get(), expected_values);
      expect_close(lse, expected_lse, "log-sum-exp");
    });
  }
}

TEST_P(InspectionTest, WhatIsSeenDoesNotDependOnWhoLooks) {
  // Many chunks, twice; on the CPU also with another number of threads.
  const int64_t H = 3, T = 260, n = H * T * T;
  std::vector<float> values = normal_values(n, 13);
  for (size_t i = 0; i < values.size(); i += 9) values[i] = -kInfinity;
  const auto look = [&](kernels::Backend& on) {
    Buffer<float> x(on, values);
    Buffer<PatternRow> rows(on, H * T);
    Buffer<ValueStatistics> summary(on, 1);
    Buffer<uint64_t> histogram(on, 40);
    Buffer<float> top(on, H * T * 5), lse(on, H * T);
    Buffer<int32_t> index(on, H * T * 5);
    const auto& kernels = on.inspection().of_float;
    kernels.pattern_rows(on.context(), rows, x, nullptr, H, T, T);
    kernels.statistics(on.context(), summary, histogram, x, n, 40);
    kernels.top_of_rows(on.context(), top, index, lse, nullptr, x, nullptr, H * T, T, 5);
    std::vector<uint64_t> bits = histogram.get();
    const auto keep = [&](auto value) {
      if constexpr (sizeof(value) == 8) {
        bits.push_back(std::bit_cast<uint64_t>(value));
      } else {
        bits.push_back(std::bit_cast<uint32_t>(value));
      }
    };
    for (const PatternRow& row : rows.get()) {
      keep(row.future);
      keep(row.entropy);
    }
    keep(summary.get()[0].mean);
    keep(summary.get()[0].standard_deviation);
    for (const float value : lse.get()) keep(value);
    return bits;
  };
  const std::vector<uint64_t> first = look(backend());
  EXPECT_EQ(first, look(backend()));
  if (backend().kind() != "cpu") return;
  EXPECT_EQ(first, look(*kernels::make_cpu_backend(2)));
}

TEST_P(InspectionTest, TheStopwatchTimesThePiecesBetweenItsMarks) {
  const int64_t n = 1 << 16;
  auto x = on_device(normal_values(n, 1)), y = blank(n);
  const auto work = [&](int times) {
    for (int i = 0; i < times; ++i) kernels().scale(context(), y, x, 2.0F, n);
  };
  work(1);
  const auto stopwatch = backend().stopwatch();
  EXPECT_TRUE(stopwatch->seconds().empty());
  stopwatch->begin();  // abandoned, as by a step that fails
  stopwatch->drop();
  for (const int times : {0, 1, 60}) {
    stopwatch->begin();
    work(times);
    stopwatch->end();
    work(200);  // between two pieces
  }
  const std::vector<double> seconds = stopwatch->seconds();
  ASSERT_EQ(seconds.size(), 3U);
  for (const double s : seconds) EXPECT_GE(s, 0.0);
  EXPECT_GT(seconds[2], seconds[0]);
  EXPECT_TRUE(stopwatch->seconds().empty());
  stopwatch->begin();
  stopwatch->end();
  EXPECT_EQ(stopwatch->seconds().size(), 1U);
}

}  // namespace
}  // namespace headlight::test
