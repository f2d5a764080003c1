// What a run records: globs within a budget of bytes, and the parts that somebody looks at, which come first.
// Planned without running anything; the executor follows the plan, the views ask for what they show.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "core/tape/program.h"

namespace headlight {

/// A part of a buffer that somebody looks at. It is recorded before anything else, and alone where the whole
/// buffer goes over the budget. Parts are of the first sequence of the batch.
struct WatchedPart {
  std::string glob = {};
  int64_t head = -1;  ///< of buffers [B,H,Tq,Tk]; −1: all heads
  int64_t rows = 0;   ///< rows of the matrix; 0: all
  int64_t last = -1;  ///< the row behind the last one; −1: the matrix's end
  bool only = false;  ///< nothing else of the buffer is recorded, also where the budget has room for it
  bool operator==(const WatchedPart&) const = default;
};

/// Which buffers to keep, and how many bytes of them at most. Globs earlier in the list are kept first; among
/// the buffers of one glob inputs and activations come before gradients of activations, these before
/// parameters, their gradients and updates, and small ones before large ones.
struct Capture {
  std::vector<std::string> globs = {"*"};
  size_t budget_bytes = size_t{256} << 20;
  std::vector<WatchedPart> watched = {};
  /// Buffers [B,H,Tq,Tk] of which each head's digest is taken (core/run/head_digest.h), outside the budget.
  std::vector<std::string> digests = {};
  /// What is recorded is also kept on the device, where pictures can be drawn from it.
  bool keep_on_device = false;
  bool operator==(const Capture&) const = default;
};

/// Elements [first, first + count) of a buffer.
struct ElementRange {
  int64_t first = 0, count = 0;
  [[nodiscard]] bool covers(const ElementRange& other) const {
    return first <= other.first && other.first + other.count <= first + count;
  }
  auto operator<=>(const ElementRange&) const = default;
};

/// The elements that a part names; all of them where the buffer's layout has no such part in one piece.
[[nodiscard]] ElementRange part_range(const WatchedPart& part, const Shape& shape);

struct CapturePlan {
  std::vector<ElementRange> ranges;   ///< by buffer; none: count 0
  std::vector<bool> digests;          ///< by buffer
  std::vector<bool> statistics;       ///< by buffer: watched, but not recorded whole
  std::vector<std::string> left_out;  ///< named by the capture, but not recorded whole
  size_t bytes = 0;                   ///< on the host, where every element takes 4 bytes
  size_t matched_bytes = 0;           ///< of everything that the capture names
};

/// `steps`: only so many steps are run; what later ones write is neither recorded nor counted.
[[nodiscard]] CapturePlan plan_capture(const Program& program, const Capture& capture, int steps);

}  // namespace headlight
