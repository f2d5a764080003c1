// See model_folder.h.
#include "core/model/model_folder.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "core/base/error.h"
#include "core/io/atomic_file.h"
#include "core/io/json.h"
#include "core/io/safetensors.h"
#include "core/io/weight_files.h"
#include "core/model/config_json.h"
#include "core/model/weight_writer.h"
#include "core/train/history_tensors.h"

namespace headlight {

namespace {

constexpr const char* kFirstPrefix = "optimizer.exp_avg.";
constexpr const char* kSecondPrefix = "optimizer.exp_avg_sq.";
constexpr uint64_t kLargestStep = uint64_t{1}
                                  << 53;  // beyond it a double, as learning_rate_at() uses, skips steps
constexpr const char* kStateName = "trainer.state";  // U64: step, random seed, random counter

struct ReadTokenizer {
  std::shared_ptr<const Tokenizer> tokenizer;
  std::string failure;
};

/// The folder's tokenizer, or why it is not read: weights are worth looking at without it.
ReadTokenizer read_tokenizer(const std::filesystem::path& folder, const ModelConfig& config) {
  if (!has_tokenizer(folder)) return {};
  ReadTokenizer read;
  try {
    read.tokenizer = load_tokenizer(folder);
  } catch (const Error& error) {
    return {nullptr, error.what()};
  }
  if (read.tokenizer->vocab_size() > config.vocab_size) {
    fail(
        "{}: the tokenizer has {} {}, but config.json makes vocab_size {}; the folder's files belong to "
        "different models",
        folder.string(), read.tokenizer->vocab_size(), read.tokenizer->kind(), config.vocab_size);
  }
  return read;
}

}  // namespace

OpenedModel open_model_folder(const std::filesystem::path& folder, kernels::Backend& backend,
                              const LoadProgress& progress) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored)) {
    fail("\"{}\" is no folder; a model is a folder with config.json and model.safetensors", folder.string());
  }
  for (const char* pickle : {"pytorch_model.bin", "model.pt", "model.pth", "ckpt.pt"}) {
    if (std::filesystem::exists(folder / pickle, ignored) &&
        !std::filesystem::exists(folder / "model.safetensors", ignored) &&
        !std::filesystem::exists(folder / "model.safetensors.index.json", ignored)) {
      fail(
          "{} is a pickle file, which can run code when it is read; convert it with: python3 -c \"import "
          "torch; from "
          "safetensors.torch import save_file; save_file(torch.load('{}', weights_only=True), "
          "'model.safetensors')\"",
          (folder / pickle).string(), pickle);
    }
  }
  const std::filesystem::path config_file = folder / "config.json";
  const nlohmann::json json = read_json_file(config_file, "config");
  OpenedModel opened;
  const ModelConfig config = config_from_json(json, config_file.string());
  // Nothing is allocated before every header has been held against the config.
  const WeightFiles files(folder);
  const WeightReader reader(files, config);
  Model& model = opened.model;
  auto [tokenizer, tokenizer_failure] = read_tokenizer(folder, config);
  model.tokenizer = std::move(tokenizer);
  model.tokenizer_failure = std::move(tokenizer_failure);
  model.name =
      folder.filename().empty() ? folder.parent_path().filename().string() : folder.filename().string();
  model.config = config;
  model.trained = true;
  model.folder = folder.string();
  model.parameters = std::make_unique<Parameters>(backend, config, Parameters::Unset{});
  Parameters& parameters = *model.parameters;
  reader.read(parameters, progress);
  opened.remark = reader.remark();
  if (json.contains("headlight_seed") && json["headlight_seed"].is_number_unsigned()) {
    opened.model.seed = json["headlight_seed"].get<uint64_t>();
  }
  const StoredTensor state_tensor = files.find(kStateName);
  if (state_tensor.info == nullptr && !files.contains("history.steps")) return opened;
  const SafetensorsFile& file =
      state_tensor.info != nullptr ? *state_tensor.file : *files.find("history.steps").file;
  opened.history = read_history(file);
  if (state_tensor.info == nullptr) return opened;

  parameters.ensure_moments();
  for (const Parameters::Entry& entry : parameters.entries()) {
    reader.read_moment(kFirstPrefix + entry.spec.name, parameters, entry, entry.first);
    reader.read_moment(kSecondPrefix + entry.spec.name, parameters, entry, entry.second);
  }
  const std::vector<uint64_t> state = file.read_u64(kStateName);
  if (state.size() != 3 || !json.contains("headlight_training")) {
    fail("{}: the trainer's state is not one that this version writes; open it without resuming",
         file.path().string());
  }
  if (state[0] > kLargestStep) {
    fail("{}: the trainer's step {} cannot be; open it without resuming", file.path().string(), state[0]);
  }
  opened.trainer = TrainerState{train_config_from_json(json["headlight_training"], config_file.string()),
                                static_cast<int64_t>(state[0]), state[1], state[2]};
  return opened;
}

void save_model_folder(const std::filesystem::path& folder, const Model& model,
                       const std::optional<TrainerState>& trainer, const History& history) {
  make_folder(folder);
  nlohmann::json json = config_to_json(model.config);
  json["headlight_seed"] = model.seed;
  if (trainer) json["headlight_training"] = train_config_to_json(trainer->config);

  SafetensorsWriter writer;
  const Parameters& parameters = *model.parameters;
  add_weights(writer, parameters, model.config,
              is_llama(model.config) ? FileLayout::llama : FileLayout::gpt2);
  std::vector<uint64_t> state;
  if (trainer && parameters.has_moments()) {
    for (const Parameters::Entry& entry : parameters.entries()) {
      add_memory(writer, kFirstPrefix + entry.spec.name, parameters, entry, entry.first);
      add_memory(writer, kSecondPrefix + entry.spec.name, parameters, entry, entry.second);
    }
    state = {static_cast<uint64_t>(trainer->step), trainer->random_seed, trainer->random_counter};
    writer.add(kStateName, std::span<const uint64_t>(state), {3});
  }
  const HistoryTensors record(history);
  record.add_to(writer);
  writer.set_metadata("format", "pt");
  writer.write(folder / "model.safetensors", true);
  if (model.tokenizer) {
    remove_tokenizers(folder);
    model.tokenizer->save(folder);
  }
  write_json_file(folder / "config.json", json);
}

}  // namespace headlight
