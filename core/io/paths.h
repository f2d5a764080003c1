// Where files are kept: XDG folders for what Headlight writes, and the assets that it ships with.
#pragma once

#include <filesystem>
#include <vector>

namespace headlight {

/// Settings: $XDG_CONFIG_HOME/headlight, else ~/.config/headlight. These three name folders without creating
/// them; a variable that is not an absolute path is ignored, as the XDG specification says. Throw Error when
/// neither the variable nor HOME is set.
[[nodiscard]] std::filesystem::path config_folder();
/// Models and corpora: $XDG_DATA_HOME/headlight, else ~/.local/share/headlight.
[[nodiscard]] std::filesystem::path data_folder();
/// Session, recent files, autosave: $XDG_STATE_HOME/headlight, else ~/.local/state/headlight.
[[nodiscard]] std::filesystem::path state_folder();

/// Where assets (models, lessons, shaders) may lie, best first: $HEADLIGHT_ASSETS, ../share/headlight beside
/// the executable, the source tree that this build came from.
[[nodiscard]] std::vector<std::filesystem::path> asset_folders();
/// The first existing asset_folders()/relative ("assets/models/nano"). Throws Error listing where it looked.
[[nodiscard]] std::filesystem::path find_asset(const std::filesystem::path& relative);

}  // namespace headlight
