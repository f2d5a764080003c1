// See kv_cache.h.
#include "core/infer/kv_cache.h"

#include "core/base/error.h"
#include "core/model/device_memory.h"

namespace headlight {

int64_t key_value_heads(const ModelConfig& config) { return config.kv_heads(); }

size_t KvCache::bytes_of(const ModelConfig& config, int64_t B, int64_t capacity) {
  return static_cast<size_t>(2 * config.n_layer * B * key_value_heads(config) * capacity *
                             config.head_size()) *
         sizeof(float);
}

KvCache::KvCache(kernels::Backend& backend, const ModelConfig& config, int64_t B, int64_t capacity)
    : backend_(backend), capacity_(capacity), bytes_(bytes_of(config, B, capacity)) {
  memory_ = static_cast<std::byte*>(
      allocate_on(backend, bytes_, fmt::format("a cache of {} × {} tokens", B, capacity)));
  // Places that no token has written yet are read by nobody, but a recording shows them.
  backend.clear(memory_, bytes_);
  const size_t each = bytes_ / static_cast<size_t>(2 * config.n_layer);
  for (int64_t l = 0; l < config.n_layer; ++l) {
    places_[fmt::format("blocks.{}.attn.past_k", l)] = memory_ + static_cast<size_t>(2 * l) * each;
    places_[fmt::format("blocks.{}.attn.past_v", l)] = memory_ + static_cast<size_t>(2 * l + 1) * each;
  }
}

KvCache::~KvCache() { backend_.release(memory_); }

void* KvCache::memory(std::string_view name) const {
  const auto found = places_.find(name);
  return found == places_.end() ? nullptr : found->second;
}

}  // namespace headlight
