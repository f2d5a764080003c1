// A model: its config, tokenizer and weights. Owned by the engine or by a command; programs and runs refer to
// it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/model/config.h"
#include "core/model/parameters.h"
#include "core/text/tokenizer.h"

namespace headlight {

struct Model {
  std::string name;
  ModelConfig config;
  std::shared_ptr<const Tokenizer> tokenizer;  ///< may be null: the model then works by token ids
  std::string tokenizer_failure;  ///< why the folder's tokenizer was not read; empty: it has none
  std::unique_ptr<Parameters> parameters;
  uint64_t seed = 0;
  bool trained = false;  ///< weights came from a file or from training
  std::string folder;    ///< where it was opened from or last saved
};

/// Throws Error when the tokenizer (null: none) has more tokens than vocab_size.
void check_vocabulary(const ModelConfig& config, const Tokenizer* tokenizer);

/// Throws Error saying why there is no tokenizer, unless there is one. `instead`: what to give in place of
/// text.
void need_tokenizer(const Model& model, std::string_view instead);

/// Fresh weights. Throws Error when the config does not hold together or the tokenizer has more tokens than
/// vocab_size.
[[nodiscard]] Model make_model(std::string name, const ModelConfig& config,
                               std::shared_ptr<const Tokenizer> tokenizer, kernels::Backend& backend,
                               uint64_t seed);

}  // namespace headlight
