// Models that Headlight ships with, and the corpus that a model starts with. Used by the engine and the
// command line.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/model.h"
#include "core/model/model_folder.h"
#include "core/text/corpus.h"
#include "core/train/schedule.h"

namespace headlight {

/// The trained model that the window opens on.
inline constexpr const char* default_model_name = "induction";

/// Names of the trained models under assets/models, in alphabetical order.
[[nodiscard]] std::vector<std::string> builtin_model_names();

/// The built-in stories for windows of T tokens, made once for each T and shared.
[[nodiscard]] std::shared_ptr<const Corpus> builtin_stories(int64_t T);

/// A model by name: a built-in trained one, a folder in Hugging Face layout (a name with a slash, or an
/// existing folder), or a fresh one of a preset.
struct OpenedSource {
  Model model;
  TrainConfig train;
  std::optional<TrainerState> trainer;
  History history;                       ///< the record of its training so far
  std::shared_ptr<const Corpus> corpus;  ///< null where the model's own text is not known
  std::string remark;                    ///< a sentence about the model's files; usually empty
};
[[nodiscard]] OpenedSource open_builtin(const std::string& name, kernels::Backend& backend);
[[nodiscard]] OpenedSource open_folder(const std::string& path, kernels::Backend& backend,
                                       const LoadProgress& progress = {});
/// Fresh weights of a preset for `corpus` (null: the stories): its vocabulary is the corpus's where the
/// preset's own is not larger.
[[nodiscard]] OpenedSource open_preset(const std::string& name, std::shared_ptr<const Corpus> corpus,
                                       kernels::Backend& backend,
                                       std::optional<uint64_t> seed = std::nullopt);

/// How a token reads on the screen; "#123" where the tokenizer does not know the id.
[[nodiscard]] std::string display_token(const Tokenizer* tokenizer, int32_t id);

/// Ids as people write them: "1,2,3". Throws Error naming `what` takes them (an option, a command).
[[nodiscard]] std::vector<int32_t> parse_token_ids(std::string_view what, std::string_view text);

/// The prompt that a model opens with.
[[nodiscard]] std::string default_prompt(const Model& model, const Corpus* corpus);

}  // namespace headlight
