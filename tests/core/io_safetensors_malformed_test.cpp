// safetensors files that are cut short or lie: each is refused with a sentence that names the file and the
// problem.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "core/io/safetensors.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace headlight {
namespace {

using test::bytes_of;
using test::error_of;
using test::TemporaryFolder;

std::string length_field(uint64_t length) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes;
}

/// A file of this header, with its true length, and this many bytes of data.
std::string file_of(const std::string& header, size_t data) {
  return length_field(header.size()) + header + std::string(data, '\1');
}

std::string open_error(const TemporaryFolder& folder, std::string_view bytes) {
  const auto file = folder.write("weights.safetensors", bytes);
  return error_of([&] { return SafetensorsFile(file); });
}

struct Malformed {
  const char* title;
  std::string bytes;
  const char* says;
};

std::vector<Malformed> malformed_files() {
  const auto tensor = [](const char* dtype, const char* shape, const char* offsets) {
    return std::string(R"({"x":{"dtype":)") + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" +
           offsets + "}}";
  };
  const auto two = [](const char* a, const char* b) {
    return std::string(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)") + a +
           R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + b + "}}";
  };
  const std::string good = tensor("\"F32\"", "[2]", "[0,8]");
  const std::string x = "tensor “x”";
  return {
      // The length of the header.
      {"empty file", "", "has 0 bytes, too few for the 8"},
      {"seven bytes", "1234567", "has 7 bytes, too few for the 8"},
      {"header longer than the file", length_field(good.size() + 9) + good + std::string(8, 'x'),
       "but only 62 follow; the file was cut short"},
      {"header one byte longer than the file", length_field(3) + "{}", "but only 2 follow"},
      {"header above the limit", length_field(100'000'001) + good, "but 100000000 is the most"},
      {"header of 2^64 - 1", length_field(UINT64_MAX) + good, "but 100000000 is the most"},
      {"header of 2^64 - 8", length_field(UINT64_MAX - 7) + good, "but 100000000 is the most"},
      {"no header", length_field(0), "does not begin with {"},
      {"header too short", length_field(good.size() - 1) + good + std::string(8, 'x'), "is not valid JSON"},
      {"header into the data", length_field(good.size() + 4) + good + std::string(8, 'x'),
       "is not valid JSON"},
      {"a zip archive", "PK\x03\x04" + std::string(60, 'x'), "pickled PyTorch file"},
      {"a pickle", "\x80\x02" + std::string(60, 'x'), "pickled PyTorch file"},
      // JSON.
      {"an array", file_of("[]", 0), "does not begin with {"},
      {"a leading space", file_of(" {}", 0), "does not begin with {"},
      {"a number", file_of("7", 0), "does not begin with {"},
      {"two values", file_of("{}{}", 0), "is not valid JSON"},
      {"a trailing comma", file_of("{\"__metadata__\":{},}", 0), "is not valid JSON"},
      {"a zero byte", file_of(std::string("{}\0{}", 5), 0), "a zero byte stands there"},
      {"not UTF-8", file_of("{\"\xFF\":1}", 0), "is not UTF-8"},
      {"half a character", file_of("{\"\xE1\xBA\":1}", 0), "is not UTF-8"},
      {"deep", file_of("{\"x\":" + std::string(5, '[') + std::string(5, ']') + "}", 0), "more than 4 deep"},
      {"the same tensor twice", file_of(good.substr(0, good.size() - 1) + "," + good.substr(1), 8),
       "has the key “x” twice"},
      {"the same key twice in a tensor",
       file_of(R"({"x":{"dtype":"U8","dtype":"F32","shape":[8],"data_offsets":[0,8]}})", 8),
       "has the key “dtype” twice"},
      {"metadata twice", file_of(R"({"__metadata__":{},"__metadata__":{}})", 0),
       "has the key “__metadata__” twice"},
      // Metadata.
      {"metadata is an array", file_of(R"({"__metadata__":[]})", 0), "__metadata__ of"},
      {"metadata holds a number", file_of(R"({"__metadata__":{"step":3}})", 0),
       "the entry “step” in __metadata__"},
      {"metadata holds an object", file_of(R"({"__metadata__":{"a":{}}})", 0),
       "is object instead of a string"},
      // The entry of a tensor.
      {"entry is a number", file_of(R"({"x":3})", 0), "is described by number instead of an object"},
      {"no dtype", file_of(R"({"x":{"shape":[2],"data_offsets":[0,8]}})", 8), "lacks its dtype"},
      {"no shape", file_of(R"({"x":{"dtype":"F32","data_offsets":[0,8]}})", 8), "lacks its shape"},
      {"no offsets", file_of(R"({"x":{"dtype":"F32","shape":[2]}})", 8), "lacks its data_offsets"},
      {"an unknown key", file_of(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"stride":[1]}})", 8),
       "has the unknown key “stride”"},
      {"unknown dtype", file_of(tensor("\"F31\"", "[2]", "[0,8]"), 8), "has the unknown dtype “F31”"},
      {"dtype in small letters", file_of(tensor("\"f32\"", "[2]", "[0,8]"), 8),
       "has the unknown dtype “f32”"},
      {"dtype is a number", file_of(tensor("32", "[2]", "[0,8]"), 8), "the dtype of tensor “x”"},
      {"shape is a number", file_of(tensor("\"F32\"", "2", "[0,8]"), 8), "the shape of tensor “x”"},
      {"shape below zero", file_of(tensor("\"F32\"", "[-2]", "[0,8]"), 8), "has “-2” where a whole number"},
      {"shape of minus zero", file_of(tensor("\"F32\"", "[-0.0]", "[0,0]"), 0), "where a whole number"},
      {"shape with a fraction", file_of(tensor("\"F32\"", "[2.0]", "[0,8]"), 8),
       "has “2.0” where a whole number"},
      {"shape with a string", file_of(tensor("\"F32\"", "[\"2\"]", "[0,8]"), 8), "where a whole number"},
      {"shape above 63 bits", file_of(tensor("\"F32\"", "[9223372036854775808]", "[0,8]"), 8),
       "where a whole number"},
      {"shape above 64 bits", file_of(tensor("\"F32\"", "[18446744073709551616]", "[0,8]"), 8),
       "where a whole number"},
      {"product overflows to 8", file_of(tensor("\"F32\"", "[4611686018427387906]", "[0,8]"), 8),
       "multiplies to more bytes"},
      {"product overflows to 0", file_of(tensor("\"F32\"", "[2147483648,2147483648]", "[0,0]"), 0),
       "multiplies to more bytes"},
      {"overflow hidden behind a zero", file_of(tensor("\"U8\"", "[0,4611686018427387904,3]", "[0,0]"), 0),
       "multiplies to more bytes"},
      {"offsets are one number", file_of(tensor("\"F32\"", "[2]", "[8]"), 8),
       "are “[8]” instead of two whole numbers"},
      {"offsets are three numbers", file_of(tensor("\"F32\"", "[2]", "[0,8,8]"), 8),
       "instead of two whole numbers"},
      {"offsets below zero", file_of(tensor("\"F32\"", "[2]", "[-8,0]"), 8), "instead of two whole numbers"},
      {"offsets with a fraction", file_of(tensor("\"F32\"", "[2]", "[0,8.0]"), 8),
       "instead of two whole numbers"},
      {"offsets of strings", file_of(tensor("\"F32\"", "[2]", "[\"0\",\"8\"]"), 8),
       "instead of two whole numbers"},
      {"offsets are an object", file_of(tensor("\"F32\"", "[2]", "{\"0\":8}"), 8),
       "instead of two whole numbers"},
      {"offsets reversed", file_of(tensor("\"F32\"", "[2]", "[8,0]"), 8), "end at 0, before they begin at 8"},
      {"fewer bytes than the shape", file_of(tensor("\"F32\"", "[2]", "[0,4]"), 4),
       "has 4 bytes by its data_offsets"},
      {"more bytes than the shape", file_of(tensor("\"F32\"", "[2]", "[0,9]"), 9),
       "but its shape 2 of F32 needs 8"},
      {"bytes for another dtype", file_of(tensor("\"F16\"", "[2]", "[0,8]"), 8),
       "but its shape 2 of F16 needs 4"},
      {"scalar of two", file_of(tensor("\"F32\"", "[]", "[0,8]"), 8), "but its shape scalar of F32 needs 4"},
      // The data area.
      {"no data", file_of(good, 0), "but the file holds only 0; it was cut short"},
      {"data cut short", file_of(good, 7), "but the file holds only 7; it was cut short"},
      {"data too long", file_of(good, 9), "has 1 bytes of data that belong to no tensor after byte 8"},
      {"data without tensors", file_of("{}", 3), "has 3 bytes of data that belong to no tensor"},
      {"offsets near 2^64",
       file_of(tensor("\"U8\"", "[8]", "[18446744073709551600,18446744073709551608]"), 8),
       "but the file holds only 8"},
      {"gap at the start", file_of(tensor("\"F32\"", "[2]", "[4,12]"), 12),
       "but the tensor before it ends at 0: no gaps"},
      {"gap between", file_of(two("[0,4]", "[5,9]"), 9), "tensor “b” of"},
      {"gap between, said", file_of(two("[0,4]", "[5,9]"), 9),
       "begins at byte 5, but the tensor before it ends at 4"},
      {"overlap", file_of(two("[0,4]", "[3,7]"), 7),
       "begins at byte 3, inside the tensor before it, which ends at 4"},
      {"the same bytes twice", file_of(two("[0,4]", "[0,4]"), 4), "inside the tensor before it"},
      {"overlap in the other order", file_of(two("[2,6]", "[0,4]"), 6), "tensor “a”"},
      {"empty tensor inside another",
       file_of(
           R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[0],"data_offsets":[2,2]}})",
           4),
       "begins at byte 2, inside the tensor before it"},
  };
}

TEST(SafetensorsMalformed, EachIsRefusedWithItsSentence) {
  const TemporaryFolder folder;
  const std::vector<Malformed> files = malformed_files();
  EXPECT_GE(files.size(), 60u);
  for (const Malformed& malformed : files) {
    SCOPED_TRACE(malformed.title);
    const std::string sentence = open_error(folder, malformed.bytes);
    EXPECT_SAYS(sentence, malformed.says);
    EXPECT_SAYS(sentence, "weights.safetensors");
  }
}

TEST(SafetensorsMalformed, TheNearestGoodFilesAreRead) {
  const TemporaryFolder folder;
  const std::vector<std::string> good{
      file_of("{}", 0),
      file_of("{}      ", 0),
      file_of("{}" + std::string(638, ' '), 0),  // its length field begins as a pickle does: 80 02
      file_of(R"({"__metadata__":{}})", 0),
      file_of(R"({"x":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})", 4),
      file_of(R"({"x":{"data_offsets":[0,8],"shape":[2],"dtype":"F32"}})", 8),
      file_of(
          R"({"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
          8),
      file_of(
          R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"b":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})",
          3),
      file_of(R"({"":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}})", 1),
      file_of(R"({"tên":{"dtype":"F8_E4M3","shape":[1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})", 1),
  };
  for (const std::string& bytes : good) EXPECT_EQ(open_error(folder, bytes), "no error") << bytes.substr(8);
}

TEST(SafetensorsMalformed, EveryTruncationIsRefused) {
  const TemporaryFolder folder;
  const std::vector<float> values{1, 2, 3};
  SafetensorsWriter writer;
  writer.add("h.0.ln_1.weight", std::span<const float>(values), {3});
  writer.add("h.0.ln_1.bias", std::span<const float>(values), {3, 1});
  writer.set_metadata("format", "pt");
  writer.write(folder / "whole");
  const std::string whole = bytes_of(folder / "whole");
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::string sentence = open_error(folder, std::string_view(whole).substr(0, size));
    EXPECT_SAYS(sentence, "weights.safetensors") << size;
    EXPECT_TRUE(test::contains(sentence, "cut short") || test::contains(sentence, "too few"))
        << size << sentence;
  }
  EXPECT_EQ(open_error(folder, whole), "no error");
}

TEST(SafetensorsMalformed, NoSingleByteChangeOfTheHeaderCrashes) {
  const TemporaryFolder folder;
  const std::vector<float> values{1, 2, 3};
  SafetensorsWriter writer;
  writer.add("a", std::span<const float>(values), {3});
  writer.write(folder / "whole");
  const std::string whole = bytes_of(folder / "whole");
  const size_t header = whole.size() - values.size() * sizeof(float);
  size_t refused = 0;
  for (size_t i = 0; i < header; ++i) {
    for (const int change : {1, 0x20, 0x80, 0xFF}) {
      std::string changed = whole;
      changed[i] = static_cast<char>(changed[i] ^ change);
      const std::string sentence = open_error(folder, changed);
      EXPECT_FALSE(test::contains(sentence, "not an Error")) << i << sentence;
      refused += sentence == "no error" ? 0 : 1;
    }
  }
  EXPECT_GT(refused, header * 3);  // a change inside the name, or of a space to a tab, may leave a good file
}

TEST(SafetensorsMalformed, SaysWhatIsNotAFile) {
  const TemporaryFolder folder;
  EXPECT_SAYS(error_of([&] { return SafetensorsFile(folder / "none"); }), "does not exist");
  EXPECT_SAYS(error_of([&] { return SafetensorsFile(folder.path()); }), "not a regular file");
  EXPECT_SAYS(error_of([&] { return SafetensorsFile("/dev/zero"); }), "not a regular file");
}

TEST(SafetensorsMalformed, AFileThatShrinksWhileOpenIsSaid) {
  const TemporaryFolder folder;
  const std::vector<float> values(1000);
  SafetensorsWriter writer;
  writer.add("a", std::span<const float>(values), {1000});
  writer.write(folder / "a");
  const SafetensorsFile file(folder / "a");
  std::filesystem::resize_file(folder / "a", 200);
  EXPECT_SAYS(error_of([&] { return file.read_f32("a"); }), "was cut short while it was open");
}

}  // namespace
}  // namespace headlight
