// JSON both ways, key by key.
#include "app/session/store.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/io/atomic_file.h"
#include "core/io/json.h"
#include "core/io/paths.h"
#include "core/model/config_json.h"

namespace headlight::app {
namespace {

using nlohmann::json;

constexpr uint64_t largest_file = uint64_t{4} << 20;

json layout_to_json(const Layout& l) {
  return {{"view", view_name(l.view)},
          {"theme", theme_name(l.theme)},
          {"language", language_code(l.language)},
          {"zoom", l.zoom},
          {"color_map", color_map_name(l.magnitudes)},
          {"motion", l.motion},
          {"presenter", l.presenter},
          {"tree", l.tree},
          {"inspector", l.inspector},
          {"bottom", l.bottom},
          {"toggled_groups", l.toggled_groups},
          {"options", l.options}};
}

/// Reads json[key] into `target` where it is there; the wrong kind is an Error that names the key.
template <class T>
void read(const json& object, const char* key, T& target) {
  const auto it = object.find(key);
  if (it == object.end() || it->is_null()) return;
  try {
    target = it->get<T>();
  } catch (const json::exception&) {
    fail("The key {} has a value of the wrong kind.", key);
  }
}

/// The same for names that `parse` turns into a value.
template <class T, class Parse>
void read_name(const json& object, const char* key, T& target, Parse parse) {
  std::string name;
  read(object, key, name);
  if (name.empty()) return;
  const auto value = parse(name);
  if (!value) fail("The key {} has the unknown value {}.", key, name);
  target = *value;
}

void layout_from_json(const json& j, Layout& l) {
  read_name(j, "view", l.view, view_from_name);
  read_name(j, "theme", l.theme, theme_from_name);
  read_name(j, "language", l.language, language_from_code);
  read(j, "zoom", l.zoom);
  if (!(l.zoom >= 0.75 && l.zoom <= 3)) fail("The key zoom is {}, outside 0.75 to 3.", l.zoom);
  read_name(j, "color_map", l.magnitudes, color_map_from_name);
  read(j, "motion", l.motion);
  read(j, "presenter", l.presenter);
  read(j, "tree", l.tree);
  read(j, "inspector", l.inspector);
  read(j, "bottom", l.bottom);
  read(j, "toggled_groups", l.toggled_groups);
  std::map<std::string, std::string> options;
  read(j, "options", options);
  l.options = {options.begin(), options.end()};
}

json probe_to_json(const Probe& p) {
  json j = {{"preset", p.preset}, {"folder", p.folder}, {"corpus", p.corpus}};
  if (p.config) j["config"] = config_to_json(*p.config);
  if (p.train) j["train"] = train_config_to_json(*p.train);
  if (p.prompt) j["prompt"] = *p.prompt;
  j["edits"] = json::array();
  for (const Edit& edit : p.edits) j["edits"].push_back(edit_text(edit));
  j["sampler"] = {{"temperature", p.sampler.temperature},
                  {"top_k", p.sampler.top_k},
                  {"top_p", p.sampler.top_p},
                  {"min_p", p.sampler.min_p},
                  {"repetition_penalty", p.sampler.repetition_penalty},
                  {"greedy", p.sampler.greedy},
                  {"seed", p.sampler.seed}};
  return j;
}

void probe_from_json(const json& j, Probe& p) {
  read(j, "preset", p.preset);
  read(j, "folder", p.folder);
  read(j, "corpus", p.corpus);
  if (j.contains("config")) p.config = config_from_json(j.at("config"), "session.json");
  if (j.contains("train")) p.train = train_config_from_json(j.at("train"), "session.json");
  if (j.contains("prompt")) {
    std::string text;
    read(j, "prompt", text);
    p.prompt = text;
  }
  std::vector<std::string> edits;
  read(j, "edits", edits);
  p.edits.clear();
  for (const std::string& text : edits) p.edits.push_back(parse_edit(text));
  if (const auto it = j.find("sampler"); it != j.end() && it->is_object()) {
    read(*it, "temperature", p.sampler.temperature);
    read(*it, "top_k", p.sampler.top_k);
    read(*it, "top_p", p.sampler.top_p);
    read(*it, "min_p", p.sampler.min_p);
    read(*it, "repetition_penalty", p.sampler.repetition_penalty);
    read(*it, "greedy", p.sampler.greedy);
    read(*it, "seed", p.sampler.seed);
    validate(p.sampler);
  }
}

}  // namespace

json session_to_json(const Session& session) {
  const SessionState& s = session.state;
  json j = {{"version", 1},
            {"step", s.playhead.step},
            {"block", s.selection.block},
            {"head", s.selection.head},
            {"probe", probe_to_json(s.probe)},
            {"layout", layout_to_json(s.layout)},
            {"recent", session.recent}};
  if (s.pins.cell) j["pinned_cell"] = {{"buffer", s.pins.cell->buffer}, {"offset", s.pins.cell->offset}};
  return j;
}

void session_from_json(const json& j, Session& session) {
  if (!j.is_object()) fail("It is not a JSON object.");
  Session fresh;
  SessionState& s = fresh.state;
  read(j, "step", s.playhead.step);
  read(j, "block", s.selection.block);
  read(j, "head", s.selection.head);
  if (s.selection.block < 0 || s.selection.head < 0) fail("The keys block and head cannot be negative.");
  if (const auto it = j.find("pinned_cell"); it != j.end() && it->is_object()) {
    CellPick cell;
    read(*it, "buffer", cell.buffer);
    read(*it, "offset", cell.offset);
    s.pins.cell = cell;
  }
  if (const auto it = j.find("probe"); it != j.end()) probe_from_json(*it, s.probe);
  if (const auto it = j.find("layout"); it != j.end()) layout_from_json(*it, s.layout);
  read(j, "recent", fresh.recent);
  session.state = std::move(s);
  session.recent = std::move(fresh.recent);
}

std::filesystem::path session_file() { return state_folder() / "session.json"; }

void save_session(const std::filesystem::path& file, const Session& session) {
  make_folder(file.parent_path());
  write_json_file(file, session_to_json(session));
}

std::string restore_session(const std::filesystem::path& file, Session& session) {
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return {};
  try {
    session_from_json(read_json_file(file, "session", {.max_bytes = largest_file}), session);
    return {};
  } catch (const std::exception& broken) {
    std::filesystem::path aside = file;
    aside += ".broken";
    std::filesystem::rename(file, aside, error);
    return fmt::format("The session file {} could not be read and was set aside as {}: {}", file.string(),
                       aside.filename().string(), broken.what());
  }
}

}  // namespace headlight::app
