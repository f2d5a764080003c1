// See memory_plan.h.
#include "core/run/memory_plan.h"

#include <algorithm>
#include <map>

#include "core/tape/op.h"

namespace headlight {

namespace {

constexpr size_t kAlignment = 64;

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

/// Whether `to` may lie where `from` does: of one size, apart from what only `from` has behind it.
bool same_size(const Buffer& from, const Buffer& to) {
  const auto spare = static_cast<size_t>(from.spare - to.spare) * element_bytes(from.type);
  return from.spare >= to.spare && from.bytes() == to.bytes() + spare;
}

/// Free ranges of the arena by offset; best fit, neighbours merged.
class FreeList {
 public:
  size_t take(size_t bytes) {
    auto best = free_.end();
    for (auto it = free_.begin(); it != free_.end(); ++it) {
      if (it->second >= bytes && (best == free_.end() || it->second < best->second)) best = it;
    }
    if (best == free_.end()) {
      // Grow, from a free range at the very end where there is one.
      size_t start = size_;
      if (!free_.empty()) {
        const auto last = std::prev(free_.end());
        if (last->first + last->second == size_) {
          start = last->first;
          free_.erase(last);
        }
      }
      size_ = start + bytes;
      return start;
    }
    const size_t start = best->first, rest = best->second - bytes;
    free_.erase(best);
    if (rest > 0) free_.emplace(start + bytes, rest);
    return start;
  }

  void give(size_t start, size_t bytes) {
    auto next = free_.lower_bound(start);
    if (next != free_.end() && start + bytes == next->first) {
      bytes += next->second;
      next = free_.erase(next);
    }
    if (next != free_.begin()) {
      const auto before = std::prev(next);
      if (before->first + before->second == start) {
        before->second += bytes;
        return;
      }
    }
    free_.emplace(start, bytes);
  }

  [[nodiscard]] size_t size() const { return size_; }

 private:
  std::map<size_t, size_t> free_;
  size_t size_ = 0;
};

}  // namespace

std::vector<bool> lasting_buffers(const Program& program, int steps) {
  std::vector<bool> kept(program.buffers().size(), false);
  for (const std::string_view name : {"loss", "grad_norm", "grad_squares", "unembed.hook_out"}) {
    if (const auto id = program.find(name)) kept[static_cast<size_t>(*id)] = true;
  }
  // The logits are only kept where no backward pass wants to write over them.
  const Program::Range backward = program.range(Phase::backward);
  if (backward.first < backward.last && (steps < 0 || backward.first < steps))
    kept[static_cast<size_t>(program.require("unembed.hook_out"))] = false;
  return kept;
}

MemoryPlan plan_memory(const Program& program, const std::vector<bool>& kept, const std::vector<bool>& wanted,
                       bool update_in_place, int steps) {
  const size_t n = program.buffers().size();
  if (steps < 0) steps = static_cast<int>(program.steps().size());
  const auto at = [](BufferId id) { return static_cast<size_t>(id); };

  std::vector<int> last_use(n, -1);
  for (int s = 0; s < steps; ++s) {
    for (const BufferId id : program.step(s).inputs) {
      if (id != no_buffer) last_use[at(id)] = s;
    }
    for (const BufferId id : program.step(s).outputs) {
      if (id != no_buffer) last_use[at(id)] = std::max(last_use[at(id)], s);
    }
  }

  MemoryPlan plan;
  plan.offsets.assign(n, MemoryPlan::elsewhere);
  plan.in_place_of.assign(n, no_buffer);
  // Buffers that share a place live until the last of them is done; `tenant` is who holds the place now.
  FreeList arena;
  std::vector<size_t> place_bytes(n, 0);
  std::vector<bool> moved_out(n, false);

  for (size_t i = 0; i < n; ++i) {
    const Buffer& buffer = program.buffers()[i];
    if (buffer.role == Role::input) {
      place_bytes[i] = aligned(buffer.bytes());
      plan.offsets[i] = arena.take(place_bytes[i]);
    }
    if (buffer.writer >= steps) plan.offsets[i] = MemoryPlan::absent;
  }
  for (int s = 0; s < steps; ++s) {
    const Step& step = program.step(s);
    for (size_t o = 0; o < step.outputs.size(); ++o) {
      const BufferId id = step.outputs[o];
      if (id == no_buffer) continue;
      const Buffer& buffer = program.buffer(id);
      const bool read_later = last_use[at(id)] > s;
      if (step.op->output_is_optional(o) && !read_later && !kept[at(id)] && !wanted[at(id)]) {
        plan.offsets[at(id)] = MemoryPlan::absent;
        continue;
      }
      const int reuse = step.op->in_place_input(o);
      const BufferId source = reuse >= 0 ? step.inputs[static_cast<size_t>(reuse)] : no_buffer;
      if (source != no_buffer) {
        const Buffer& from = program.buffer(source);
        // An input that an update writes over carries a state from run to run: inputs never share memory.
        const bool lasting =
            from.role == Role::parameter || from.role == Role::moment || from.role == Role::input;
        if ((lasting && update_in_place && buffer.role == Role::update) || from.role == Role::state) {
          plan.in_place_of[at(id)] = source;
          continue;
        }
        const bool source_free = !lasting && last_use[at(source)] == s && !kept[at(source)] &&
                                 !moved_out[at(source)] && same_size(from, buffer);
        const auto uses = std::count(step.inputs.begin(), step.inputs.end(), source);
        if (source_free && uses == 1) {
          plan.offsets[at(id)] = plan.offsets[at(source)];
          place_bytes[at(id)] = place_bytes[at(source)];
          moved_out[at(source)] = true;
          continue;
        }
      }
      place_bytes[at(id)] = aligned(buffer.bytes());
      plan.offsets[at(id)] = arena.take(place_bytes[at(id)]);
    }
    const auto release = [&](BufferId id) {
      if (id == no_buffer || place_bytes[at(id)] == 0 || last_use[at(id)] != s || kept[at(id)] ||
          moved_out[at(id)])
        return;
      if (program.buffer(id).role == Role::input) return;
      arena.give(plan.offsets[at(id)], place_bytes[at(id)]);
      moved_out[at(id)] = true;
    };
    for (const BufferId id : step.inputs) release(id);
    for (const BufferId id : step.outputs) release(id);
  }
  plan.bytes = arena.size();
  return plan;
}

}  // namespace headlight
