// See rewrite.h.
#include "core/tape/rewrite.h"

#include <functional>
#include <optional>
#include <utility>

#include "core/base/error.h"
#include "core/ops/ops.h"
#include "core/tape/op.h"

namespace headlight {

namespace {

/// Copies a program step by step into a new one and lets a rule put another step in place of a run of steps.
class Rewriter {
 public:
  explicit Rewriter(const Program& from)
      : from_(from), to_(from.B(), from.T()), map_(from.buffers().size(), no_buffer) {
    for (size_t i = 0; i < from.buffers().size(); ++i) {
      const Buffer& buffer = from.buffers()[i];
      if (buffer.writer < 0) map_[i] = to_.declare(buffer.name, buffer.shape, buffer.role, buffer.type);
    }
  }

  void copy(int i) { replace(i, i + 1, from_.step(i).op, from_.step(i).inputs, from_.step(i).outputs); }

  /// Steps [first, last) become `op` on old `inputs`, writing old `outputs` (no_buffer: under a name of
  /// `extra`).
  void replace(int first, int last, std::shared_ptr<const Op> op, const std::vector<BufferId>& inputs,
               const std::vector<BufferId>& outputs, const std::vector<std::string>& extra = {}) {
    const Step& step = from_.step(first);
    to_.enter(step.phase, step.block);
    std::vector<BufferId> mapped;
    for (const BufferId id : inputs)
      mapped.push_back(id == no_buffer ? no_buffer : map_[static_cast<size_t>(id)]);
    std::vector<std::string> names;
    size_t next_extra = 0;
    for (const BufferId id : outputs) {
      names.push_back(id != no_buffer             ? from_.buffer(id).name
                      : next_extra < extra.size() ? extra[next_extra++]
                                                  : "");
    }
    const std::vector<BufferId> written = to_.append(std::move(op), mapped, names);
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i] != no_buffer) map_[static_cast<size_t>(outputs[i])] = written[i];
    }
    std::vector<std::string> gone = step.fused_away;
    for (int s = first; s < last; ++s) {
      for (const BufferId id : from_.step(s).outputs) {
        if (id != no_buffer && map_[static_cast<size_t>(id)] == no_buffer)
          gone.push_back(from_.buffer(id).name);
      }
    }
    to_.note_fused_away(std::move(gone));
  }

  /// A step of its own in front of what replaces step `like`; reads old `inputs`.
  BufferId insert(const Step& like, std::shared_ptr<const Op> op, const std::vector<BufferId>& inputs,
                  std::string name) {
    to_.enter(like.phase, like.block);
    std::vector<BufferId> mapped;
    for (const BufferId id : inputs) mapped.push_back(map_[static_cast<size_t>(id)]);
    return to_.apply(std::move(op), std::move(mapped), std::move(name));
  }
  /// What reads the old buffer from now on reads the new one. Returns what it read before.
  BufferId redirect(BufferId old_buffer, BufferId new_buffer) {
    return std::exchange(map_[static_cast<size_t>(old_buffer)], new_buffer);
  }

  [[nodiscard]] std::shared_ptr<const Program> finish() {
    for (const auto& [name, id] : from_.aliases()) {
      if (map_[static_cast<size_t>(id)] != no_buffer) to_.alias(name, map_[static_cast<size_t>(id)]);
    }
    return to_.finish();
  }

 private:
  const Program& from_;
  ProgramBuilder to_;
  std::vector<BufferId> map_;
};

bool used_outside(const Program& program, BufferId id, int first, int last) {
  for (int s = 0; s < static_cast<int>(program.steps().size()); ++s) {
    if (s >= first && s < last) continue;
    for (const BufferId input : program.step(s).inputs) {
      if (input == id) return true;
    }
  }
  return false;
}

/// The attention of one block as the builder wrote it.
struct AttentionRun {
  int last = 0;  ///< one behind merge_heads
  int64_t H = 0, H_kv = 0, D = 0;
  BufferId cosine = no_buffer, sine = no_buffer;  ///< where queries and keys are turned
  double scale = 1.0;
  kernels::MaskKind mask = kernels::MaskKind::none;
};

std::optional<AttentionRun> match_attention(const Program& program, int first) {
  const int n = static_cast<int>(program.steps().size());
  if (program.step(first).op->kind() != "split_heads") return std::nullopt;
  AttentionRun run;
  run.H = program.buffer(program.step(first).outputs[0]).shape.size(2);
  run.H_kv = program.buffer(program.step(first).outputs[1]).shape.size(2);
  run.D = program.buffer(program.step(first).outputs[0]).shape.size(3);
  static constexpr std::string_view order[] = {"rope", "rope",    "scores",       "scale",
                                               "mask", "softmax", "weighted_sum", "merge_heads"};
  size_t expected = 0;
  int s = first + 1;
  for (; s < n && expected < std::size(order); ++s) {
    const std::string_view kind = program.step(s).op->kind();
    while (expected < std::size(order) && order[expected] != kind &&
           (order[expected] == "rope" || order[expected] == "scale" || order[expected] == "mask")) {
      ++expected;
    }
    if (expected == std::size(order) || order[expected] != kind) return std::nullopt;
    const Op& op = *program.step(s).op;
    if (kind == "rope") {
      run.cosine = program.step(s).inputs[1];
      run.sine = program.step(s).inputs[2];
    }
    if (kind == "scale") run.scale *= *ops::scale_factor(op);
    if (kind == "softmax") run.scale /= *ops::softmax_temperature(op);
    if (kind == "mask") {
      const auto mask = ops::plain_mask_kind(op);
      if (!mask || (*mask != kernels::MaskKind::causal && *mask != kernels::MaskKind::none))
        return std::nullopt;
      run.mask = *mask;
    }
    ++expected;
  }
  if (expected != std::size(order)) return std::nullopt;
  run.last = s;
  for (int i = first; i < run.last - 1; ++i) {
    for (const BufferId id : program.step(i).outputs) {
      if (used_outside(program, id, first, run.last)) return std::nullopt;
    }
  }
  return run;
}

/// Mask cells and temperatures of one edit put into `op`, or null where the op is another one.
std::shared_ptr<const Op> edited_op(const Op& op, const Edit& edit) {
  if (edit.kind == Edit::Kind::mask_cell)
    return ops::with_mask_cell(op, {edit.head, edit.query, edit.key, edit.open});
  return ops::with_temperature(op, edit.factor);
}

/// Throws unless the mask cell of `edit` lies in scores of this shape [B,H,Tq,Tk].
void check_cell(const Edit& edit, const Shape& scores) {
  const int64_t H = scores.size(1), T = scores.size(2);
  if (edit.query >= T || edit.key >= T || edit.head >= H) {
    fail(
        "edit \"{}\" names a cell outside the {} heads of {} × {} tokens; heads, queries and keys count from "
        "0",
        edit_text(edit), H, T, T);
  }
}

bool is_op_edit(const Edit& edit) {
  return edit.kind == Edit::Kind::mask_cell || edit.kind == Edit::Kind::temperature;
}

}  // namespace

std::shared_ptr<const Program> fuse_attention(const Program& forward) {
  Rewriter rewriter(forward);
  for (int s = 0; s < static_cast<int>(forward.steps().size()); ++s) {
    const auto run = match_attention(forward, s);
    if (!run) {
      rewriter.copy(s);
      continue;
    }
    const std::string& first_name = forward.step(s).name;  // blocks.0.attn.hook_q
    const std::string prefix = first_name.substr(0, first_name.rfind('.') + 1);
    const Step& split = forward.step(s);
    const BufferId qkv = split.inputs[0];
    BufferId plain = no_buffer;
    if (run->cosine != no_buffer) {
      // Queries and keys are turned where they lie side by side.
      const BufferId turned = rewriter.insert(split, ops::rope(run->D, run->H + run->H_kv),
                                              {qkv, run->cosine, run->sine}, prefix + "hook_qkv_rot");
      plain = rewriter.redirect(qkv, turned);
    }
    rewriter.replace(s, run->last, ops::attention(run->H, run->H_kv, run->scale, run->mask), split.inputs,
                     {forward.step(run->last - 1).outputs[0], no_buffer}, {prefix + "hook_lse"});
    if (plain != no_buffer) rewriter.redirect(qkv, plain);
    s = run->last - 1;
  }
  return rewriter.finish();
}

std::shared_ptr<const Program> fuse_cross_entropy(const Program& forward) {
  Rewriter rewriter(forward);
  const int n = static_cast<int>(forward.steps().size());
  for (int s = 0; s < n; ++s) {
    const Step& step = forward.step(s);
    const bool matches =
        step.op->kind() == "softmax" && s + 1 < n && forward.step(s + 1).op->kind() == "cross_entropy" &&
        forward.step(s + 1).inputs[0] == step.outputs[0] && !used_outside(forward, step.outputs[0], s, s + 2);
    if (!matches) {
      rewriter.copy(s);
      continue;
    }
    const Step& loss = forward.step(s + 1);
    rewriter.replace(s, s + 2, ops::softmax_cross_entropy(), {step.inputs[0], loss.inputs[1]},
                     {loss.outputs[0], loss.outputs[1], no_buffer}, {"logits_lse"});
    ++s;
  }
  return rewriter.finish();
}

std::shared_ptr<const Program> fuse(const Program& forward) {
  return fuse_cross_entropy(*fuse_attention(forward));
}

std::shared_ptr<const Program> apply_op_edits(const Program& forward, const std::vector<Edit>& edits) {
  std::vector<bool> used(edits.size(), false);
  Rewriter rewriter(forward);
  for (int s = 0; s < static_cast<int>(forward.steps().size()); ++s) {
    const Step& step = forward.step(s);
    std::shared_ptr<const Op> op = step.op;
    for (size_t e = 0; e < edits.size(); ++e) {
      if (!is_op_edit(edits[e]) || !glob_matches(edits[e].target, step.name)) continue;
      if (auto changed = edited_op(*op, edits[e])) {
        if (edits[e].kind == Edit::Kind::mask_cell)
          check_cell(edits[e], forward.buffer(step.outputs[0]).shape);
        op = std::move(changed);
        used[e] = true;
      }
    }
    rewriter.replace(s, s + 1, op, step.inputs, step.outputs);
  }
  for (size_t e = 0; e < edits.size(); ++e) {
    if (!is_op_edit(edits[e]) || used[e]) continue;
    const bool is_mask = edits[e].kind == Edit::Kind::mask_cell;
    fail("edit \"{}\" finds no {} to change; name one like \"blocks.0.attn.{}\"", edit_text(edits[e]),
         is_mask ? "mask" : "softmax", is_mask ? "hook_attn_scores" : "hook_pattern");
  }
  return rewriter.finish();
}

}  // namespace headlight
