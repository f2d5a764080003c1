// Losses, norms, attributes, notes.
#include "app/views/pass_facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "app/views/pass_names.h"
#include "core/ops/inference.h"
#include "core/ops/ops.h"
#include "core/run/buffer_edit.h"
#include "core/tape/checkpointing.h"

namespace headlight::app {
namespace {

/// Marks the targets; losses by token as the run recorded them.
void add_losses(PassScene& scene, const Run& run, const Step& step) {
  const bool has_loss = scene.layout == PassScene::Layout::loss;
  for (PassMatrix& m : scene.matrices) {
    if (m.cells.col_axis != "V" || m.gradient) continue;
    for (int64_t t = 0; t < m.rows(); ++t) {
      const auto at = static_cast<size_t>(m.first_row + t);
      const int32_t target = at < run.targets.size() ? run.targets[at] : -1;
      if (target >= 0 && target < m.cols()) m.marks.push_back({t, target});
    }
  }
  scene.loss = run.loss;
  scene.uniform_loss = std::log(static_cast<double>(std::max<int64_t>(run.config.vocab_size, 1)));
  if (!has_loss || scene.matrices.empty()) return;
  const auto by_token = run.values(step.outputs[1]);
  const PassMatrix& shown = scene.matrices[0];
  for (int64_t t = shown.first_row; t < shown.first_row + shown.rows(); ++t) {
    const auto at = static_cast<size_t>(t);
    PassLoss loss{t, at < run.targets.size() ? run.targets[at] : -1, NAN, NAN};
    if (loss.target >= 0 && at < by_token.size()) {
      loss.loss = static_cast<double>(by_token[at]);
      loss.probability = std::exp(-loss.loss);
    }
    scene.losses.push_back(loss);
  }
}

void add_norms(PassScene& scene, const Run& run, const Step& step) {
  const bool is_clip = scene.kind == "clip";
  scene.squares = is_clip ? step.inputs[0] : step.outputs[0];
  const auto squares = run.values(scene.squares);
  // The names of the squares are the inputs of the step that wrote them.
  const int writer = run.program().buffer(scene.squares).writer;
  if (writer < 0) return;
  const Step& source = run.program().step(writer);
  for (size_t i = 0; i < source.inputs.size() && i < squares.size(); ++i)
    scene.norms.push_back({forward_name(run.program().buffer(source.inputs[i]).name),
                           std::sqrt(static_cast<double>(squares[i])), static_cast<int64_t>(i)});
  std::stable_sort(scene.norms.begin(), scene.norms.end(),
                   [](const PassNorm& a, const PassNorm& b) { return a.norm > b.norm; });
  scene.norm = scene.clip = std::numeric_limits<double>::quiet_NaN();
  if (!is_clip) return;
  const auto scalar = [&](size_t i) {
    const auto values = run.values(step.outputs[i]);
    return values.empty() ? std::numeric_limits<double>::quiet_NaN() : static_cast<double>(values[0]);
  };
  scene.norm = scalar(0);
  scene.clip = scalar(1);
}

void add_details(PassScene& scene, const Run& run, const Step& step) {
  if (const auto tau = ops::softmax_temperature(*step.op); tau && *tau != 1.0)
    scene.chip_detail = fmt::format("τ = {:.2f}", *tau);
  if (const auto factor = ops::scale_factor(*step.op)) scene.chip_detail = fmt::format("× {:.4g}", *factor);
  if (scene.kind == "adamw") {
    if (const auto schedule = run.values("adamw_schedule"); !schedule.empty())
      scene.chip_detail = fmt::format("lr = {:.3g}", schedule[0]);
  }
  for (size_t i = 0; i < scene.matrices.size(); ++i) {
    const PassMatrix& m = scene.matrices[i];
    if (m.part == PassMatrix::Part::output && scene.kind == "softmax") scene.pattern = static_cast<int>(i);
  }
}

void add_notes(PassScene& scene, const Run& run, const Step& step) {
  const auto note = [&](std::string key, std::string argument = {}) {
    scene.notes.push_back({std::move(key), std::move(argument)});
  };
  const ModelConfig& config = run.config;
  if (scene.kind == "mask" && !config.scale_attn_weights) note("pass.note.no_scale");
  const std::string& name = step.name;
  if (!config.residual && scene.phase == Phase::forward &&
      (name.ends_with("hook_attn_out") || name.ends_with("hook_mlp_out")))
    note("pass.note.no_residual");
  if (scene.kind == "mask" && config.mask == AttentionMask::zero) note("pass.note.zero_mask");
  if (!step.fused_away.empty()) {
    std::string names;
    for (const std::string& gone : step.fused_away) names += (names.empty() ? "" : ", ") + short_name(gone);
    note("pass.note.fused", names);
  }
  if (name.ends_with(again_suffix)) note("pass.note.again");
  for (const Edit& edit : run.edits) {
    const std::vector<BufferId> edited = edited_buffers(run.program(), edit.target);
    if (std::find_first_of(edited.begin(), edited.end(), step.outputs.begin(), step.outputs.end()) !=
        edited.end())
      note("pass.note.edited", edit_text(edit));
  }
  for (const PassMatrix& m : scene.matrices)
    if (m.windowed() && !m.shown.plane.empty()) {
      note("pass.note.rows", fmt::format("{}–{} ∕ {}", m.cells.first_row,
                                         m.cells.first_row + m.cells.plane.rows - 1, m.cells.all_rows));
      break;
    }
  if (const auto packed = ops::packed_weight(*step.op); packed && packed->format == WeightFormat::int8)
    note("pass.note.rounded");
  if (std::isnan(run.loss) && (scene.phase != Phase::forward)) note("pass.note.no_target");
}

}  // namespace

void add_pass_facts(PassScene& scene, const Run& run) {
  const Step& step = run.program().step(scene.step);
  if (scene.layout == PassScene::Layout::loss || scene.kind.ends_with("cross_entropy_grad"))
    add_losses(scene, run, step);
  if (scene.layout == PassScene::Layout::norms) add_norms(scene, run, step);
  add_details(scene, run, step);
  add_notes(scene, run, step);
}

}  // namespace headlight::app
