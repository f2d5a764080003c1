// What the KV-cache duel shows, worked out from the engine's measurements without ImGui.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "core/engine/snapshot.h"

namespace headlight::app {

/// One way of the duel: with the cache, or without.
struct DuelSide {
  double last_ms = 0;        ///< of the newest token
  double total_ms = 0;       ///< of all
  int64_t computed = 0;      ///< tokens that went through the model for the newest one
  int64_t all_computed = 0;  ///< and for all of them
  double kept_mb = 0;        ///< keys and values that stay, now
  double work_mb = 0;        ///< activations of the newest pass
  std::vector<std::pair<int64_t, double>> milliseconds;  ///< by new token, from 1
  std::vector<std::pair<int64_t, double>> megabytes;     ///< kept and work together
};

struct DuelPicture {
  DuelSide cached, plain;
  int64_t prompt = 0, done = 0, asked = 0;
  int64_t differs_at = 0;   ///< the new token, from 1, that the two ways did not agree on; 0: none
  double times_faster = 0;  ///< of all tokens so far; 0 before the first
};
[[nodiscard]] DuelPicture prepare_duel(const DuelState& duel);

}  // namespace headlight::app
