// Curves between two columns of tokens, their width and opacity by weight.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "app/widgets/ui.h"

namespace headlight::app {

struct ArcsSpec {
  std::span<const std::string> tokens;
  /// Weight from query i to key j, 0 … 1.
  std::function<float(int64_t query, int64_t key)> weight;
  bool causal = true;            ///< keys after the query are passed over
  std::optional<int64_t> query;  ///< its curves in the colour of keys
  std::optional<int64_t> key;    ///< name in the colour of keys
  float threshold = 0.04f;       ///< lighter curves are left out
};

struct ArcsResult {
  std::optional<int64_t> hovered_query, hovered_key, clicked_query;
};

/// Queries at the left, keys at the right, the curves between them.
ArcsResult token_arcs(const Ui& ui, std::string_view id, const Rect& rect, const ArcsSpec& spec);

/// A curve that leaves and arrives horizontally.
void flow_line(const Ui& ui, ImVec2 from, ImVec2 to, Color color, float width_css);

}  // namespace headlight::app
