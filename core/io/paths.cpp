// See paths.h.
#include "core/io/paths.h"

#include <fmt/format.h>

#include <cstdlib>
#include <string>
#include <system_error>

#include "core/base/error.h"

namespace headlight {

namespace fs = std::filesystem;

namespace {

/// A variable's value when it is an absolute path, else an empty one.
fs::path absolute_path_from(const char* variable) {
  const char* value = std::getenv(variable);
  const fs::path path = value == nullptr ? "" : value;
  return path.is_absolute() ? path : fs::path();
}

fs::path xdg_folder(const char* variable, const char* below_home) {
  fs::path base = absolute_path_from(variable);
  if (base.empty()) {
    const fs::path home = absolute_path_from("HOME");
    if (home.empty())
      fail("there is no folder for Headlight's files: set HOME or {} to an absolute path", variable);
    base = home / below_home;
  }
  return base / "headlight";
}

}  // namespace

fs::path config_folder() { return xdg_folder("XDG_CONFIG_HOME", ".config"); }
fs::path data_folder() { return xdg_folder("XDG_DATA_HOME", ".local/share"); }
fs::path state_folder() { return xdg_folder("XDG_STATE_HOME", ".local/state"); }

std::vector<fs::path> asset_folders() {
  std::vector<fs::path> folders;
  if (const char* given = std::getenv("HEADLIGHT_ASSETS"); given != nullptr && *given != '\0') {
    folders.emplace_back(given);
  }
  std::error_code error;
  const fs::path executable = fs::read_symlink("/proc/self/exe", error);
  if (!error) folders.push_back(executable.parent_path().parent_path() / "share" / "headlight");
  folders.emplace_back(HEADLIGHT_SOURCE_DIR);
  return folders;
}

fs::path find_asset(const fs::path& relative) {
  std::string looked;
  for (const fs::path& folder : asset_folders()) {
    const fs::path candidate = folder / relative;
    std::error_code error;
    if (fs::exists(candidate, error)) return candidate;
    looked += fmt::format("{}{}", looked.empty() ? "" : ", ", folder.string());
  }
  fail("{} was not found in {}; set HEADLIGHT_ASSETS to the folder that holds it", relative.string(), looked);
}

}  // namespace headlight
