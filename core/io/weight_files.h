// The weights of a model folder as one set of tensors: model.safetensors, or the shards that
// model.safetensors.index.json names. Used by core/model/weight_reader.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/io/safetensors.h"

namespace headlight {

/// A tensor and the file that holds it.
struct StoredTensor {
  const SafetensorsFile* file = nullptr;
  const TensorInfo* info = nullptr;
};

class WeightFiles {
 public:
  static constexpr size_t max_shards = 512;

  /// Opens the weights of a folder and checks every header. Shards are named by the index's weight_map; a
  /// name leads to a file beside the index and nowhere else, every tensor of the map is in the shard that it
  /// names, and no tensor lies in two. Throws Error naming file and tensor.
  explicit WeightFiles(const std::filesystem::path& folder);

  /// The file that sentences name: the one file, or the index.
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// An empty one (null pointers) where there is none of that name.
  [[nodiscard]] StoredTensor find(std::string_view name) const;
  [[nodiscard]] bool contains(std::string_view name) const { return find(name).info != nullptr; }
  /// Every tensor by name.
  [[nodiscard]] const std::map<std::string, StoredTensor, std::less<>>& tensors() const { return tensors_; }
  [[nodiscard]] const std::vector<SafetensorsFile>& files() const { return files_; }

 private:
  void open_shards();

  std::filesystem::path path_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, StoredTensor, std::less<>> tensors_;
};

}  // namespace headlight
