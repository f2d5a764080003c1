// What a model is trained on: tokens, cut 90/10 into training and held-out parts, and windows drawn from
// them. The trainer asks for batches; the window draws name, ln V and the entropy floor.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/random.h"
#include "core/text/tokenizer.h"

namespace headlight {

enum class Split { train, validation };

/// Immutable once made. A window is T tokens and, shifted by one, its T targets.
class Corpus {
 public:
  /// Text files above this are refused before they are read.
  static constexpr uint64_t max_file_bytes = uint64_t{1} << 30;
  /// Fewer characters than this leave nothing to hold out.
  static constexpr int64_t min_tokens = 20;

  /// Characters of any UTF-8 text file; a byte order mark is skipped. Throws Error saying what is wrong with
  /// a file that is missing, a folder, empty, binary, above 1 GiB, not UTF-8 or too short.
  [[nodiscard]] static Corpus from_text_file(const std::filesystem::path& file);
  /// The same for a text in memory; `name` stands in sentences and titles.
  [[nodiscard]] static Corpus from_text(std::string name, std::string_view text);
  /// A text file encoded with a tokenizer that a model already has. Throws Error too when the tokenizer lacks
  /// some of its characters or words, with the first of them.
  [[nodiscard]] static Corpus from_text_file(const std::filesystem::path& file,
                                             std::shared_ptr<const Tokenizer> tokenizer);

  /// `tokens` are ids of `tokenizer`. story_length > 0: the tokens are stories of exactly that many tokens,
  /// the split falls between stories and every window starts with one. position_entropy[i] is the true
  /// entropy, in nats, of a story's token i + 1 given tokens 0…i (empty where the source of the text is
  /// unknown). Throws Error when there are too few tokens to hold any out.
  Corpus(std::string name, std::shared_ptr<const Tokenizer> tokenizer, std::vector<int32_t> tokens,
         int64_t story_length = 0, std::vector<double> position_entropy = {});

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::shared_ptr<const Tokenizer>& tokenizer() const { return tokenizer_; }
  [[nodiscard]] int64_t vocab_size() const { return tokenizer_->vocab_size(); }
  [[nodiscard]] std::span<const int32_t> tokens(Split split) const;

  /// The longest T for which windows exist.
  [[nodiscard]] int64_t longest_window() const;
  /// Throws Error naming the corpus, T and a T (or a length of text) that would work, unless T ≤
  /// longest_window().
  void check_window(int64_t T) const;

  /// Fills tokens[B·T] and targets[B·T] with B windows drawn uniformly from `split`. Throws as check_window
  /// does.
  void sample_batch(Split split, Random& random, int64_t B, int64_t T, int32_t* tokens,
                    int32_t* targets) const;

  /// How many windows of the held-out part do not overlap; at least 1 for T ≤ longest_window().
  [[nodiscard]] int64_t eval_windows(int64_t T) const;
  /// Fills tokens[T] and targets[T] with held-out window i, the same each time. 0 ≤ i < eval_windows(T).
  void eval_window(int64_t i, int64_t T, int32_t* tokens, int32_t* targets) const;

  /// The smallest mean loss (nats per token) that any model can reach on windows of length T, where it is
  /// known.
  [[nodiscard]] std::optional<double> entropy_floor(int64_t T) const;
  /// The same by position of the target; empty where it is not known.
  [[nodiscard]] std::span<const double> position_entropy() const { return position_entropy_; }

 private:
  std::string name_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::vector<int32_t> tokens_;
  int64_t train_size_ = 0;  ///< tokens_[0, train_size_) train, the rest is held out
  int64_t story_length_ = 0;
  std::vector<double> position_entropy_;
};

}  // namespace headlight
