// See rewrite.h.
#include "core/tape/rewrite.h"

#include <functional>
#include <optional>
#include <utility>

#include "core/base/error.h"
#include "core/ops/ops.h"
#include "core/tape/op.h"
#include "core/tape/rewriter.h"

namespace headlight {

namespace {

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
