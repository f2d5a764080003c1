// `headlight info`: versions, devices, OpenGL, where files are kept.
#include <GLFW/glfw3.h>
#include <fmt/format.h>
#include <imgui.h>

#include <nlohmann/json.hpp>

#include "app/cli/subcommands.h"
#include "app/window/offscreen.h"
#include "core/engine/builtin.h"
#include "core/io/paths.h"
#include "core/model/presets.h"
#include "kernels/backend.h"

namespace headlight::cli {
namespace {

nlohmann::json collect() {
  nlohmann::json info;
  info["version"] = version();
  info["imgui"] = IMGUI_VERSION;
  info["glfw"] = glfwGetVersionString();
  info["devices"] = nlohmann::json::array();
  std::string no_cuda;
  auto devices = kernels::describe_cuda(no_cuda);
  devices.insert(devices.begin(), kernels::describe_cpu());
  for (const auto& device : devices)
    info["devices"].push_back({{"kind", device.kind},
                               {"name", device.name},
                               {"detail", device.detail},
                               {"memory_bytes", device.memory_bytes}});
  if (!no_cuda.empty()) info["no_cuda"] = no_cuda;
  try {
    const app::Offscreen offscreen(16, 16);
    info["opengl_offscreen"] = offscreen.renderer();
  } catch (const std::exception& error) {
    info["no_opengl_offscreen"] = error.what();
  }
  info["config_folder"] = config_folder().string();
  info["data_folder"] = data_folder().string();
  info["state_folder"] = state_folder().string();
  info["asset_folders"] = nlohmann::json::array();
  for (const auto& folder : asset_folders()) info["asset_folders"].push_back(folder.string());
  info["presets"] = nlohmann::json::array();
  for (const Preset& preset : presets()) {
    const ParameterCount count = count_parameters(preset.config);
    info["presets"].push_back({{"name", preset.name},
                               {"title", preset.title_en},
                               {"parameters", count.total()},
                               {"embedding", count.embedding},
                               {"position", count.position},
                               {"attention", count.attention},
                               {"mlp", count.mlp},
                               {"norm", count.norm},
                               {"unembedding", count.unembedding}});
  }
  info["models"] = builtin_model_names();
  return info;
}

void print(const nlohmann::json& info) {
  fmt::print("headlight {}\nDear ImGui {}\nGLFW {}\n", info["version"].get<std::string>(),
             info["imgui"].get<std::string>(), info["glfw"].get<std::string>());
  for (const auto& device : info["devices"])
    fmt::print("{}: {} ({}, {:.1f} GiB)\n", device["kind"].get<std::string>(),
               device["name"].get<std::string>(), device["detail"].get<std::string>(),
               static_cast<double>(device["memory_bytes"].get<size_t>()) / (1 << 30));
  for (const char* key :
       {"no_cuda", "opengl_offscreen", "no_opengl_offscreen", "config_folder", "data_folder", "state_folder"})
    if (info.contains(key)) fmt::print("{}: {}\n", key, info[key].get<std::string>());
  for (const auto& folder : info["asset_folders"]) fmt::print("assets: {}\n", folder.get<std::string>());
  for (const auto& name : info["models"]) fmt::print("model: {}\n", name.get<std::string>());
  for (const auto& preset : info["presets"]) {
    fmt::print("preset: {} ({}), {} parameters:", preset["name"].get<std::string>(),
               preset["title"].get<std::string>(), preset["parameters"].get<int64_t>());
    for (const char* part : {"embedding", "position", "attention", "mlp", "norm", "unembedding"})
      if (preset[part].get<int64_t>() > 0) fmt::print(" {} {}", part, preset[part].get<int64_t>());
    fmt::print("\n");
  }
}

}  // namespace

std::string version() { return HEADLIGHT_VERSION; }

void add_info(CLI::App& app) {
  auto json = std::make_shared<bool>(false);
  CLI::App* info = app.add_subcommand("info", "versions, devices, where files are kept");
  info->add_flag("--json", *json, "print one JSON value");
  info->callback([json] {
    const nlohmann::json all = collect();
    if (*json)
      fmt::print("{}\n", all.dump(2));
    else
      print(all);
  });
}

}  // namespace headlight::cli
