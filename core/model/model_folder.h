// Model folders in Hugging Face's GPT-2 layout, or in its Llama layout where the model is one: config.json,
// model.safetensors, the tokenizer's file; a checkpoint adds the optimiser's moments and the trainer's state
// to the same safetensors file under prefixes of their own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "core/model/model.h"
#include "core/model/weight_reader.h"
#include "core/train/history.h"
#include "core/train/schedule.h"

namespace headlight {

/// What a training needs to go on bit for bit, besides weights and moments.
struct TrainerState {
  TrainConfig config;
  int64_t step = 0;
  uint64_t random_seed = 0, random_counter = 0;  ///< of the batch sampler
};

struct OpenedModel {
  Model model;
  std::optional<TrainerState> trainer;  ///< there when the folder is a checkpoint
  History history;                      ///< the record of its training so far
  std::string remark;  ///< one sentence on tensors that the model does not use; usually empty
};

/// Reads config.json, the weights (model.safetensors or its shards; F32, F16, BF16, F64; names with or
/// without the prefix of the model's body) and the tokenizer, where it is of a kind that is read (otherwise
/// see Model::tokenizer_failure). Throws Error naming file, tensor, expected and found shape.
[[nodiscard]] OpenedModel open_model_folder(const std::filesystem::path& folder, kernels::Backend& backend,
                                            const LoadProgress& progress = {});

/// Writes the folder (created where missing), each file atomically, the weights first: they are what a full
/// disk refuses, and then nothing else has changed. The previous weights stay as model.safetensors.previous.
/// A tokenizer file of another kind that an earlier model left there is removed. Throws Error.
void save_model_folder(const std::filesystem::path& folder, const Model& model,
                       const std::optional<TrainerState>& trainer = std::nullopt,
                       const History& history = {});

}  // namespace headlight
