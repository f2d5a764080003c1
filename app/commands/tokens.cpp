// Commands of the Tokens view: its text, whose merges are taken, and how many.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "app/commands/transport.h"
#include "app/views/merges.h"
#include "core/base/error.h"

namespace headlight::app {
namespace {

/// The text, the mode or the model may have changed since the step was chosen.
MergeScene scene_of(const CommandContext& c) {
  return prepare_merges(merge_request(c.session.state, c.snapshot));
}

}  // namespace

bool moves_merges(const CommandContext& c) { return c.session.state.layout.view == ViewId::tokens; }

TransportPlace transport_place(const CommandContext& c) {
  if (moves_merges(c)) {
    const MergeScene scene = scene_of(c);
    return {scene.step, scene.steps};
  }
  if (c.step() < 0) return {};
  return {c.step(), static_cast<int64_t>(c.program()->steps().size()) - 1};
}

void go_to_merge(CommandContext& c, int64_t step) {
  const int64_t last = scene_of(c).steps;
  c.session.state.layout.options["tokens.step"] = std::to_string(std::clamp<int64_t>(step, 0, last));
}

void add_tokens_commands(CommandRegistry& r) {
  r.add({.id = "tokens.text",
         .argument = "TEXT",
         .merge = "tokens.text",
         .run = [](CommandContext& c, std::string_view text) {
           auto& options = c.session.state.layout.options;
           options["tokens.text"] = std::string(text);
           options["tokens.step"] = std::to_string(0);
         }});
  r.add({.id = "tokens.step",
         .argument = "STEP",
         .merge = "step",
         .run = [](CommandContext& c, std::string_view text) {
           go_to_merge(c, integer_argument("tokens.step", text, 0, std::numeric_limits<int64_t>::max()));
         }});
  r.add(
      {.id = "tokens.merges", .argument = "learn|model", .run = [](CommandContext& c, std::string_view text) {
         if (text != "learn" && text != "model")
           fail("tokens.merges takes learn or model, not \"{}\".", text);
         if (text == "model" && byte_pairs(c.snapshot) == nullptr) {
           fail(
               "This model has no byte-pair merges: its tokens are {}. Open one with a byte-level BPE "
               "tokenizer.",
               c.snapshot.model.tokenizer ? c.snapshot.model.tokenizer->kind() : "numbers");
         }
         auto& options = c.session.state.layout.options;
         options["tokens.merges"] = std::string(text);
         options["tokens.step"] = std::to_string(0);
       }});
}

}  // namespace headlight::app
