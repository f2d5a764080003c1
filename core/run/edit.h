// Edits: interventions that a run is repeated with. "blocks.1.attn.hook_z:head=2:zero".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace headlight {

/// One intervention on the buffers that match `target`.
struct Edit {
  enum class Kind {
    zero,         ///< write 0
    scale,        ///< multiply by `factor`
    replace,      ///< write `values` (as many as the buffer, or the head, has)
    mask_cell,    ///< open or close key `key` for query `query` in the mask
    temperature,  ///< τ of the softmax that writes the target
  } kind = Kind::zero;
  std::string target;   ///< glob over buffer names
  int64_t head = -1;    ///< one head of a buffer that has an H axis; −1: all
  double factor = 1.0;  ///< for scale and temperature
  std::vector<float> values;
  int64_t query = 0, key = 0;  ///< for mask_cell
  bool open = false;           ///< for mask_cell: true lets the query look at the key
  bool operator==(const Edit&) const = default;
};

/// Reads TARGET[:head=N]:zero | :scale=F | :replace=F[,F…] | :mask=Q,K,open|closed | :temperature=F.
[[nodiscard]] Edit parse_edit(std::string_view text);
/// The same form back.
[[nodiscard]] std::string edit_text(const Edit& edit);

}  // namespace headlight
