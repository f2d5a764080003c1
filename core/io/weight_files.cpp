// See weight_files.h.
#include "core/io/weight_files.h"

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/io/json.h"

namespace headlight {

namespace {

constexpr const char* kWhole = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

/// A file beside the index: no folder in the name, so that an index reaches nothing else on the disk.
bool is_plain_name(std::string_view name) {
  return name.size() > std::string_view(".safetensors").size() && name.ends_with(".safetensors") &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

}  // namespace

WeightFiles::WeightFiles(const std::filesystem::path& folder) {
  std::error_code ignored;
  const bool sharded =
      !std::filesystem::exists(folder / kWhole, ignored) && std::filesystem::exists(folder / kIndex, ignored);
  path_ = folder / (sharded ? kIndex : kWhole);
  if (sharded) {
    open_shards();
    return;
  }
  files_.emplace_back(path_);
  for (const TensorInfo& tensor : files_[0].tensors()) tensors_[tensor.name] = {&files_[0], &tensor};
}

void WeightFiles::open_shards() {
  const nlohmann::json root = read_json_file(path_, "index");
  const std::string where = path_.string();
  if (!root.is_object() || !root.contains("weight_map") || !root["weight_map"].is_object()) {
    fail("{} has no \"weight_map\" that says which file holds which tensor", where);
  }
  const nlohmann::json& map = root["weight_map"];
  if (map.empty()) fail("the weight_map of {} names no tensors", where);
  std::map<std::string, size_t, std::less<>> shards;  // file name → index into files_
  for (const auto& [tensor, shard] : map.items()) {
    if (!shard.is_string()) {
      fail("the weight_map of {} gives {} for tensor {} instead of a file's name", where, shard.type_name(),
           quote(tensor));
    }
    const auto& name = shard.get_ref<const std::string&>();
    if (!is_plain_name(name)) {
      fail("the weight_map of {} names the file {} for tensor {}; it must be a .safetensors file beside it",
           where, quote(name), quote(tensor));
    }
    shards.emplace(name, shards.size());
    if (shards.size() > max_shards) fail("{} names more than {} files, so it is not read", where, max_shards);
  }
  files_.reserve(shards.size());  // the tensors' addresses must stay
  for (auto& [name, index] : shards) {
    index = files_.size();
    files_.emplace_back(path_.parent_path() / name);
    const SafetensorsFile& file = files_.back();
    for (const TensorInfo& tensor : file.tensors()) {
      const auto [at, is_new] = tensors_.emplace(tensor.name, StoredTensor{&file, &tensor});
      if (!is_new) {
        fail("tensor {} lies both in {} and in {}; keep one of them", quote(tensor.name),
             at->second.file->path().string(), file.path().string());
      }
    }
  }
  for (const auto& [tensor, shard] : map.items()) {
    const SafetensorsFile& file = files_[shards.at(shard.get_ref<const std::string&>())];
    if (!file.contains(tensor)) {
      fail("{} says that tensor {} lies in {}, but it is not there", where, quote(tensor),
           file.path().string());
    }
  }
}

StoredTensor WeightFiles::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? StoredTensor{} : found->second;
}

}  // namespace headlight
