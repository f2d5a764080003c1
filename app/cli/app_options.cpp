// From options to the session.
#include "app/cli/app_options.h"

#include <filesystem>

#include "core/base/error.h"

namespace headlight::cli {

void AppOptions::add_to(CLI::App& command) {
  command.add_option("--model", model, "Folder in Hugging Face layout, or a built-in model");
  command.add_option("--preset", preset, "Preset to start a fresh model from");
  command.add_option("--text", text, "UTF-8 text file to train on");
  command.add_option("--prompt", prompt, "Prompt to look at");
  command.add_option("--theme", theme, "dark, light or high-contrast");
  command.add_option("--lang", language, "en or vi");
  command.add_option("--scale", scale, "Zoom, 0.75 to 3");
}

void AppOptions::apply(app::Session& session) const {
  app::Probe& probe = session.state.probe;
  app::Layout& layout = session.state.layout;
  if (!model.empty() && !preset.empty()) fail("Give --model or --preset, not both.");
  if (!model.empty() || !preset.empty()) {
    const app::SessionState fresh;
    const SamplerConfig sampler = probe.sampler;
    probe = {};
    probe.sampler = sampler;
    session.state.playhead = fresh.playhead;
    session.state.selection = fresh.selection;
    session.state.pins = fresh.pins;
    std::error_code error;
    if (!model.empty() && std::filesystem::is_directory(model, error))
      probe.folder = std::filesystem::absolute(model).string();
    else
      probe.preset = model.empty() ? preset : model;
  }
  if (!text.empty()) probe.corpus = std::filesystem::absolute(text).string();
  if (!prompt.empty()) probe.prompt = prompt;
  if (!theme.empty()) {
    const auto kind = app::theme_from_name(theme);
    if (!kind) fail("--theme takes dark, light or high-contrast, not \"{}\".", theme);
    layout.theme = *kind;
  }
  if (!language.empty()) {
    const auto code = app::language_from_code(language);
    if (!code) fail("--lang takes en or vi, not \"{}\".", language);
    layout.language = *code;
  }
  if (scale != 0) {
    if (!(scale >= 0.75 && scale <= 3)) fail("--scale takes 0.75 to 3, not {}.", scale);
    layout.zoom = scale;
  }
}

}  // namespace headlight::cli
