// See safetensors.h: the writing half, and the dtypes.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/io/atomic_file.h"
#include "core/io/safetensors.h"
#include "core/io/safetensors_dtype.h"

namespace headlight {

namespace {

struct Dtype {
  std::string_view name;
  uint64_t bytes;
};
constexpr std::array<Dtype, 15> dtypes{{{"F64", 8},
                                        {"F32", 4},
                                        {"F16", 2},
                                        {"BF16", 2},
                                        {"F8_E4M3", 1},
                                        {"F8_E5M2", 1},
                                        {"I64", 8},
                                        {"I32", 4},
                                        {"I16", 2},
                                        {"I8", 1},
                                        {"U64", 8},
                                        {"U32", 4},
                                        {"U16", 2},
                                        {"U8", 1},
                                        {"BOOL", 1}}};

template <class T>
std::span<const uint8_t> as_bytes_of(std::span<const T> values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()};
}

}  // namespace

uint64_t dtype_bytes(std::string_view dtype) {
  const auto* found =
      std::find_if(dtypes.begin(), dtypes.end(), [&](const Dtype& d) { return d.name == dtype; });
  return found == dtypes.end() ? 0 : found->bytes;
}

std::string known_dtypes() {
  std::string out;
  for (const Dtype& dtype : dtypes) out += fmt::format("{}{}", out.empty() ? "" : ", ", dtype.name);
  return out;
}

void SafetensorsWriter::add_entry(TensorInfo info) {
  const uint64_t item = dtype_bytes(info.dtype);
  if (item == 0)
    fail("tensor {} cannot be saved with the unknown dtype {}", quote(info.name), quote(info.dtype));
  if (info.name == "__metadata__")
    fail("no tensor can be named __metadata__; safetensors keeps that name for itself");
  if (valid_utf8_length(info.name) != info.name.size())
    fail("the tensor name {} is not UTF-8", quote(info.name));
  for (const Entry& entry : entries_) {
    if (entry.info.name == info.name) fail("two tensors to be saved have the name {}", quote(info.name));
  }
  info.size = item;
  for (const int64_t n : info.shape) {
    if (n < 0 || __builtin_mul_overflow(info.size, static_cast<uint64_t>(n), &info.size)) {
      fail("tensor {} cannot be saved with shape {}", quote(info.name), shape_text(info.shape));
    }
  }
  info.offset = data_bytes_;
  data_bytes_ += info.size;
  entries_.push_back({std::move(info), nullptr, nullptr});
}

void SafetensorsWriter::add_bytes(std::string name, std::string dtype, std::span<const uint8_t> bytes,
                                  std::vector<int64_t> shape) {
  add_entry({std::move(name), std::move(dtype), std::move(shape), 0, 0});
  Entry& entry = entries_.back();
  if (entry.info.size != bytes.size()) {
    const TensorInfo info = entry.info;
    data_bytes_ -= info.size;
    entries_.pop_back();
    fail("tensor {} has {} bytes, but its shape {} of {} needs {}", quote(info.name), bytes.size(),
         shape_text(info.shape), info.dtype, info.size);
  }
  entry.data = bytes.data();
}

void SafetensorsWriter::add_streamed(std::string name, std::vector<int64_t> shape,
                                     std::function<void(const Sink&)> produce) {
  add_entry({std::move(name), "F32", std::move(shape), 0, 0});
  entries_.back().produce = std::move(produce);
}

void SafetensorsWriter::add(std::string name, std::span<const float> values, std::vector<int64_t> shape) {
  add_bytes(std::move(name), "F32", as_bytes_of(values), std::move(shape));
}

void SafetensorsWriter::add(std::string name, std::span<const int32_t> values, std::vector<int64_t> shape) {
  add_bytes(std::move(name), "I32", as_bytes_of(values), std::move(shape));
}

void SafetensorsWriter::add(std::string name, std::span<const int64_t> values, std::vector<int64_t> shape) {
  add_bytes(std::move(name), "I64", as_bytes_of(values), std::move(shape));
}

void SafetensorsWriter::add(std::string name, std::span<const uint64_t> values, std::vector<int64_t> shape) {
  add_bytes(std::move(name), "U64", as_bytes_of(values), std::move(shape));
}

void SafetensorsWriter::set_metadata(std::string key, std::string value) {
  metadata_[std::move(key)] = std::move(value);
}

std::string SafetensorsWriter::header() const {
  nlohmann::ordered_json root = nlohmann::ordered_json::object();
  if (!metadata_.empty()) root["__metadata__"] = metadata_;
  for (const Entry& entry : entries_) {
    root[entry.info.name] = {{"dtype", entry.info.dtype},
                             {"shape", entry.info.shape},
                             {"data_offsets", {entry.info.offset, entry.info.offset + entry.info.size}}};
  }
  std::string text = root.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  // Spaces up to a multiple of 8, so that tensors lie aligned in a mapped file.
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

uint64_t SafetensorsWriter::file_size() const { return 8 + header().size() + data_bytes_; }

void SafetensorsWriter::write(const std::filesystem::path& file, bool keep_previous) const {
  const std::string text = header();
  const uint64_t length = text.size();
  if (length > SafetensorsFile::max_header_bytes) {
    fail("{} cannot be saved: the names of its tensors need a header of {} bytes, above the format's {}",
         file.string(), length, SafetensorsFile::max_header_bytes);
  }
  AtomicFile out(file);
  out.write(&length, sizeof length);
  out.write(text.data(), text.size());
  for (const Entry& entry : entries_) {
    if (!entry.produce) {
      out.write(entry.data, entry.info.size);
      continue;
    }
    uint64_t written = 0;
    entry.produce([&](std::span<const float> values) {
      written += values.size_bytes();
      if (written <= entry.info.size) out.write(values.data(), values.size_bytes());
    });
    if (written != entry.info.size) {
      fail("tensor {} was given {} bytes, but its shape {} needs {}", quote(entry.info.name), written,
           shape_text(entry.info.shape), entry.info.size);
    }
  }
  out.commit(keep_previous);
}

}  // namespace headlight
