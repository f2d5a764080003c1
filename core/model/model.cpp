// See model.h.
#include "core/model/model.h"

#include "core/base/error.h"

namespace headlight {

void check_vocabulary(const ModelConfig& config, const Tokenizer* tokenizer) {
  if (tokenizer == nullptr || tokenizer->vocab_size() <= config.vocab_size) return;
  fail("the text has {} different {}, but vocab_size is {}; set vocab_size={}", tokenizer->vocab_size(),
       tokenizer->kind(), config.vocab_size, tokenizer->vocab_size());
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
