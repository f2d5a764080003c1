// Recent files, and the requests that make the engine follow the session.
#include "app/session/session.h"

#include <algorithm>

namespace headlight::app {

void Session::remember(const std::string& path) {
  std::erase(recent, path);
  recent.insert(recent.begin(), path);
  if (recent.size() > 12) recent.resize(12);
}

const CellPick* Session::cell() const {
  if (hover) return &*hover;
  return state.pins.cell ? &*state.pins.cell : nullptr;
}

std::vector<Request> requests_for(const Probe& probe) {
  std::vector<Request> requests;
  if (!probe.folder.empty())
    requests.emplace_back(OpenFolder{probe.folder});
  else if (!probe.preset.empty())
    requests.emplace_back(OpenPreset{probe.preset});
  if (!probe.corpus.empty()) requests.emplace_back(OpenCorpus{probe.corpus});
  if (probe.config) requests.emplace_back(ChangeConfig{*probe.config});
  if (probe.train) requests.emplace_back(SetTrainConfig{*probe.train});
  if (probe.prompt) requests.emplace_back(SetPrompt{*probe.prompt});
  if (!probe.edits.empty()) requests.emplace_back(SetEdits{probe.edits});
  if (probe.sampler != SamplerConfig{}) requests.emplace_back(SetSampler{probe.sampler});
  if (probe.cache) requests.emplace_back(SetCache{probe.cache});
  return requests;
}

std::vector<Request> requests_between(const Probe& before, const Probe& after,
                                      const ProbeDefaults& defaults) {
  if (before.preset != after.preset || before.folder != after.folder) {
    // Another model: what was set on the old one is said again, since opening starts from the model's own.
    std::vector<Request> requests = requests_for(after);
    if (after.edits.empty() && !before.edits.empty()) requests.emplace_back(SetEdits{});
    if (after.sampler == SamplerConfig{} && before.sampler != after.sampler)
      requests.emplace_back(SetSampler{after.sampler});
    if (before.cache && !after.cache) requests.emplace_back(SetCache{});
    return requests;
  }
  std::vector<Request> requests;
  if (before.corpus != after.corpus) requests.emplace_back(OpenCorpus{after.corpus});
  if (before.config != after.config)
    requests.emplace_back(ChangeConfig{after.config.value_or(defaults.config)});
  if (before.train != after.train)
    requests.emplace_back(SetTrainConfig{after.train.value_or(defaults.train)});
  if (before.prompt != after.prompt) requests.emplace_back(SetPrompt{after.prompt.value_or(defaults.prompt)});
  if (before.edits != after.edits) requests.emplace_back(SetEdits{after.edits});
  if (before.sampler != after.sampler) requests.emplace_back(SetSampler{after.sampler});
  if (before.cache != after.cache) requests.emplace_back(SetCache{after.cache});
  return requests;
}

}  // namespace headlight::app
