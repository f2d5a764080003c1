// See bpe_trainer.h.
#include "core/text/bpe_trainer.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/text/byte_alphabet.h"

namespace headlight {

namespace {

constexpr uint64_t key_of(int32_t left, int32_t right) {
  return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
}
constexpr int32_t left_of(uint64_t pair) { return static_cast<int32_t>(pair >> 32); }
constexpr int32_t right_of(uint64_t pair) { return static_cast<int32_t>(pair & 0xFFFFFFFF); }

}  // namespace

BpeTrainer::BpeTrainer(std::string_view text, SplitPattern pattern, int64_t min_count)
    : min_count_(std::max<int64_t>(min_count, 1)) {
  model_.pattern = pattern;
  std::vector<int32_t> byte_ids(256);
  for (int32_t id = 0; id < 256; ++id) {
    const uint8_t byte = alphabet_byte(id);
    byte_ids[byte] = id;
    model_.tokens.emplace_back(1, static_cast<char>(byte));
    ids_.emplace(model_.tokens.back(), id);
  }
  const PreTokenizer cutter(pattern);
  std::unordered_map<std::string_view, uint32_t> known;
  for (size_t at = 0; at < text.size();) {
    const size_t end = cutter.piece_end(text, at);
    const std::string_view piece = text.substr(at, end - at);
    at = end;
    const auto [place, fresh] = known.emplace(piece, static_cast<uint32_t>(words_.size()));
    if (fresh) {
      Word& word = words_.emplace_back();
      for (const char c : piece) word.ids.push_back(byte_ids[static_cast<uint8_t>(c)]);
    }
    words_[place->second].count += 1;
  }
  for (uint32_t i = 0; i < words_.size(); ++i) {
    const Word& word = words_[i];
    token_count_ += word.count * static_cast<int64_t>(word.ids.size());
    for (size_t k = 0; k + 1 < word.ids.size(); ++k) change(word.ids[k], word.ids[k + 1], word.count, i);
  }
  std::sort(gained_.begin(), gained_.end());
  gained_.erase(std::unique(gained_.begin(), gained_.end()), gained_.end());
  for (const uint64_t pair : gained_) candidates_.push({pairs_[pair].count, pair});
  gained_.clear();
}

void BpeTrainer::change(int32_t left, int32_t right, int64_t by, uint32_t word) {
  const uint64_t key = key_of(left, right);
  Pair& pair = pairs_[key];
  pair.count += by;
  if (by <= 0) return;
  if (pair.words.empty() || pair.words.back() != word) pair.words.push_back(word);
  gained_.push_back(key);
}

void BpeTrainer::apply(const BpeMerge& merge, uint32_t index) {
  Word& word = words_[index];
  std::vector<int32_t>& ids = word.ids;
  size_t to = 0;
  for (size_t from = 0; from < ids.size();) {
    const bool here = ids[from] == merge.left && from + 1 < ids.size() && ids[from + 1] == merge.right;
    if (!here) {
      ids[to++] = ids[from++];
      continue;
    }
    // Left of it stands what is written already, right of it what is not merged yet.
    if (to > 0) {
      change(ids[to - 1], merge.left, -word.count, index);
      change(ids[to - 1], merge.merged, word.count, index);
    }
    if (from + 2 < ids.size()) {
      change(merge.right, ids[from + 2], -word.count, index);
      change(merge.merged, ids[from + 2], word.count, index);
    }
    change(merge.left, merge.right, -word.count, index);
    token_count_ -= word.count;
    ids[to++] = merge.merged;
    from += 2;
  }
  ids.resize(to);
}

std::optional<BpeTrainer::Learned> BpeTrainer::learn() {
  while (!candidates_.empty()) {
    const Candidate top = candidates_.top();
    candidates_.pop();
    const auto found = pairs_.find(top.pair);
    if (found == pairs_.end()) continue;
    Pair& pair = found->second;
    if (pair.count != top.count) {
      if (pair.count >= min_count_) candidates_.push({pair.count, top.pair});
      continue;
    }
    if (pair.count < min_count_) continue;
    BpeMerge merge{left_of(top.pair), right_of(top.pair), 0};
    std::string text =
        model_.tokens[static_cast<size_t>(merge.left)] + model_.tokens[static_cast<size_t>(merge.right)];
    const auto [place, fresh] = ids_.emplace(text, static_cast<int32_t>(model_.tokens.size()));
    merge.merged = place->second;
    if (fresh) model_.tokens.push_back(std::move(text));
    model_.merges.push_back(merge);
    std::vector<uint32_t> where = std::move(pair.words);
    std::sort(where.begin(), where.end());
    where.erase(std::unique(where.begin(), where.end()), where.end());
    for (const uint32_t word : where) apply(merge, word);
    pairs_.erase(top.pair);
    for (const uint64_t gained : gained_) {
      const auto now = pairs_.find(gained);
      if (now != pairs_.end() && now->second.count >= min_count_)
        candidates_.push({now->second.count, gained});
    }
    gained_.clear();
    return Learned{merge, top.count};
  }
  return std::nullopt;
}

std::vector<PairCount> BpeTrainer::frequent_pairs(size_t most) const {
  std::vector<PairCount> all;
  for (const auto& [key, pair] : pairs_) {
    if (pair.count > 0) all.push_back({left_of(key), right_of(key), pair.count});
  }
  const auto middle = all.begin() + static_cast<std::ptrdiff_t>(std::min(most, all.size()));
  std::partial_sort(all.begin(), middle, all.end(), [](const PairCount& a, const PairCount& b) {
    if (a.count != b.count) return a.count > b.count;
    return a.left != b.left ? a.left < b.left : a.right < b.right;
  });
  all.erase(middle, all.end());
  return all;
}

BpeModel BpeTrainer::model(bool with_end_of_text) const {
  BpeModel model = model_;
  if (with_end_of_text) {
    model.added.push_back({static_cast<int32_t>(model.tokens.size()), true});
    model.tokens.emplace_back(end_of_text);
  }
  return model;
}

BpeModel train_bpe(std::string_view text, int64_t vocab_size, SplitPattern pattern,
                   const TrainProgress& progress) {
  if (text.empty()) fail("an empty text has no byte pairs to learn from");
  if (vocab_size < 257) {
    fail("a vocabulary of {} is too small: the 256 bytes and {} need 257 tokens", vocab_size,
         BpeTrainer::end_of_text);
  }
  BpeTrainer trainer(text, pattern);
  const auto size = [&] { return static_cast<int64_t>(trainer.tokens().size()) + 1; };
  while (size() < vocab_size && trainer.learn()) {
    if (progress && size() % 256 == 0) progress(size(), vocab_size);
  }
  return trainer.model(true);
}

}  // namespace headlight
