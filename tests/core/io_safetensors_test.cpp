// safetensors: what is written comes back; every dtype is read; saving fails cleanly.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "core/io/atomic_file.h"
#include "core/io/safetensors.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace headlight {
namespace {

using test::bytes_of;
using test::error_of;
using test::TemporaryFolder;

template <class T>
std::vector<uint8_t> raw(const std::vector<T>& values) {
  std::vector<uint8_t> bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

TEST(Safetensors, WritesAndReadsBack) {
  const TemporaryFolder folder;
  const std::vector<float> weights{1.5F, -2, 0, 1e-40F, std::numeric_limits<float>::infinity(), 3};
  const std::vector<int32_t> ids{-1, 2, 3};
  const std::vector<int64_t> step{INT64_MIN};
  const std::vector<uint64_t> seed{UINT64_MAX, 1};
  SafetensorsWriter writer;
  writer.add("wte.weight", std::span<const float>(weights), {2, 3});
  writer.add("tokens", std::span<const int32_t>(ids), {1, 3, 1});
  writer.add("step", std::span<const int64_t>(step), {});
  writer.add("random", std::span<const uint64_t>(seed), {2});
  writer.add("empty", std::span<const float>(), {0, 5});
  writer.set_metadata("format", "pt");
  writer.set_metadata("title", "đèn \"pha\"");
  writer.write(folder / "a.safetensors");
  EXPECT_EQ(writer.file_size(), std::filesystem::file_size(folder / "a.safetensors"));

  const SafetensorsFile file(folder / "a.safetensors");
  EXPECT_EQ(file.tensors().size(), 5u);
  EXPECT_EQ(file.metadata().at("title"), "đèn \"pha\"");
  EXPECT_EQ(file.read_f32("wte.weight"), weights);
  EXPECT_EQ(file.info("wte.weight").shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(file.info("wte.weight").dtype, "F32");
  EXPECT_EQ(file.read_i64("tokens"), (std::vector<int64_t>{-1, 2, 3}));
  EXPECT_EQ(file.read_i64("step"), step);
  EXPECT_EQ(file.info("step").elements(), 1);
  EXPECT_EQ(file.read_u64("random"), seed);
  EXPECT_TRUE(file.read_f32("empty").empty());
  EXPECT_TRUE(file.contains("empty"));
  EXPECT_FALSE(file.contains("Empty"));
  EXPECT_EQ(file.read_bytes("tokens"), raw(ids));
  std::vector<float> into(6);
  file.read_f32("wte.weight", into);
  EXPECT_EQ(into, weights);
}

TEST(Safetensors, KeepsTheBitsOfNaN) {
  const TemporaryFolder folder;
  const std::vector<float> values{std::bit_cast<float>(0x7FC12345u), -0.0F};
  SafetensorsWriter writer;
  writer.add("x", std::span<const float>(values), {2});
  writer.write(folder / "a");
  EXPECT_EQ(raw(SafetensorsFile(folder / "a").read_f32("x")), raw(values));
}

TEST(Safetensors, WidensEveryHalf) {
  const TemporaryFolder folder;
  std::vector<uint16_t> bits(65536);
  std::iota(bits.begin(), bits.end(), uint16_t{0});
  SafetensorsWriter writer;
  writer.add_bytes("f16", "F16", raw(bits), {65536});
  // add_bytes views its bytes, so they must outlive write().
  const std::vector<uint8_t> bytes = raw(bits);
  SafetensorsWriter kept;
  kept.add_bytes("f16", "F16", bytes, {65536});
  kept.add_bytes("bf16", "BF16", bytes, {256, 256});
  kept.write(folder / "a");
  const SafetensorsFile file(folder / "a");
  const std::vector<float> half = file.read_f32("f16"), bfloat = file.read_f32("bf16");
  for (uint32_t i = 0; i < 65536; ++i) {
    // The definition of the format: (−1)^s · 2^(e−15) · 1.f, with e = 0 for subnormals.
    const int e = static_cast<int>((i >> 10) & 31u);
    const double fraction = (i & 1023u) / 1024.0;
    const double sign = (i & 0x8000u) != 0 ? -1 : 1;
    const double value = e == 0 ? fraction * std::ldexp(1.0, -14) : (1 + fraction) * std::ldexp(1.0, e - 15);
    if (e == 31 && fraction != 0) {
      EXPECT_TRUE(std::isnan(half[i]));
    } else if (e == 31) {
      EXPECT_EQ(half[i], static_cast<float>(sign) * std::numeric_limits<float>::infinity());
    } else {
      EXPECT_EQ(half[i], static_cast<float>(sign * value)) << i;
    }
    EXPECT_EQ(std::bit_cast<uint32_t>(bfloat[i]), i << 16);
  }
}

TEST(Safetensors, ReadsEveryWholeNumberType) {
  const TemporaryFolder folder;
  const std::vector<uint8_t> bytes{0xFF, 0, 0, 0, 0, 0, 0, 0x80};
  SafetensorsWriter writer;
  const std::vector<std::pair<const char*, int64_t>> types{{"I8", 8},  {"U8", 8},  {"BOOL", 8},
                                                           {"I16", 4}, {"U16", 4}, {"I32", 2},
                                                           {"U32", 2}, {"I64", 1}, {"U64", 1}};
  for (const auto& [dtype, count] : types) writer.add_bytes(dtype, dtype, bytes, {count});
  const std::vector<double> doubles{0.1, -1e300};
  const std::vector<uint8_t> double_bytes = raw(doubles);
  writer.add_bytes("F64", "F64", double_bytes, {2});
  writer.write(folder / "a");
  const SafetensorsFile file(folder / "a");
  EXPECT_EQ(file.read_i64("I8"), (std::vector<int64_t>{-1, 0, 0, 0, 0, 0, 0, -128}));
  EXPECT_EQ(file.read_i64("U8"), (std::vector<int64_t>{255, 0, 0, 0, 0, 0, 0, 128}));
  EXPECT_EQ(file.read_i64("I16"), (std::vector<int64_t>{255, 0, 0, -32768}));
  EXPECT_EQ(file.read_i64("U16"), (std::vector<int64_t>{255, 0, 0, 32768}));
  EXPECT_EQ(file.read_i64("I32"), (std::vector<int64_t>{255, INT32_MIN}));
  EXPECT_EQ(file.read_i64("U32"), (std::vector<int64_t>{255, 2147483648}));
  EXPECT_EQ(file.read_i64("I64"), (std::vector<int64_t>{INT64_MIN + 255}));
  EXPECT_EQ(file.read_f32("F64")[0], 0.1F);
  EXPECT_SAYS(error_of([&] { return file.read_i64("U64"); }), "too large");
  EXPECT_SAYS(error_of([&] { return file.read_i64("F64"); }), "tensor “F64”");
  EXPECT_SAYS(error_of([&] { return file.read_i64("F64"); }), "whole numbers are wanted");
  EXPECT_SAYS(error_of([&] { return file.read_f32("I32"); }), "floating-point numbers");
  EXPECT_SAYS(error_of([&] { return file.read_u64("I64"); }), "U64 is wanted");
}

TEST(Safetensors, NamesWhatIsNotThere) {
  const TemporaryFolder folder;
  const std::vector<float> one{1};
  SafetensorsWriter writer;
  writer.add("h.0.ln_1.weight", std::span<const float>(one), {1});
  writer.write(folder / "a");
  const SafetensorsFile file(folder / "a");
  const std::string sentence = error_of([&] { return file.read_f32("h.0.ln1.weight"); });
  EXPECT_SAYS(sentence, (folder / "a").string());
  EXPECT_SAYS(sentence, "the nearest is “h.0.ln_1.weight”");
  std::vector<float> two(2);
  EXPECT_SAYS(error_of([&] { file.read_f32("h.0.ln_1.weight", two); }), "1 numbers, where 2 are wanted");
  SafetensorsWriter().write(folder / "b");
  EXPECT_SAYS(error_of([&] { return SafetensorsFile(folder / "b").info("x"); }), "holds no tensors");
}

TEST(Safetensors, WriterRefusesWhatDoesNotFit) {
  const std::vector<float> values(6);
  const std::span<const float> six(values);
  SafetensorsWriter writer;
  writer.add("x", six, {2, 3});
  EXPECT_SAYS(error_of([&] { writer.add("x", six, {6}); }), "two tensors to be saved have the name “x”");
  EXPECT_SAYS(error_of([&] { writer.add("y", six, {7}); }),
              "tensor “y” has 24 bytes, but its shape 7 of F32 needs 28");
  EXPECT_SAYS(error_of([&] { writer.add("y", six, {-6}); }), "cannot be saved with shape -6");
  EXPECT_SAYS(error_of([&] { writer.add("y", six, {INT64_MAX, INT64_MAX}); }), "cannot be saved with shape");
  EXPECT_SAYS(error_of([&] { writer.add("__metadata__", six, {6}); }), "__metadata__");
  EXPECT_SAYS(error_of([&] { writer.add("\xFF", six, {6}); }), "not UTF-8");
  EXPECT_SAYS(error_of([&] { writer.add_bytes("y", "F13", {}, {0}); }), "unknown dtype “F13”");
}

TEST(Safetensors, MovesWithItsFile) {
  const TemporaryFolder folder;
  const std::vector<float> one{1};
  SafetensorsWriter writer;
  writer.add("a", std::span<const float>(one), {1});
  writer.write(folder / "a");
  SafetensorsFile first(folder / "a");
  SafetensorsFile second(std::move(first));
  EXPECT_EQ(second.read_f32("a"), one);
  SafetensorsFile third(folder / "a");
  third = std::move(second);
  EXPECT_EQ(third.read_f32("a"), one);
}

TEST(Safetensors, SavesAtomically) {
  const TemporaryFolder folder;
  const std::vector<float> one{1}, two{2};
  const auto save = [&](const std::vector<float>& values) {
    SafetensorsWriter writer;
    writer.add("a", std::span<const float>(values), {1});
    writer.write(folder / "a", true);
  };
  save(one);
  save(two);
  EXPECT_EQ(SafetensorsFile(folder / "a").read_f32("a"), two);
  EXPECT_EQ(SafetensorsFile(previous_generation(folder / "a")).read_f32("a"), one);
  EXPECT_SAYS(error_of([&] { SafetensorsWriter().write(folder / "a" / "b"); }), "could not be saved");
  EXPECT_EQ(folder.files(), 2u);
}

}  // namespace
}  // namespace headlight
