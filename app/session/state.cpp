// Names of views and look-up of options.
#include "app/session/state.h"

#include <array>

namespace headlight::app {
namespace {

constexpr std::array<std::string_view, view_count> names = {"pass",     "attention", "residual",
                                                            "training", "generate",  "tokens"};

}  // namespace

std::string_view view_name(ViewId id) { return names[static_cast<size_t>(id)]; }

std::optional<ViewId> view_from_name(std::string_view name) {
  for (size_t i = 0; i < names.size(); ++i)
    if (names[i] == name) return static_cast<ViewId>(i);
  return std::nullopt;
}

bool can_use_cache(const ModelConfig& config, const Probe& probe) {
  return config.mask == AttentionMask::causal && probe.edits.empty();
}

std::string SessionState::option(std::string_view key, std::string_view fallback) const {
  const auto it = layout.options.find(key);
  return it == layout.options.end() ? std::string(fallback) : it->second;
}

}  // namespace headlight::app
