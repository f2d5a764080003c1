// See merges_model.h.
#include "app/views/merges_model.h"

#include <algorithm>
#include <map>

#include "app/views/run_data.h"
#include "core/base/utf8.h"
#include "core/text/bpe_trainer.h"

namespace headlight::app {
namespace {

constexpr size_t most_pairs = 40;

std::string_view cut_text(std::string_view text) {
  if (text.size() <= merges_text_bytes) return text;
  size_t end = merges_text_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

using Pieces = std::vector<std::vector<int32_t>>;

/// The bytes of each piece as tokens.
Pieces byte_pieces(const PreTokenizer& cutter, std::string_view text, const auto& byte_id) {
  Pieces pieces;
  for (size_t at = 0; at < text.size();) {
    const size_t end = cutter.piece_end(text, at);
    std::vector<int32_t>& piece = pieces.emplace_back();
    for (; at < end; ++at) piece.push_back(byte_id(static_cast<uint8_t>(text[at])));
  }
  return pieces;
}

/// Merges a pair wherever it stands; returns how often.
int64_t merge_everywhere(Pieces& pieces, const BpeMerge& merge) {
  int64_t count = 0;
  for (std::vector<int32_t>& piece : pieces) {
    size_t to = 0;
    for (size_t from = 0; from < piece.size(); ++to) {
      const bool here =
          piece[from] == merge.left && from + 1 < piece.size() && piece[from + 1] == merge.right;
      piece[to] = here ? merge.merged : piece[from];
      from += here ? 2 : 1;
      count += here ? 1 : 0;
    }
    piece.resize(to);
  }
  return count;
}

/// Chips of the pieces; `made` is the token of the last merge, `next` the pair to come (−1: none).
void show_pieces(MergeScene& scene, const Pieces& pieces, const std::vector<std::string>& tokens,
                 int32_t made, const BpeMerge& next) {
  scene.tokens = 0;
  for (const std::vector<int32_t>& piece : pieces) {
    std::vector<MergeToken>& shown = scene.pieces.emplace_back();
    for (const int32_t id : piece) {
      const std::string& bytes = tokens[static_cast<size_t>(id)];
      shown.push_back({chip_text(bytes), bytes_hex(bytes), id, id == made, false});
    }
    for (size_t i = 0; i + 1 < piece.size(); ++i) {
      if (piece[i] != next.left || piece[i + 1] != next.right) continue;
      shown[i].next = shown[i + 1].next = true;
      ++i;
    }
    scene.tokens += static_cast<int64_t>(piece.size());
  }
}

std::string name_of(const std::vector<std::string>& tokens, int32_t id) {
  return chip_text(tokens[static_cast<size_t>(id)]);
}

}  // namespace

MergeScene prepare_learning(std::string_view whole, int64_t step) {
  const std::string_view text = cut_text(whole);
  BpeTrainer trainer(text, SplitPattern::gpt2);
  std::vector<BpeTrainer::Learned> learned;
  while (const auto merge = trainer.learn()) learned.push_back(*merge);
  MergeScene scene;
  scene.bytes = static_cast<int64_t>(text.size());
  scene.steps = static_cast<int64_t>(learned.size());
  scene.most = learned.empty() ? 1 : learned.front().count;
  scene.step = std::clamp<int64_t>(step, 0, scene.steps);
  scene.last = scene.step == scene.steps;
  const std::vector<std::string>& tokens = trainer.tokens();

  BpeTrainer again(text, SplitPattern::gpt2);
  std::map<uint8_t, int32_t> byte_ids;
  for (int32_t id = 0; id < 256; ++id) {
    byte_ids[static_cast<uint8_t>(tokens[static_cast<size_t>(id)][0])] = id;
  }
  Pieces pieces =
      byte_pieces(PreTokenizer(SplitPattern::gpt2), text, [&](uint8_t byte) { return byte_ids[byte]; });
  for (int64_t i = 0; i < scene.step; ++i) {
    const auto& [merge, count] = learned[static_cast<size_t>(i)];
    again.learn();
    merge_everywhere(pieces, merge);
    scene.merges.push_back(
        {name_of(tokens, merge.left), name_of(tokens, merge.right), name_of(tokens, merge.merged), count});
  }
  for (const PairCount& pair : again.frequent_pairs(most_pairs)) {
    scene.pairs.push_back({name_of(tokens, pair.left), name_of(tokens, pair.right), pair.count});
  }
  const int32_t made = scene.step > 0 ? learned[static_cast<size_t>(scene.step - 1)].merge.merged : -1;
  show_pieces(scene, pieces, tokens, made,
              scene.last ? BpeMerge{-1, -1, -1} : learned[static_cast<size_t>(scene.step)].merge);
  return scene;
}

MergeScene prepare_own_merges(const BpeTokenizer& tokenizer, std::string_view whole, int64_t step) {
  const std::string_view text = cut_text(whole);
  const BpeMerger& merger = tokenizer.merger();
  const std::vector<std::string>& tokens = tokenizer.model().tokens;
  MergeScene scene;
  scene.bytes = static_cast<int64_t>(text.size());
  Pieces pieces =
      byte_pieces(tokenizer.pretokenizer(), text, [&](uint8_t byte) { return merger.byte_id(byte); });
  // Pairs of the text by rank: those without a merge come last.
  const auto count_pairs = [&] {
    std::map<std::pair<int32_t, std::pair<int32_t, int32_t>>, int64_t> pairs;
    for (const std::vector<int32_t>& piece : pieces) {
      for (size_t i = 0; i + 1 < piece.size(); ++i) {
        pairs[{merger.rank(piece[i], piece[i + 1]), {piece[i], piece[i + 1]}}] += 1;
      }
    }
    return pairs;
  };
  const auto show = [&](const auto& pairs, int32_t made) {
    scene.pairs.clear();
    scene.pieces.clear();
    for (const auto& [key, count] : pairs) {
      if (scene.pairs.size() == most_pairs) break;
      const auto& [rank, ids] = key;
      scene.pairs.push_back({name_of(tokens, ids.first), name_of(tokens, ids.second), count,
                             rank == BpeMerger::no_merge ? -1 : int64_t{rank}});
    }
    const bool more = !pairs.empty() && pairs.begin()->first.first != BpeMerger::no_merge;
    scene.last = !more;
    const BpeMerge none{-1, -1, -1};
    const auto& first = more ? pairs.begin()->first.second : std::pair<int32_t, int32_t>{-1, -1};
    show_pieces(scene, pieces, tokens, made, more ? BpeMerge{first.first, first.second, 0} : none);
  };
  int32_t made = -1;
  const int64_t wanted = std::max<int64_t>(step, 0);
  while (true) {
    const auto pairs = count_pairs();
    const bool more = !pairs.empty() && pairs.begin()->first.first != BpeMerger::no_merge;
    if (scene.steps == wanted || (!more && scene.steps < wanted)) {
      scene.step = scene.steps;
      show(pairs, made);
    }
    if (!more) return scene;
    const auto& [rank, ids] = pairs.begin()->first;
    made = merger.merged(rank);
    const int64_t count = merge_everywhere(pieces, {ids.first, ids.second, made});
    if (scene.steps < wanted) {
      scene.merges.push_back(
          {name_of(tokens, ids.first), name_of(tokens, ids.second), name_of(tokens, made), count, rank});
    }
    scene.steps += 1;
  }
}

const BpeTokenizer* byte_pairs(const Snapshot& snapshot) {
  return dynamic_cast<const BpeTokenizer*>(snapshot.model.tokenizer.get());
}

}  // namespace headlight::app
