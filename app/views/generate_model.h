// What the Generate view shows, worked out from snapshots without ImGui: the distribution of the next token
// with what temperature and cuts make of it, and where each token of the prompt came from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/engine/snapshot.h"

namespace headlight::app {

/// One token of the vocabulary.
struct TokenRow {
  /// What became of it: it may be drawn, or top-k, top-p or min-p cut it.
  enum class Fate { kept, cut_by_k, cut_by_p, cut_by_min_p } fate = Fate::kept;
  int32_t token = 0;
  std::string text;  ///< as chips write it
  double logit = 0;
  double plain = 0;        ///< softmax of the logits, τ = 1
  double probability = 0;  ///< softmax(logits/τ), before the cuts
  double sampled = 0;      ///< it is drawn with this one
};

struct Distribution {
  std::vector<TokenRow> rows;  ///< the most probable ones
  int64_t vocabulary = 0, kept = 0;
  double kept_mass = 0;                     ///< probability before the cuts of what they left
  double entropy = 0, sampled_entropy = 0;  ///< nats, before and after the cuts
  /// Of the tokens that have no row.
  int64_t rest = 0;
  double rest_probability = 0, rest_sampled = 0;
};
/// The `most` likeliest tokens and sums over all.
[[nodiscard]] Distribution prepare_distribution(const Snapshot& snapshot, size_t most);

/// Where the right end of an axis from 0 stands so that all `rows` fit: a round number, at most 1.
[[nodiscard]] double axis_end(const std::vector<TokenRow>& rows);

/// How a token of the prompt came to be there.
struct TokenMark {
  enum class Origin { prompt, drawn, chosen } origin = Origin::prompt;
  double probability = 0;  ///< it was drawn with; for a chosen one softmax(logits/τ)
  double entropy = 0;      ///< of the distribution it came from, nats
};

/// Follows the prompt from snapshot to snapshot: the engine forgets its generated tokens when the prompt
/// changes by hand, the marks of those that are still there stay.
class TokenTrail {
 public:
  /// `typing`: the prompt is being edited as text, new tokens count as prompt.
  void update(const Snapshot& snapshot, bool typing);
  /// One for each of Snapshot::prompt_tokens.
  [[nodiscard]] const std::vector<TokenMark>& marks() const { return marks_; }

 private:
  uint64_t version_ = 0;
  std::string model_;
  std::vector<int32_t> tokens_;
  std::vector<TokenMark> marks_;
  std::vector<double> next_;  ///< probability of each token after tokens_
  double next_entropy_ = 0;
};

}  // namespace headlight::app
