// See bpe_tokenizer.h.
#include "core/text/bpe_tokenizer.h"

#include <algorithm>
#include <bit>

#include "core/text/bpe_files.h"
#include "core/text/tokenizer_file.h"

namespace headlight {

namespace {

BpeModel valid(BpeModel model, std::string_view where) {
  validate(model, where);
  return model;
}

AddedTokens added_tokens(const BpeModel& model) {
  std::vector<std::pair<std::string, int32_t>> tokens;
  for (const AddedToken& token : model.added) {
    tokens.emplace_back(model.tokens[static_cast<size_t>(token.id)], token.id);
  }
  return AddedTokens(std::move(tokens));
}

/// A stream is encoded in parts of at least this size.
constexpr size_t kPart = size_t{1} << 16;

}  // namespace

/// Remembers where pieces of this text that had to be merged stand with their ids, so that a word is merged
/// once.
class BpeTokenizer::PieceCache {
 public:
  struct Entry {
    std::string_view piece;
    size_t first = 0, count = 0;  ///< where its ids are in the output
  };
  /// For a text of this many bytes.
  explicit PieceCache(size_t bytes)
      : bits_(std::clamp(static_cast<int>(std::bit_width(bytes / 8)), 4, 14)), entries_(size_t{1} << bits_) {}

  /// The place for a piece: it holds that piece, or another that may be overwritten.
  [[nodiscard]] Entry& entry(std::string_view piece) {
    return entries_[(PieceTable::key_of(piece) * 0x9E3779B97F4A7C15u) >> (64 - bits_)];
  }

 private:
  int bits_;
  std::vector<Entry> entries_;
};

BpeTokenizer::BpeTokenizer(BpeModel model, std::string_view where)
    : model_(valid(std::move(model), where)),
      pretokenizer_(model_.pattern),
      merger_(model_),
      added_(added_tokens(model_)),
      pieces_(model_.tokens.size()) {
  std::vector<bool> added(model_.tokens.size());
  for (const AddedToken& token : model_.added) added[static_cast<size_t>(token.id)] = true;
  BpeMerger::Scratch scratch;
  std::vector<int32_t> ids;
  for (size_t i = 0; i < model_.tokens.size(); ++i) {
    if (added[i]) continue;
    const auto id = static_cast<int32_t>(i);
    ids.clear();
    if (!model_.whole_pieces) merger_.merge(model_.tokens[i], scratch, ids);
    if (model_.whole_pieces || (ids.size() == 1 && ids[0] == id)) pieces_.add(model_.tokens[i], id);
  }
}

void BpeTokenizer::encode_pieces(std::string_view text, PieceCache& cache, std::vector<int32_t>& out) const {
  // Longer pieces than any cached word are rare; keeping them out keeps comparing cheap.
  constexpr size_t longest_cached = 64;
  BpeMerger::Scratch scratch;
  for (size_t at = 0; at < text.size();) {
    const size_t end = pretokenizer_.piece_end(text, at);
    const std::string_view piece = text.substr(at, end - at);
    at = end;
    if (const int32_t id = pieces_.find(piece); id != PieceTable::absent) {
      out.push_back(id);
      continue;
    }
    if (piece.size() > longest_cached) {
      merger_.merge(piece, scratch, out);
      continue;
    }
    PieceCache::Entry& known = cache.entry(piece);
    if (known.piece == piece) {
      for (size_t i = 0; i < known.count; ++i) out.push_back(out[known.first + i]);
      continue;
    }
    const size_t first = out.size();
    merger_.merge(piece, scratch, out);
    known = {piece, first, out.size() - first};
  }
}

void BpeTokenizer::encode_to(std::string_view text, std::vector<int32_t>& out) const {
  // Reserving what English needs; growing from there at least doubles.
  const size_t wanted = out.size() + text.size() / 4 + 16;
  if (wanted > out.capacity()) out.reserve(std::max(wanted, 2 * out.capacity()));
  PieceCache cache(text.size());
  size_t at = 0;
  while (const auto match = added_.find(text, at)) {
    encode_pieces(text.substr(at, match->offset - at), cache, out);
    out.push_back(match->id);
    at = match->offset + match->length;
  }
  encode_pieces(text.substr(at), cache, out);
}

Encoded BpeTokenizer::encode(std::string_view text) const {
  Encoded encoded;
  encode_to(text, encoded.ids);
  return encoded;
}

std::string BpeTokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (const int32_t id : ids) {
    check_token(id, vocab_size());
    text += model_.tokens[static_cast<size_t>(id)];
  }
  return text;
}

std::string BpeTokenizer::token_text(int32_t id) const { return decode(std::span(&id, 1)); }

void BpeTokenizer::save(const std::filesystem::path& folder) const { save_bpe(model_, folder); }

StreamEncoder::StreamEncoder(const BpeTokenizer& tokenizer) : tokenizer_(tokenizer) {
  for (const AddedToken& token : tokenizer.model().added) {
    if (safe_cut(tokenizer.model().tokens[static_cast<size_t>(token.id)]) > 0) cuts_ = false;
  }
}

void StreamEncoder::add(std::string_view bytes, std::vector<int32_t>& out) {
  waiting_ += bytes;
  if (!cuts_ || waiting_.size() - searched_ < kPart) return;
  // Three bytes make a place to cut, so the search goes on with the last two that were seen.
  const size_t from = searched_ - std::min<size_t>(searched_, 2);
  const size_t found = safe_cut(std::string_view(waiting_).substr(from));
  if (found > 0) {
    tokenizer_.encode_to(std::string_view(waiting_).substr(0, from + found), out);
    waiting_.erase(0, from + found);
  }
  searched_ = found > 0 ? 0 : waiting_.size();
}

void StreamEncoder::finish(std::vector<int32_t>& out) {
  tokenizer_.encode_to(waiting_, out);
  waiting_.clear();
  searched_ = 0;
}

}  // namespace headlight
