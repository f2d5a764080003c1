// The sentences of the Pass view.
#include <fmt/format.h>

#include <cmath>

#include "app/views/pass.h"
#include "core/engine/builtin.h"

namespace headlight::app {
namespace {

/// "row 13, “sat”, gives 0.64 to “on”", or what else the run's numbers say about the row.
std::string row_fact(const auto& tr, const PassScene& scene, const Run& run,
                     std::span<const std::string> tokens, int64_t run_row, const Tokenizer* tokenizer) {
  const auto first = static_cast<int64_t>(run.past.size()), row = first + run_row;
  const auto at = static_cast<size_t>(row);
  const std::string token = at < tokens.size() ? axis_text(tokens[at]) : std::to_string(row);
  const auto say = [&](std::string_view key, auto... values) {
    return fmt::format(fmt::runtime(tr(key)), values...);
  };
  if (const auto top = top_of_row(scene, run.text(), run_row, first)) {
    const PassMatrix& m = scene.matrices[static_cast<size_t>(scene.pattern)];
    const auto col = static_cast<size_t>(top->col);
    const std::string value = number_text(top->value, 2);
    if (m.over_tokens()) {
      const std::string to = col < tokens.size() ? axis_text(tokens[col]) : std::to_string(top->col);
      return say(top->earlier ? "pass.row.induction" : "pass.row.pattern", row, token, value, to, top->col);
    }
    if (m.cells.col_axis == "V")
      return say("pass.row.expects", row, token,
                 axis_text(display_token(tokenizer, static_cast<int32_t>(top->col))), value);
  }
  for (const PassLoss& loss : scene.losses) {
    if (loss.position != run_row || !std::isfinite(loss.loss)) continue;
    return say("pass.row.loss", row, token, axis_text(display_token(tokenizer, loss.target)),
               number_text(loss.loss, 2), number_text(loss.probability, 3));
  }
  return say("pass.row.plain", row, token);
}

}  // namespace

PassCaption pass_caption(const Strings& strings, Language language, const PassScene& scene, const Run& run,
                         std::span<const std::string> tokens, std::optional<int64_t> token,
                         const Tokenizer* tokenizer) {
  const auto tr = [&](std::string_view key) -> const std::string& { return strings.get(language, key); };
  PassCaption caption;
  std::string& place = caption.place;
  const auto begin = [&](const std::string& text) { place += (place.empty() ? "" : " · ") + text; };
  if (run.with_cache()) begin(tr("pass.cached"));
  if (scene.phase == Phase::backward) begin(tr("pass.backward"));
  if (scene.phase == Phase::update) begin(tr("pass.update"));
  if (scene.phase == Phase::loss) begin(tr("pass.loss"));
  if (scene.block >= 0) {
    begin(fmt::format(fmt::runtime(tr("pass.block")), scene.block));
  } else if (scene.phase == Phase::forward) {
    bool after_blocks = false;
    for (int i = 0; i < scene.step; ++i) after_blocks = after_blocks || run.program().step(i).block >= 0;
    begin(tr(after_blocks ? "pass.out" : "pass.embed"));
  }
  if (scene.heads > 1)
    place += ", " + fmt::format(fmt::runtime(tr("pass.head")), scene.head, scene.heads - 1);
  if (token && *token < run.program().T())
    place += " · " + row_fact(tr, scene, run, tokens, *token, tokenizer);
  caption.sentence = tr("pass.op." + scene.kind);
  for (const PassNote& note : scene.notes)
    caption.notes.push_back(fmt::format(fmt::runtime(tr(note.key)), note.argument));
  return caption;
}

}  // namespace headlight::app
