// Ways to look at a run that several views share: a buffer as a matrix with labelled axes, differences of two
// runs, how tokens are written. Pure functions, tested without ImGui.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/render/heat_map.h"
#include "app/session/state.h"
#include "core/engine/snapshot.h"
#include "core/run/run.h"

namespace headlight::app {

/// One matrix of a buffer: of [B,H,Tq,Tk] one head, of [B,T,H,D] one head's columns, of [B,T,C] all of it;
/// the first of the batch. A vector is one row, a scalar one cell.
struct BufferPlane {
  BufferId buffer = no_buffer;
  std::string name;
  Plane plane;                          ///< data is null where the run did not capture the buffer
  int64_t first = 0;                    ///< offset of cell (0, 0) in the buffer
  int64_t first_row = 0, all_rows = 0;  ///< of a window of rows: where it begins, and how many there are
  std::string_view row_axis, col_axis;  ///< their letters ("Tq", "C"); empty for none
  int64_t plane_index = 0;              ///< key of its texture
  bool has_heads = false;

  [[nodiscard]] int64_t offset(int64_t row, int64_t col) const {
    return first + row * plane.row_stride + col * plane.col_stride;
  }
  /// All elements from its first cell to its last.
  [[nodiscard]] ElementRange extent() const {
    return {first, (plane.rows - 1) * plane.row_stride + (plane.cols - 1) * plane.col_stride + 1};
  }
  /// Row and column of a cell of the buffer, nothing when it is not in this plane.
  struct Cell {
    int64_t row, col;
  };
  [[nodiscard]] std::optional<Cell> cell(int64_t offset) const;
};

/// Which rows of a matrix a plane has where the run recorded only some of them.
enum class PlaneRows {
  all,   ///< all of them, without values
  held,  ///< the recorded ones
};

/// `head` is clamped to the heads that there are.
[[nodiscard]] BufferPlane buffer_plane(const Run& run, BufferId buffer, int64_t head,
                                       PlaneRows rows = PlaneRows::all);
[[nodiscard]] std::optional<BufferPlane> buffer_plane(const Run& run, std::string_view name, int64_t head);

/// A plane to draw, with what keeps its values alive: run A's, run B's, or their difference.
struct ComparedPlane {
  BufferPlane a;
  HeatKey key;
  Plane plane;
  std::shared_ptr<const void> owner;
  std::shared_ptr<const float> on_device;  ///< the plane's first cell on the device; may be null
  bool difference = false;
  float low = 0, high = 1;  ///< shared scale over A and B: symmetric about 0 where values are signed
  bool is_signed = false;   ///< wants the diverging colour map
};

/// Rows [first, last) of a plane alone.
void crop_rows(ComparedPlane& shown, int64_t first, int64_t last);

/// What to draw of a buffer under the session's comparison, the rows that are held; falls back to A where B
/// lacks it or its shape differs.
[[nodiscard]] ComparedPlane compared_plane(const std::shared_ptr<const Run>& run, const Pins& pins,
                                           std::string_view name, int64_t head);

/// Smallest and largest finite value; {0, 0} where there is none.
struct ValueRange {
  float low = 0, high = 0;
};
[[nodiscard]] ValueRange finite_range(const Plane& plane);

/// "E1 BA BF".
[[nodiscard]] std::string bytes_hex(std::string_view bytes);
/// Tokens of a prompt as chips write them ("·cat") and as axes do ("cat"); line breaks and tabs made visible,
/// and bytes that are no character as such ("‹E1 BA›").
[[nodiscard]] std::string chip_text(std::string_view token);
[[nodiscard]] std::string axis_text(std::string_view token);
/// Texts of Run::text(); numbers where there is no tokenizer.
[[nodiscard]] std::vector<std::string> token_texts(const Snapshot& snapshot, const Run& run);

/// Places of the cache that a run was made with; 0: it had none.
[[nodiscard]] int64_t cache_capacity(const Run& run);
/// Places of an axis S that a token lies in: of the cache as it was given, or with the new tokens. What lies
/// in the others has no meaning.
[[nodiscard]] int64_t places_in_use(const Run& run, const Buffer& buffer);
/// Captured elements of a range without those of free places; nothing where the buffer has no such places.
[[nodiscard]] std::optional<std::vector<float>> values_in_use(const Run& run, BufferId id,
                                                              const ElementRange& range);

/// What became of a step's outputs between a pinned run and the current one.
enum class StepChange {
  same,     ///< the same bits, or not captured in one of the two
  changed,  ///< another value or another shape
  absent,   ///< the pinned run has no buffer of that name
};
/// By step of `run`. Stops at a buffer's first difference; equal ones are read whole.
[[nodiscard]] std::vector<StepChange> step_changes(const Run& run, const Run& pinned);

/// "blocks.1.attn.hook_pattern" → "pattern", "blocks.0.ln1.hook_scale" → "ln1.scale".
[[nodiscard]] std::string short_name(std::string_view buffer_name);
/// "3.6 kB".
[[nodiscard]] std::string bytes_text(size_t bytes);
/// "110k", "124M".
[[nodiscard]] std::string count_text(int64_t count);
/// "4,120".
[[nodiscard]] std::string grouped_text(int64_t count);
/// Always this many decimals; − as the minus sign, ∞ and NaN by name.
[[nodiscard]] std::string fixed_text(double value, int digits);
/// This many decimals, or powers of ten for values that they do not show, − as the minus sign, ∞ and NaN by
/// name.
[[nodiscard]] std::string number_text(double value, int digits = 3);

}  // namespace headlight::app
