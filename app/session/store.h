// The session as a JSON file in the state folder: saved when it changes, restored at the start. A file that
// cannot be read is set aside as NAME.broken and the defaults are used.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "app/session/session.h"

namespace headlight::app {

[[nodiscard]] nlohmann::json session_to_json(const Session& session);
/// Unknown keys are ignored, missing ones keep their defaults. Throws Error on a value of the wrong kind.
void session_from_json(const nlohmann::json& json, Session& session);

/// session.json in core's state_folder().
[[nodiscard]] std::filesystem::path session_file();

/// Writes atomically, making the folder where needed. Throws Error naming the file.
void save_session(const std::filesystem::path& file, const Session& session);
/// Restores what the file holds; a missing file leaves `session` as it is. Returns a sentence to show when
/// the file was broken and set aside, else nothing.
[[nodiscard]] std::string restore_session(const std::filesystem::path& file, Session& session);

}  // namespace headlight::app
