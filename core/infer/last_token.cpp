// See last_token.h.
#include "core/infer/last_token.h"

#include <algorithm>

#include "core/base/error.h"

namespace headlight {

namespace {
constexpr int64_t kPlacesAtOnce = 8;
}

int64_t cache_places(int64_t n, int64_t n_positions) {
  return std::min((n / kPlacesAtOnce + 1) * kPlacesAtOnce, std::max(n, n_positions));
}

std::shared_ptr<const Run> LastTokenPass::record(std::span<const int32_t> tokens, const Capture& capture,
                                                 bool fused, const std::atomic<bool>* cancel) {
  if (tokens.empty()) fail("there is no token to run; give at least one");
  const int64_t places = cache_places(static_cast<int64_t>(tokens.size()), model_.config.n_positions);
  if (!decoder_ || decoder_->capacity() != places) {
    // Packed once for all of them.
    const std::shared_ptr<const PackedWeights> packed = decoder_ ? decoder_->packed() : nullptr;
    decoder_.reset();
    held_.clear();
    Decoder::Options options;
    options.capacity = places;
    options.weights = weights_;
    decoder_ = std::make_unique<Decoder>(model_, options, packed);
  }
  const std::span<const int32_t> before = tokens.first(tokens.size() - 1);
  const auto same = std::mismatch(held_.begin(), held_.end(), before.begin(), before.end()).first;
  held_.erase(same, held_.end());
  decoder_->truncate(0, static_cast<int64_t>(held_.size()));
  const std::vector<std::vector<int32_t>> missing = {
      {before.begin() + static_cast<std::ptrdiff_t>(held_.size()), before.end()}};
  decoder_->feed(missing, cancel);
  held_.assign(before.begin(), before.end());
  const std::vector<std::vector<int32_t>> last = {{tokens.back()}};
  auto run = std::make_shared<Run>(*decoder_->record(last, capture, fused));
  held_.push_back(tokens.back());
  run->past.assign(before.begin(), before.end());
  return run;
}

}  // namespace headlight
