// See model.h.
#include "core/model/model.h"

#include "core/base/error.h"

namespace headlight {

void check_vocabulary(const ModelConfig& config, const Tokenizer* tokenizer) {
  if (tokenizer == nullptr || tokenizer->vocab_size() <= config.vocab_size) return;
  fail("the text has {} different {}, but vocab_size is {}; set vocab_size={}", tokenizer->vocab_size(),
       tokenizer->kind(), config.vocab_size, tokenizer->vocab_size());
}

void need_tokenizer(const Model& model, std::string_view instead) {
  if (model.tokenizer) return;
  if (model.tokenizer_failure.empty()) fail("this model has no tokenizer file; give {}", instead);
  fail("this model's tokenizer is not read: {}; give {}", model.tokenizer_failure, instead);
}

Model make_model(std::string name, const ModelConfig& config, std::shared_ptr<const Tokenizer> tokenizer,
                 kernels::Backend& backend, uint64_t seed) {
  validate(config);
  check_vocabulary(config, tokenizer.get());
  Model model;
  model.name = std::move(name);
  model.config = config;
  model.tokenizer = std::move(tokenizer);
  model.seed = seed;
  model.parameters = std::make_unique<Parameters>(backend, config, seed);
  return model;
}

}  // namespace headlight
