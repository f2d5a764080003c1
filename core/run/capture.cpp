// See capture.h.
#include "core/run/capture.h"

#include <algorithm>
#include <utility>

namespace headlight {

namespace {

/// A token or a value on the host, however the program stores it.
constexpr size_t kHostBytes = 4;

size_t host_bytes(const ElementRange& range) { return static_cast<size_t>(range.count) * kHostBytes; }

/// What is looked at most often comes first.
int rank_of(const Program& program, const Buffer& buffer) {
  switch (buffer.role) {
    case Role::input:
      return 0;
    case Role::state:
    case Role::activation:
      return 1;
    case Role::gradient: {
      const std::string_view name = buffer.name;
      const auto of = name.ends_with("_grad") ? program.find(name.substr(0, name.size() - 5)) : std::nullopt;
      return of && program.buffer(*of).role == Role::parameter ? 4 : 2;
    }
    case Role::parameter:
      return 3;
    case Role::moment:
    case Role::update:
      break;
  }
  return 5;
}

class Planner {
 public:
  Planner(const Program& program, const Capture& capture, int steps)
      : program_(program), capture_(capture), steps_(steps) {
    const size_t n = program.buffers().size();
    plan_.ranges.resize(n);
    plan_.digests.resize(n, false);
    plan_.statistics.resize(n, false);
    matched_.resize(n, false);
    only_part_.resize(n, false);
    const Program::Range update = program.range(Phase::update);
    updates_ = update.first < std::min(update.last, steps);
  }

  CapturePlan plan() {
    std::vector<BufferId> watched;
    for (const WatchedPart& part : capture_.watched) {
      for (const BufferId id : program_.match(part.glob)) {
        if (!exists(id)) continue;
        note(id);
        watched.push_back(id);
        if (program_.buffer(id).role == Role::input) take(id, whole(id));
      }
    }
    for (const WatchedPart& part : capture_.watched) {
      for (const BufferId id : program_.match(part.glob)) {
        if (!exists(id)) continue;
        take(id, part_range(part, program_.buffer(id).shape));
        if (part.only) only_part_[at(id)] = true;
      }
    }
    take_all(watched);
    for (const std::string& glob : capture_.globs) {
      std::vector<BufferId> ids;
      for (const BufferId id : program_.match(glob)) {
        if (exists(id)) ids.push_back(id);
      }
      take_all(std::move(ids));
    }
    for (const std::string& glob : capture_.digests) {
      for (const BufferId id : program_.match(glob)) {
        if (exists(id) && is_floating(program_.buffer(id).type) && has_score_axes(program_.buffer(id).shape))
          plan_.digests[at(id)] = true;
      }
    }
    for (const BufferId id : watched) {
      plan_.statistics[at(id)] = is_floating(program_.buffer(id).type) && plan_.ranges[at(id)] != whole(id);
    }
    for (const BufferId id : noted_) {
      if (plan_.ranges[at(id)] != whole(id)) plan_.left_out.push_back(program_.buffer(id).name);
    }
    return std::move(plan_);
  }

 private:
  static size_t at(BufferId id) { return static_cast<size_t>(id); }
  [[nodiscard]] ElementRange whole(BufferId id) const { return {0, program_.buffer(id).shape.count()}; }

  /// [B,H,Tq,Tk].
  static bool has_score_axes(const Shape& shape) { return shape.rank() == 4 && shape[1].letter == "H"; }

  /// False for what the steps that are run neither read nor write, and for seeds.
  [[nodiscard]] bool exists(BufferId id) const {
    const Buffer& buffer = program_.buffer(id);
    return buffer.type != ElementType::u64 && buffer.writer < steps_ &&
           (buffer.role != Role::moment || updates_);
  }

  void note(BufferId id) {
    if (matched_[at(id)]) return;
    matched_[at(id)] = true;
    noted_.push_back(id);
    plan_.matched_bytes += host_bytes(whole(id));
  }

  /// Adds a range to what is recorded of a buffer, where the budget allows it.
  void take(BufferId id, ElementRange range) {
    ElementRange& now = plan_.ranges[at(id)];
    if (now.count > 0) {
      const int64_t first = std::min(now.first, range.first);
      range = {first, std::max(now.first + now.count, range.first + range.count) - first};
    }
    const size_t bytes = plan_.bytes - host_bytes(now) + host_bytes(range);
    if (bytes > capture_.budget_bytes) return;
    plan_.bytes = bytes;
    now = range;
  }

  void take_all(std::vector<BufferId> ids) {
    std::stable_sort(ids.begin(), ids.end(), [&](BufferId a, BufferId b) {
      const Buffer &x = program_.buffer(a), &y = program_.buffer(b);
      return std::pair(rank_of(program_, x), x.shape.count()) <
             std::pair(rank_of(program_, y), y.shape.count());
    });
    for (const BufferId id : ids) {
      note(id);
      if (!only_part_[at(id)]) take(id, whole(id));
    }
  }

  const Program& program_;
  const Capture& capture_;
  const int steps_;
  bool updates_ = false;
  CapturePlan plan_;
  std::vector<bool> matched_;
  std::vector<bool> only_part_;  ///< a part asks that nothing else be taken
  std::vector<BufferId> noted_;
};

}  // namespace

ElementRange part_range(const WatchedPart& part, const Shape& shape) {
  const ElementRange all{0, shape.count()};
  const size_t rank = shape.rank();
  if (rank < 2) return all;
  const int64_t cols = shape.last();
  // [B,H,Tq,Tk]: one head is one matrix; [B,T,H,D]: a row is a token's heads; else the last two axes.
  const bool scores = rank == 4 && shape[1].letter == "H";
  const bool by_token = rank == 4 && !scores;
  const int64_t rows = by_token ? shape.size(1) : shape.size(rank - 2);
  const int64_t width = by_token ? shape.size(2) * cols : cols;
  const int64_t last = part.last < 0 ? rows : std::min(part.last, rows);
  const int64_t first = part.rows <= 0 ? 0 : std::max<int64_t>(last - part.rows, 0);
  const int64_t count = (part.rows <= 0 ? rows : last - first) * width;
  if (scores) {
    if (part.head < 0) return all;
    const int64_t head = std::min(part.head, shape.size(1) - 1);
    return {(head * rows + first) * cols, count};
  }
  // A matrix of weights has no batch; of activations the first sequence is looked at.
  return {first * width, count};
}

CapturePlan plan_capture(const Program& program, const Capture& capture, int steps) {
  return Planner(program, capture, steps).plan();
}

}  // namespace headlight
