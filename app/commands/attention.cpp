// Commands of the Attention view: which head, and what of it, is looked at. The playhead goes along, so that
// tree and inspector speak of the same buffer.
#include <fmt/format.h>

#include "app/commands/command.h"
#include "app/views/attention_model.h"
#include "core/base/error.h"

namespace headlight::app {
namespace {

AttentionStage chosen_stage(const SessionState& state) {
  return stage_from_name(state.option("attention.stage", "")).value_or(AttentionStage::softmax);
}

/// Stands the playhead on the selected block's stage, where the program has a step for it.
void follow(CommandContext& c) {
  SessionState& state = c.session.state;
  const Program* program = c.program();
  if (program == nullptr) return;
  const auto id = program->find(stage_buffer(state.selection.block, chosen_stage(state)));
  if (!id || program->buffer(*id).writer < 0) return;
  state.playhead.step = program->step(program->buffer(*id).writer).name;
}

}  // namespace

void add_attention_commands(CommandRegistry& r) {
  r.add({.id = "attention.stage",
         .argument = "raw|scaled|mask|softmax",
         .merge = "attention.stage",
         .run = [](CommandContext& c, std::string_view text) {
           const auto stage = stage_from_name(text);
           if (!stage) fail("attention.stage takes raw, scaled, mask or softmax, not \"{}\".", text);
           SessionState& state = c.session.state;
           state.layout.options["attention.stage"] = std::string(text);
           // A playhead that nobody moved stands in the last block; what is seen there stays in view.
           if (state.playhead.step.empty() && c.step() >= 0)
             state.selection.block = std::max(c.program()->step(c.step()).block, 0);
           follow(c);
         }});
  r.add({.id = "attention.select",
         .argument = "BLOCK HEAD",
         .merge = "head",
         .run = [](CommandContext& c, std::string_view text) {
           const Invocation pair = parse_invocation(text);
           const ModelConfig& config = c.snapshot.run ? c.snapshot.run->config : c.snapshot.model.config;
           const auto limit = [](int64_t count) { return std::max<int64_t>(count - 1, 0); };
           Selection& selection = c.session.state.selection;
           const int64_t block = integer_argument("attention.select", pair.id, 0, limit(config.n_layer));
           selection.head =
               static_cast<int>(integer_argument("attention.select", pair.argument, 0, limit(config.n_head)));
           selection.block = static_cast<int>(block);
           follow(c);
         }});
}

}  // namespace headlight::app
