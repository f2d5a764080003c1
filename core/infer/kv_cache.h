// Keys and values of the tokens that a model has seen, in a backend's memory: [B,G,S,D] twice for each block,
// allocated once. Decode programs (core/model/builder.h) append to it; owned by a Decoder.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "core/model/config.h"
#include "core/run/external_buffers.h"
#include "kernels/backend.h"

namespace headlight {

class KvCache final : public ExternalBuffers {
 public:
  /// Room for `capacity` tokens of each of B sequences, cleared. Throws Error when there is no memory.
  KvCache(kernels::Backend& backend, const ModelConfig& config, int64_t B, int64_t capacity);
  ~KvCache() override;
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;

  /// Bytes of one.
  [[nodiscard]] static size_t bytes_of(const ModelConfig& config, int64_t B, int64_t capacity);
  [[nodiscard]] size_t bytes() const { return bytes_; }
  [[nodiscard]] int64_t capacity() const { return capacity_; }

  [[nodiscard]] void* memory(std::string_view name) const override;
  bool unpack(std::string_view, std::span<float>) const override { return false; }

 private:
  kernels::Backend& backend_;
  int64_t capacity_;
  size_t bytes_;
  std::byte* memory_ = nullptr;
  std::map<std::string, void*, std::less<>> places_;  ///< by buffer name
};

/// G: heads of keys and values that a config's attention keeps.
[[nodiscard]] int64_t key_value_heads(const ModelConfig& config);

}  // namespace headlight
