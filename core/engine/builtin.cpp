// See builtin.h.
#include "core/engine/builtin.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>

#include "core/base/error.h"
#include "core/base/parse_number.h"
#include "core/io/paths.h"
#include "core/model/presets.h"
#include "core/text/story.h"

namespace headlight {

namespace {
constexpr uint64_t kStorySeed = 20260;
constexpr int64_t kStoryTokens = 1'000'000;
constexpr const char* kStoryPrompt = "The cat sat on the mat. The dog ran. The cat sat on the";
}  // namespace

std::vector<std::string> builtin_model_names() {
  std::set<std::string> names;
  for (const std::filesystem::path& folder : asset_folders()) {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(folder / "assets/models", ignored)) {
      if (std::filesystem::exists(entry.path() / "model.safetensors", ignored))
        names.insert(entry.path().filename().string());
    }
  }
  return {names.begin(), names.end()};
}

std::shared_ptr<const Corpus> builtin_stories(int64_t T) {
  static std::mutex mutex;
  static std::map<int64_t, std::shared_ptr<const Corpus>> made;
  const std::lock_guard lock(mutex);
  std::shared_ptr<const Corpus>& corpus = made[T];
  if (!corpus) corpus = std::make_shared<const Corpus>(stories_corpus(kStorySeed, kStoryTokens, T));
  return corpus;
}

OpenedSource open_folder(const std::string& path, kernels::Backend& backend, const LoadProgress& progress) {
  OpenedModel opened = open_model_folder(path, backend, progress);
  OpenedSource source;
  source.model = std::move(opened.model);
  source.trainer = opened.trainer;
  source.history = std::move(opened.history);
  source.remark = std::move(opened.remark);
  if (opened.trainer) source.train = opened.trainer->config;
  source.train.T = std::min(source.train.T, source.model.config.n_positions);
  // A word model of the stories' vocabulary was trained on them.
  if (source.model.tokenizer && source.model.tokenizer->kind() == "words") {
    std::shared_ptr<const Corpus> stories = builtin_stories(source.train.T);
    if (stories->vocab_size() == source.model.tokenizer->vocab_size()) source.corpus = std::move(stories);
  }
  return source;
}

OpenedSource open_builtin(const std::string& name, kernels::Backend& backend) {
  const std::vector<std::string> names = builtin_model_names();
  if (std::find(names.begin(), names.end(), name) == names.end()) return open_preset(name, nullptr, backend);
  OpenedSource source =
      open_folder(find_asset(std::filesystem::path("assets/models") / name).string(), backend);
  source.model.name = name;
  source.model.folder.clear();  // saving asks for a place of the user's own
  return source;
}

OpenedSource open_preset(const std::string& name, std::shared_ptr<const Corpus> corpus,
                         kernels::Backend& backend, std::optional<uint64_t> seed) {
  const Preset& preset = find_preset(name);
  OpenedSource source;
  source.train = preset.train;
  if (seed) source.train.seed = *seed;
  source.corpus = corpus ? std::move(corpus) : builtin_stories(preset.train.T);
  ModelConfig config = preset.config;
  if (!preset.keep_vocabulary || config.vocab_size < source.corpus->vocab_size()) {
    config.vocab_size = source.corpus->vocab_size();
  }
  source.model = make_model(preset.name, config, source.corpus->tokenizer(), backend, source.train.seed);
  return source;
}

std::string display_token(const Tokenizer* tokenizer, int32_t id) {
  if (tokenizer == nullptr || id < 0 || id >= tokenizer->vocab_size()) return fmt::format("#{}", id);
  return tokenizer->token_text(id);
}

std::vector<int32_t> parse_token_ids(std::string_view what, std::string_view text) {
  std::vector<int32_t> ids;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const auto id = parse_int(text.substr(at, end - at));
    if (!id || *id < INT32_MIN || *id > INT32_MAX)
      fail("{} takes ids like 1,2,3, but was given \"{}\"", what, text);
    ids.push_back(static_cast<int32_t>(*id));
    at = end + 1;
  }
  return ids;
}

std::string default_prompt(const Model& model, const Corpus* corpus) {
  if (!model.tokenizer) return "";
  const Encoded story = model.tokenizer->encode(kStoryPrompt);
  if (story.unknown.empty() && model.tokenizer->kind() != "characters") {
    // A short context holds the last tokens of the story only.
    const auto keep = std::min(static_cast<int64_t>(story.ids.size()), model.config.n_positions);
    return model.tokenizer->decode(std::span(story.ids).last(static_cast<size_t>(keep)));
  }
  if (corpus == nullptr) return model.tokenizer->token_text(0);
  const std::span<const int32_t> held_out = corpus->tokens(Split::validation);
  const auto length =
      std::min({static_cast<int64_t>(held_out.size()), model.config.n_positions, int64_t{24}});
  return corpus->tokenizer()->decode(held_out.first(static_cast<size_t>(length)));
}

}  // namespace headlight
