// From the session's state to a capture.
#include "app/session/watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string_view>

namespace headlight::app {
namespace {

/// Weights and logits of a large vocabulary take 150 MB and more; everything else that one step reads and
/// writes finds room beside them.
constexpr size_t budget = size_t{512} << 20;
/// Of a larger matrix with a row for each token, as many rows as fit into half of this are asked for, around
/// the token under consideration: a class reads one row at a time, and a frame has no time for 50 M cells.
constexpr int64_t largest_whole = int64_t{8} << 20;  // cells

bool has_score_axes(const Shape& shape) { return shape.rank() == 4 && shape[1].letter == "H"; }

/// What a wish looks at: the head of scores, the row of what is too large.
struct Focus {
  int64_t head = 0;
  std::optional<int64_t> token = {};
};

/// Rows around the token, in steps of half their number, so that neighbours share a recording; the last rows
/// where no token is chosen.
void keep_rows(WatchedPart& part, int64_t T, int64_t width, std::optional<int64_t> token) {
  part.only = true;
  part.rows = std::clamp<int64_t>(largest_whole / 2 / width, 1, T);
  const int64_t step = std::max<int64_t>(part.rows / 2, 1);
  if (token) part.last = std::min(std::max<int64_t>(*token / step * step - step / 2, 0) + part.rows, T);
}

void watch(Capture& capture, const Run& run, BufferId id, const Focus& focus) {
  if (id == no_buffer) return;
  const Buffer& buffer = run.program().buffer(id);
  const Shape& shape = buffer.shape;
  WatchedPart part{.glob = buffer.name};
  const bool by_token = shape.rank() == 3 && shape[1].letter == "T" && shape.size(1) > 1;
  if (has_score_axes(shape)) part.head = focus.head;
  if (by_token && shape.size(1) * shape.last() > largest_whole)
    keep_rows(part, shape.size(1), shape.last(), focus.token);
  if (std::find(capture.watched.begin(), capture.watched.end(), part) == capture.watched.end())
    capture.watched.push_back(std::move(part));
}

void watch_step(Capture& capture, const Run& run, int step, const Focus& focus) {
  const Program& program = run.program();
  for (const BufferId id : program.step(step).outputs) watch(capture, run, id, focus);
  for (const BufferId id : program.step(step).inputs) watch(capture, run, id, focus);
  // A gradient is shown beside the value that it belongs to.
  for (const BufferId id : program.step(step).outputs) {
    if (id == no_buffer) continue;
    const std::string_view name = program.buffer(id).name;
    if (name.ends_with("_grad"))
      if (const auto of = program.find(name.substr(0, name.size() - 5))) watch(capture, run, *of, focus);
  }
}

/// The row that the pinned cell lies in.
std::optional<int64_t> chosen_token(const SessionState& state, const Run& run) {
  const auto& cell = state.pins.cell;
  if (!cell) return std::nullopt;
  const auto id = run.program().find(cell->buffer);
  if (!id || cell->offset < 0 || cell->offset >= run.program().buffer(*id).shape.count()) return std::nullopt;
  return token_of_cell(run.program().buffer(*id), cell->offset);
}

std::string_view stage_hook(const SessionState& state) {
  const std::string stage = state.option("attention.stage", "softmax");
  return stage == "raw"      ? "hook_scores_raw"
         : stage == "scaled" ? "hook_scores_scaled"
         : stage == "mask"   ? "hook_attn_scores"
                             : "hook_pattern";
}

}  // namespace

int shown_block(const SessionState& state, const Run& run, int step, int block) {
  const bool unmoved = state.playhead.step.empty() && step >= 0;
  return unmoved ? std::max(run.program().step(step).block, 0) : block;
}

SetCapture wanted_capture(const SessionState& state, const Run& run, int step, int block, int head) {
  SetCapture wanted;
  Capture& capture = wanted.capture;
  capture.budget_bytes = budget;
  const Program& program = run.program();
  const Focus focus{head, chosen_token(state, run)};
  if (step >= 0) {
    watch_step(capture, run, step, focus);
    if (const Phase phase = program.step(step).phase; phase > Phase::loss) wanted.last = phase;
  }
  if (state.layout.view == ViewId::attention) {
    const std::string_view hook = stage_hook(state);
    for (const std::string_view name : {std::string_view("hook_pattern"), hook})
      if (const auto id =
              program.find(fmt::format("blocks.{}.attn.{}", shown_block(state, run, step, block), name)))
        watch(capture, run, *id, focus);
    capture.digests = {fmt::format("blocks.*.attn.{}", hook)};
  }
  if (state.layout.view == ViewId::residual) {
    for (const char* glob : {"blocks.*.hook_resid_*", "blocks.*.hook_attn_out", "blocks.*.hook_mlp_out"})
      for (const BufferId id : program.match(glob))
        if (program.buffer(id).role == Role::activation) watch(capture, run, id, focus);
  }
  if (const auto& cell = state.pins.cell) {
    const auto id = program.find(cell->buffer);
    if (id && cell->offset >= 0 && cell->offset < program.buffer(*id).shape.count()) {
      const Buffer& buffer = program.buffer(*id);
      const Focus of{has_score_axes(buffer.shape) ? buffer.shape.index(cell->offset)[1] : head, focus.token};
      watch(capture, run, *id, of);
      if (buffer.writer >= 0) {
        watch_step(capture, run, buffer.writer, of);
        const Phase phase = program.step(buffer.writer).phase;
        if (phase > Phase::loss) wanted.last = std::max(wanted.last.value_or(phase), phase);
      }
    }
  }
  return wanted;
}

std::optional<int64_t> token_of_cell(const Buffer& buffer, int64_t offset) {
  const auto index = buffer.shape.index(offset);
  for (size_t i = 0; i < index.size(); ++i)
    if (buffer.shape[i].letter == "Tq" || buffer.shape[i].letter == "T") return index[i];
  return std::nullopt;
}

ReadLens wanted_lens(const SessionState& state) {
  ReadLens lens;
  lens.on = state.layout.view == ViewId::residual;
  const std::string token = state.option("residual.token", "");
  if (lens.on) std::from_chars(token.data(), token.data() + token.size(), lens.column);
  return lens;
}

bool holds(const Run& run, const SetCapture& wanted) {
  if (wanted.capture.keep_on_device && !run.capture.keep_on_device) return false;
  const Program& program = run.program();
  if (wanted.last && run.steps_run < program.range(*wanted.last).last) return false;
  for (const WatchedPart& part : wanted.capture.watched) {
    for (const BufferId id : program.match(part.glob)) {
      const Buffer& buffer = program.buffer(id);
      if (is_floating(buffer.type) && !run.has(id, part_range(part, buffer.shape))) return false;
    }
  }
  for (const std::string& glob : wanted.capture.digests) {
    for (const BufferId id : program.match(glob)) {
      if (has_score_axes(program.buffer(id).shape) && run.digest(id, 0) == nullptr && !run.has(id))
        return false;
    }
  }
  return true;
}

bool made_for(const Run& run, const SetCapture& wanted) {
  const auto within = [](const auto& some, const auto& all) {
    return std::all_of(some.begin(), some.end(),
                       [&](const auto& one) { return std::find(all.begin(), all.end(), one) != all.end(); });
  };
  return within(wanted.capture.watched, run.capture.watched) &&
         within(wanted.capture.digests, run.capture.digests) &&
         (!wanted.last || run.steps_run >= run.program().range(*wanted.last).last);
}

bool holds_step(const Run& run, int step) {
  const auto& outputs = run.program().step(step).outputs;
  return std::all_of(outputs.begin(), outputs.end(), [&](BufferId id) {
    return id == no_buffer || run.recorded[static_cast<size_t>(id)] != nullptr;
  });
}

}  // namespace headlight::app
