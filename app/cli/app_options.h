// What the window, `render` and `bench frame` share: options that become the session a picture starts from.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "app/frame/app.h"

namespace headlight::cli {

struct AppOptions {
  std::string model, preset, text, prompt, theme, language;
  double scale = 0;  ///< 0: as it is

  /// Adds --model --preset --text --prompt --theme --lang --scale.
  void add_to(CLI::App& command);
  /// Puts what was given into the session. Throws Error on a name that does not exist.
  void apply(app::Session& session) const;
};

}  // namespace headlight::cli
