// Distributions and origins of tokens.
#include "app/views/generate_model.h"

#include <algorithm>
#include <cmath>

#include "app/views/run_data.h"
#include "core/engine/builtin.h"

namespace headlight::app {
namespace {

double entropy_term(double p) { return p > 0 ? -p * std::log(p) : 0; }

}  // namespace

Distribution prepare_distribution(const Snapshot& snapshot, size_t most) {
  const std::vector<Candidate>& all = snapshot.generation.candidates;
  Distribution d;
  d.vocabulary = static_cast<int64_t>(all.size());
  if (all.empty()) return d;
  double plain_sum = 0;  // candidates come most probable first
  for (const Candidate& c : all) plain_sum += std::exp(static_cast<double>(c.logit) - all[0].logit);
  for (size_t i = 0; i < all.size(); ++i) {
    const Candidate& c = all[i];
    d.entropy += entropy_term(c.probability);
    d.sampled_entropy += entropy_term(c.sampled);
    if (c.kept) {
      ++d.kept;
      d.kept_mass += c.probability;
    }
    if (i >= most) {
      ++d.rest;
      d.rest_probability += c.probability;
      d.rest_sampled += c.sampled;
      continue;
    }
    TokenRow row;
    row.token = c.token;
    row.text = chip_text(display_token(snapshot.model.tokenizer.get(), c.token));
    row.fate = c.kept         ? TokenRow::Fate::kept
               : c.kept_top_p ? TokenRow::Fate::cut_by_min_p
               : c.kept_top_k ? TokenRow::Fate::cut_by_p
                              : TokenRow::Fate::cut_by_k;
    row.logit = c.logit;
    row.plain = std::exp(static_cast<double>(c.logit) - all[0].logit) / plain_sum;
    row.probability = c.probability;
    row.sampled = c.sampled;
    d.rows.push_back(std::move(row));
  }
  return d;
}

double axis_end(const std::vector<TokenRow>& rows) {
  double longest = 0;
  for (const TokenRow& row : rows) longest = std::max({longest, row.plain, row.probability, row.sampled});
  double end = 1;
  for (const double smaller : {0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001})
    if (longest <= smaller) end = smaller;
  return end;
}

void TokenTrail::update(const Snapshot& snapshot, bool typing) {
  if (snapshot.version == version_) return;
  version_ = snapshot.version;
  if (snapshot.model.name != model_) {
    model_ = snapshot.model.name;
    tokens_.clear();
  }
  const std::vector<int32_t>& now = snapshot.prompt_tokens;
  const std::vector<GeneratedToken>& drawn = snapshot.generation.tokens;
  const auto same = static_cast<size_t>(
      std::mismatch(tokens_.begin(), tokens_.end(), now.begin(), now.end()).first - tokens_.begin());
  const bool appended = same == tokens_.size() && now.size() == same + 1 && !tokens_.empty();
  marks_.resize(same);
  marks_.resize(now.size());
  if (appended && drawn.empty() && !typing && static_cast<size_t>(now.back()) < next_.size())
    marks_.back() = {TokenMark::Origin::chosen, next_[static_cast<size_t>(now.back())], next_entropy_};
  const size_t tail = std::min(drawn.size(), now.size());
  for (size_t i = 0; i < tail; ++i) {
    const GeneratedToken& token = drawn[drawn.size() - tail + i];
    if (token.token == now[now.size() - tail + i])
      marks_[now.size() - tail + i] = {TokenMark::Origin::drawn, token.probability, token.entropy};
  }
  tokens_ = now;
  next_.clear();
  next_entropy_ = 0;
  // A new prompt may be published before its run: the candidates are then still those of the old one.
  if (!snapshot.run || snapshot.run->text() != now) return;
  next_.assign(snapshot.generation.candidates.size(), 0);
  for (const Candidate& c : snapshot.generation.candidates) {
    next_[static_cast<size_t>(c.token)] = c.probability;
    next_entropy_ += entropy_term(c.probability);
  }
}

}  // namespace headlight::app
