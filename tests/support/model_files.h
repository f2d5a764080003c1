// Model folders made by hand: every tensor of a small model as values, so that a test can rename, reshape,
// split and damage them before they are written.
#pragma once

#include <fmt/format.h>

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/io/json.h"
#include "core/io/safetensors.h"
#include "core/model/config_json.h"
#include "core/model/parameters.h"

namespace headlight::test {

struct FileTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<float> values;
  std::string dtype = "F32";  ///< F32, F16 (exact values only), BF16, F64 or I32
};

/// The tensors of a model under our own names.
inline std::vector<FileTensor> tensors_of(const Parameters& parameters) {
  std::vector<FileTensor> all;
  for (const Parameters::Entry& entry : parameters.entries()) {
    FileTensor tensor{entry.spec.name, {}, parameters.download(entry.value, entry)};
    for (const Axis& axis : entry.spec.shape.axes()) tensor.shape.push_back(axis.size);
    all.push_back(std::move(tensor));
  }
  return all;
}

/// `value` as it is stored in a dtype. F16 takes values that it holds exactly and that are normal or zero.
inline std::vector<uint8_t> stored_bytes(const FileTensor& tensor) {
  std::vector<uint8_t> bytes;
  const auto put = [&](const void* data, size_t size) {
    const auto* from = static_cast<const uint8_t*>(data);
    bytes.insert(bytes.end(), from, from + size);
  };
  for (const float value : tensor.values) {
    uint32_t bits = 0;
    std::memcpy(&bits, &value, 4);
    if (tensor.dtype == "I32") {
      const auto whole = static_cast<int32_t>(value);
      put(&whole, 4);
    } else if (tensor.dtype == "F64") {
      const double wide = static_cast<double>(value);
      put(&wide, 8);
    } else if (tensor.dtype == "BF16") {
      const auto half = static_cast<uint16_t>(bits >> 16);
      put(&half, 2);
    } else if (tensor.dtype == "F16") {
      const uint32_t exponent = (bits >> 23) & 0xFF;
      const auto half = static_cast<uint16_t>(
          (bits >> 16 & 0x8000) | (exponent == 0 ? 0 : (exponent - 112) << 10 | (bits >> 13 & 0x3FF)));
      put(&half, 2);
    } else {
      put(&value, 4);
    }
  }
  return bytes;
}

inline void write_tensors(const std::filesystem::path& file, const std::vector<FileTensor>& tensors) {
  SafetensorsWriter writer;
  std::vector<std::vector<uint8_t>> memory;
  for (const FileTensor& tensor : tensors) memory.push_back(stored_bytes(tensor));
  for (size_t i = 0; i < tensors.size(); ++i) {
    writer.add_bytes(tensors[i].name, tensors[i].dtype, memory[i], tensors[i].shape);
  }
  writer.set_metadata("format", "pt");
  writer.write(file);
}

/// The tensors over `shards` files with the index that names them.
inline void write_shards(const std::filesystem::path& folder, const std::vector<FileTensor>& tensors,
                         size_t shards) {
  nlohmann::json map = nlohmann::json::object();
  for (size_t s = 0; s < shards; ++s) {
    const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", s + 1, shards);
    std::vector<FileTensor> some;
    for (size_t i = s; i < tensors.size(); i += shards) {
      some.push_back(tensors[i]);
      map[tensors[i].name] = name;
    }
    write_tensors(folder / name, some);
  }
  write_json_file(folder / "model.safetensors.index.json",
                  {{"metadata", {{"total_size", 1}}}, {"weight_map", map}});
}

}  // namespace headlight::test
