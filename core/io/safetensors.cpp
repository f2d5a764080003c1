// See safetensors.h. Layout: 8 bytes header length (little endian), the header (JSON: name → dtype, shape,
// data_offsets; "__metadata__" → strings), then the bytes of all tensors. Reading is here; writing is in
// safetensors_writer.cpp.
#include "core/io/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/utf8.h"
#include "core/io/json.h"
#include "core/io/safetensors_dtype.h"

namespace headlight {

static_assert(std::endian::native == std::endian::little,
              "safetensors bytes are read and written as they are");

namespace {

using nlohmann::json;

constexpr uint64_t length_bytes = 8;
/// Numbers of another dtype that are widened in one go: their bytes stay in the cache.
constexpr size_t widened_at_once = size_t{1} << 16;

/// Widens one half-precision number.
float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 0x1Fu;
  const uint32_t fraction = half & 0x3FFu;
  if (exponent == 0) {  // zero and subnormals: fraction · 2^−24, exact in float
    const float value = static_cast<float>(fraction) * 0x1.0p-24f;
    return sign != 0 ? -value : value;
  }
  const uint32_t wide = exponent == 31 ? 255u : exponent + 112u;
  return std::bit_cast<float>(sign | (wide << 23) | (fraction << 13));
}

float bfloat_to_float(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

/// Reads exactly `bytes` bytes at `offset`; false at the end of the file or on an error.
bool read_exactly(int fd, void* out, uint64_t bytes, uint64_t offset) {
  char* at = static_cast<char*>(out);
  while (bytes > 0) {
    const ssize_t got = pread(fd, at, std::min<uint64_t>(bytes, 1u << 30), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
    offset += static_cast<uint64_t>(got);
    bytes -= static_cast<uint64_t>(got);
  }
  return true;
}

/// "tensor “name” of FILE", the subject of most sentences here.
std::string subject(const std::filesystem::path& file, std::string_view name) {
  return fmt::format("tensor {} of {}", quote(name), file.string());
}

template <class From, class To>
void widen(const std::vector<uint8_t>& bytes, std::vector<To>& out) {
  for (size_t i = 0; i < out.size(); ++i) {
    From value;
    std::memcpy(&value, bytes.data() + i * sizeof(From), sizeof(From));
    out[i] = static_cast<To>(value);
  }
}

/// Checks one entry of the header by itself: keys, dtype, shape, offsets in order, size of the shape.
TensorInfo checked_entry(const std::filesystem::path& file, const std::string& name, const json& entry) {
  const std::string who = subject(file, name);
  if (!entry.is_object()) fail("{} is described by {} instead of an object", who, entry.type_name());
  for (const auto& [key, value] : entry.items()) {
    if (key != "dtype" && key != "shape" && key != "data_offsets") {
      fail("{} has the unknown key {}; dtype, shape and data_offsets are the keys of a tensor", who,
           quote(key));
    }
  }
  for (const char* key : {"dtype", "shape", "data_offsets"}) {
    if (!entry.contains(key)) fail("{} lacks its {}", who, key);
  }

  TensorInfo tensor;
  tensor.name = name;
  const json& dtype = entry.at("dtype");
  if (!dtype.is_string()) fail("the dtype of {} is {} instead of a string", who, dtype.type_name());
  tensor.dtype = dtype.get<std::string>();
  const uint64_t item = dtype_bytes(tensor.dtype);
  if (item == 0) fail("{} has the unknown dtype {}; known are {}", who, quote(tensor.dtype), known_dtypes());

  const json& shape = entry.at("shape");
  if (!shape.is_array()) fail("the shape of {} is {} instead of an array", who, shape.type_name());
  uint64_t bytes = item;
  bool empty = false;
  for (const json& size : shape) {
    if (!size.is_number_unsigned() || size.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
      fail("the shape of {} has {} where a whole number from 0 is wanted", who, quote(size.dump(), 40));
    }
    const auto n = size.get<uint64_t>();
    tensor.shape.push_back(static_cast<int64_t>(n));
    // A zero anywhere empties the tensor, but must not hide a product that overflows elsewhere.
    if (n == 0) empty = true;
    if (n != 0 && (__builtin_mul_overflow(bytes, n, &bytes) || bytes > static_cast<uint64_t>(INT64_MAX))) {
      fail("the shape of {} multiplies to more bytes than 63 bits can count", who);
    }
  }
  if (empty) bytes = 0;

  const json& offsets = entry.at("data_offsets");
  const bool two = offsets.is_array() && offsets.size() == 2;
  if (!two || !offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned()) {
    fail("the data_offsets of {} are {} instead of two whole numbers from 0", who, quote(offsets.dump(), 60));
  }
  const auto begin = offsets[0].get<uint64_t>();
  const auto end = offsets[1].get<uint64_t>();
  if (begin > end) fail("the data_offsets of {} end at {}, before they begin at {}", who, end, begin);
  if (end - begin != bytes) {
    fail("{} has {} bytes by its data_offsets, but its shape {} of {} needs {}", who, end - begin,
         shape_text(tensor.shape), tensor.dtype, bytes);
  }
  tensor.offset = begin;
  tensor.size = bytes;
  return tensor;
}

}  // namespace

int64_t TensorInfo::elements() const {
  int64_t count = 1;
  for (const int64_t n : shape) count *= n;
  return count;
}

std::string shape_text(std::span<const int64_t> shape) {
  return shape.empty() ? "scalar" : fmt::format("{}", fmt::join(shape, "×"));
}

SafetensorsFile::SafetensorsFile(std::filesystem::path file) : path_(std::move(file)) {
  const std::string name = path_.string();
  fd_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd_ < 0) {
    if (errno == ENOENT) fail("the weights file {} does not exist; check the path", name);
    fail("the weights file {} cannot be opened: {}", name, std::generic_category().message(errno));
  }
  try {
    struct stat status {};
    if (fstat(fd_, &status) != 0) fail("the weights file {} cannot be read", name);
    if (!S_ISREG(status.st_mode)) fail("{} is not a regular file, so it holds no weights", name);
    const auto file_bytes = static_cast<uint64_t>(status.st_size);
    if (file_bytes < length_bytes) {
      fail("{} has {} bytes, too few for the 8 that a safetensors file begins with", name, file_bytes);
    }
    unsigned char start[length_bytes];
    if (!read_exactly(fd_, start, length_bytes, 0)) fail("the weights file {} cannot be read", name);
    uint64_t header_bytes = 0;
    std::memcpy(&header_bytes, start, length_bytes);
    if (header_bytes > max_header_bytes) {
      // A pickled checkpoint is a zip archive or begins with the pickle protocol, which reads as an absurd
      // length.
      const bool zip = std::memcmp(start, "PK\x03\x04", 4) == 0;
      const bool pickle = start[0] == 0x80 && start[1] >= 2 && start[1] <= 5;
      if (zip || pickle) {
        fail(
            "{} is a pickled PyTorch file, which can run code, so it is not read; convert it with: "
            "python -c \"import torch, safetensors.torch as s; "
            "s.save_file(torch.load('{}', weights_only=True), 'model.safetensors')\"",
            name, path_.filename().string());
      }
      fail(
          "{} says that its header has {} bytes, but {} is the most; it is no safetensors file or it is "
          "damaged",
          name, header_bytes, max_header_bytes);
    }
    if (header_bytes > file_bytes - length_bytes) {
      fail("{} says that its header has {} bytes, but only {} follow; the file was cut short", name,
           header_bytes, file_bytes - length_bytes);
    }
    std::string header(header_bytes, '\0');
    if (!read_exactly(fd_, header.data(), header_bytes, length_bytes)) {
      fail("the header of {} cannot be read", name);
    }
    data_start_ = length_bytes + header_bytes;
    parse_header(header, file_bytes - data_start_);
  } catch (...) {
    close(fd_);
    throw;
  }
}

SafetensorsFile::~SafetensorsFile() {
  if (fd_ >= 0) close(fd_);
}

SafetensorsFile::SafetensorsFile(SafetensorsFile&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      data_start_(other.data_start_),
      tensors_(std::move(other.tensors_)),
      index_(std::move(other.index_)),
      metadata_(std::move(other.metadata_)) {}

SafetensorsFile& SafetensorsFile::operator=(SafetensorsFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(data_start_, other.data_start_);
  std::swap(tensors_, other.tensors_);
  std::swap(index_, other.index_);
  std::swap(metadata_, other.metadata_);
  return *this;
}

void SafetensorsFile::parse_header(std::string_view header, uint64_t data_bytes) {
  const std::string name = path_.string();
  const std::string where = "the header of " + name;
  if (header.empty() || header.front() != '{') fail("{} does not begin with {{", where);
  const json root =
      parse_json(header, where, {.max_bytes = max_header_bytes, .max_depth = 4, .max_values = 4'000'000});

  for (const auto& [key, entry] : root.items()) {
    if (key != "__metadata__") {
      tensors_.push_back(checked_entry(path_, key, entry));
      continue;
    }
    if (!entry.is_object()) fail("__metadata__ of {} is {} instead of an object", name, entry.type_name());
    for (const auto& [field, text] : entry.items()) {
      if (!text.is_string()) {
        fail("the entry {} in __metadata__ of {} is {} instead of a string", quote(field), name,
             text.type_name());
      }
      metadata_[field] = text.get<std::string>();
    }
  }

  // Sorted by their bytes, each tensor must begin where the one before ends: no gap hides bytes, no overlap
  // shares them.
  std::sort(tensors_.begin(), tensors_.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::tie(a.offset, a.size, a.name) < std::tie(b.offset, b.size, b.name);
  });
  uint64_t end = 0;
  for (const TensorInfo& tensor : tensors_) {
    const std::string who = subject(path_, tensor.name);
    if (tensor.size > data_bytes || tensor.offset > data_bytes - tensor.size) {
      fail("{} ends at byte {} of the data, but the file holds only {}; it was cut short", who,
           tensor.offset + tensor.size, data_bytes);
    }
    if (tensor.offset > end) {
      fail("{} begins at byte {}, but the tensor before it ends at {}: no gaps are allowed", who,
           tensor.offset, end);
    }
    if (tensor.offset < end) {
      fail("{} begins at byte {}, inside the tensor before it, which ends at {}", who, tensor.offset, end);
    }
    end = tensor.offset + tensor.size;
  }
  if (end != data_bytes) {
    fail("{} has {} bytes of data that belong to no tensor after byte {}", name, data_bytes - end, end);
  }
  for (size_t i = 0; i < tensors_.size(); ++i) index_[tensors_[i].name] = i;
}

const TensorInfo* SafetensorsFile::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

const TensorInfo& SafetensorsFile::info(std::string_view name) const {
  if (const TensorInfo* tensor = find(name)) return *tensor;
  if (tensors_.empty()) fail("{} holds no tensors, so none named {}", path_.string(), quote(name));
  std::vector<std::string> names;
  for (const TensorInfo& tensor : tensors_) names.push_back(tensor.name);
  fail("{} has no tensor named {}; the nearest is {}", path_.string(), quote(name),
       quote(nearest_name(name, names)));
}

void SafetensorsFile::read_at(const TensorInfo& tensor, uint64_t first, uint64_t bytes, void* out) const {
  if (!read_exactly(fd_, out, bytes, data_start_ + tensor.offset + first)) {
    fail("{} could not be read; the file was cut short while it was open, or the disk failed",
         subject(path_, tensor.name));
  }
}

std::vector<uint8_t> SafetensorsFile::read_bytes(std::string_view name) const {
  const TensorInfo& tensor = info(name);
  std::vector<uint8_t> bytes(tensor.size);
  read_at(tensor, 0, tensor.size, bytes.data());
  return bytes;
}

void SafetensorsFile::read_f32(std::string_view name, std::span<float> out) const {
  const TensorInfo& tensor = info(name);
  if (static_cast<int64_t>(out.size()) != tensor.elements()) {
    fail("{} has shape {}, {} numbers, where {} are wanted", subject(path_, name), shape_text(tensor.shape),
         tensor.elements(), out.size());
  }
  read_f32(tensor, 0, out);
}

void SafetensorsFile::read_f32(const TensorInfo& tensor, uint64_t first, std::span<float> out) const {
  if (tensor.dtype == "F32") return read_at(tensor, first * 4, out.size() * 4, out.data());
  const size_t item = dtype_bytes(tensor.dtype);
  const bool half = tensor.dtype == "F16";
  if (!half && tensor.dtype != "BF16" && tensor.dtype != "F64") {
    fail("{} has dtype {}; floating-point numbers (F32, F16, BF16, F64) are wanted",
         subject(path_, tensor.name), tensor.dtype);
  }
  std::vector<uint8_t> bytes(std::min<size_t>(out.size(), widened_at_once) * item);
  for (size_t done = 0; done < out.size(); done += widened_at_once) {
    const std::span<float> piece = out.subspan(done, std::min(widened_at_once, out.size() - done));
    read_at(tensor, (first + done) * item, piece.size() * item, bytes.data());
    for (size_t i = 0; i < piece.size(); ++i) {
      if (item == 8) {
        double value = 0;
        std::memcpy(&value, bytes.data() + i * 8, 8);
        piece[i] = static_cast<float>(value);
      } else {
        uint16_t bits = 0;
        std::memcpy(&bits, bytes.data() + i * 2, 2);
        piece[i] = half ? half_to_float(bits) : bfloat_to_float(bits);
      }
    }
  }
}

std::vector<float> SafetensorsFile::read_f32(std::string_view name) const {
  std::vector<float> out(static_cast<size_t>(info(name).elements()));
  read_f32(name, out);
  return out;
}

std::vector<int64_t> SafetensorsFile::read_i64(std::string_view name) const {
  const TensorInfo& tensor = info(name);
  std::vector<int64_t> out(static_cast<size_t>(tensor.elements()));
  const std::vector<uint8_t> bytes = read_bytes(name);
  const std::string_view dtype = tensor.dtype;
  if (dtype == "I64") {
    widen<int64_t>(bytes, out);
  } else if (dtype == "I32") {
    widen<int32_t>(bytes, out);
  } else if (dtype == "I16") {
    widen<int16_t>(bytes, out);
  } else if (dtype == "I8") {
    widen<int8_t>(bytes, out);
  } else if (dtype == "U32") {
    widen<uint32_t>(bytes, out);
  } else if (dtype == "U16") {
    widen<uint16_t>(bytes, out);
  } else if (dtype == "U8" || dtype == "BOOL") {
    widen<uint8_t>(bytes, out);
  } else if (dtype == "U64") {
    const std::vector<uint64_t> wide = read_u64(name);
    for (size_t i = 0; i < out.size(); ++i) {
      if (wide[i] > static_cast<uint64_t>(INT64_MAX)) {
        fail("{} holds {}, which is too large for a signed number", subject(path_, name), wide[i]);
      }
      out[i] = static_cast<int64_t>(wide[i]);
    }
  } else {
    fail("{} has dtype {}; whole numbers are wanted", subject(path_, name), tensor.dtype);
  }
  return out;
}

std::vector<uint64_t> SafetensorsFile::read_u64(std::string_view name) const {
  const TensorInfo& tensor = info(name);
  if (tensor.dtype != "U64") fail("{} has dtype {}; U64 is wanted", subject(path_, name), tensor.dtype);
  std::vector<uint64_t> out(static_cast<size_t>(tensor.elements()));
  read_at(tensor, 0, tensor.size, out.data());
  return out;
}

}  // namespace headlight
