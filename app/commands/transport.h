// What the transport (◀ ▶, play, Home, End) moves: the playhead of the pass, or in the Tokens view the
// merges.
#pragma once

#include <cstdint>

#include "app/commands/command.h"

namespace headlight::app {

struct TransportPlace {
  int64_t at = 0, last = 0;
};
/// Where it stands. Without a run and outside the Tokens view it is {0, 0}.
[[nodiscard]] TransportPlace transport_place(const CommandContext& context);

/// True when the transport moves merges.
[[nodiscard]] bool moves_merges(const CommandContext& context);
/// Takes the merges up to `step`, brought into range.
void go_to_merge(CommandContext& context, int64_t step);

}  // namespace headlight::app
