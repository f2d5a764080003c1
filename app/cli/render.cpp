// `headlight render`: the window's picture as a PNG, without a display.
#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <thread>

#include "app/cli/app_options.h"
#include "app/cli/subcommands.h"
#include "app/frame/gui_context.h"
#include "app/render/ui_renderer.h"
#include "app/window/offscreen.h"
#include "core/base/error.h"

namespace headlight::cli {
namespace {

struct RenderOptions {
  AppOptions app;
  std::string view = "pass", size = "1920x1080", out, device = "auto", hover;
  std::vector<std::string> commands;
};

std::pair<int, int> parse_size(const std::string& text) {
  int width = 0, height = 0;
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, width);
  if (first.ec == std::errc{} && first.ptr != end && *first.ptr == 'x') {
    const auto second = std::from_chars(first.ptr + 1, end, height);
    if (second.ec == std::errc{} && second.ptr == end && width > 0 && height > 0) return {width, height};
  }
  fail("--size takes WIDTHxHEIGHT, as in 1920x1080, not \"{}\".", text);
}

/// Without a window nobody sees a toast: what the engine refused ends the command.
void fail_on_error(const app::LiveEngine& engine) {
  for (const Notice& notice : engine.snapshot()->notices) {
    if (notice.level == Notice::Level::error) fail("{}", notice.text);
  }
}

void render(const RenderOptions& options) {
  const auto [width, height] = parse_size(options.size);
  const app::Offscreen target(width, height);
  const app::GuiContext gui;
  const app::Strings strings;
  app::LiveEngine engine({.device = options.device, .wake = nullptr});
  app::App app(engine, strings, {});
  options.app.apply(app.session());
  app.start();
  engine.drain();
  fail_on_error(engine);
  app.execute("view." + options.view);
  app::UiRenderer renderer;
  app.set_shares_device([&renderer] { return renderer.shares_device(); });
  double now = 0;
  const auto frames = [&](int count) {
    for (int i = 0; i < count; ++i) {
      now += 1.0 / 60;
      app.frame(now, {static_cast<float>(width), static_cast<float>(height)});
      if (app.take_fonts_changed()) renderer.upload_fonts();
    }
  };
  frames(1);
  for (const std::string& command : options.commands) {
    app.execute(command);
    engine.drain();
    fail_on_error(engine);
    frames(1);
  }
  // What the frames asked to be recorded is there before the picture is taken.
  engine.drain();
  frames(1);
  fail_on_error(engine);
  if (!options.hover.empty()) {
    const app::Control* control = app.controls().find(options.hover);
    if (control == nullptr) fail("There is no control {} in this view to put the pointer on.", options.hover);
    app.input().push(app::MouseMove{control->rect.centre().x, control->rect.centre().y});
  }
  // Motion comes to rest and toasts of opening go before the picture is taken.
  now += 30;
  frames(4);
  while (app.working()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    frames(1);
  }
  renderer.render(*ImGui::GetDrawData(), app.background());
  if (!app.snapshot().run) fail("There is no run to draw: {}", app.toasts().newest());
  app::write_png(options.out, target.read());
}

}  // namespace

void add_render(CLI::App& app) {
  auto options = std::make_shared<RenderOptions>();
  CLI::App* render_command = app.add_subcommand("render", "draw a view into a PNG; needs no display");
  render_command
      ->add_option("--view", options->view, "pass, attention, residual, training, generate or tokens")
      ->check(CLI::IsMember({"pass", "attention", "residual", "training", "generate", "tokens"}));
  render_command->add_option("--exec", options->commands, "command to run first (repeat it for more)")
      ->allow_extra_args(false);
  render_command->add_option("--size", options->size, "WIDTHxHEIGHT in pixels");
  render_command->add_option("--out", options->out, "PNG file to write")->required();
  render_command->add_option("--hover", options->hover, "control to put the pointer on");
  render_command->add_option("--device", options->device, "cpu, cuda or auto")
      ->check(CLI::IsMember({"cpu", "cuda", "auto"}));
  options->app.add_to(*render_command);
  render_command->callback([options] { render(*options); });
}

}  // namespace headlight::cli
