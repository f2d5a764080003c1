// Byte-level BPE as GPT-2, GPT-4 and Llama 3 have it: any bytes to ids and back, nothing unknown. Opened from
// Hugging Face's files by load_tokenizer(); trained by bpe_trainer.h.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/text/added_tokens.h"
#include "core/text/bpe_merger.h"
#include "core/text/bpe_model.h"
#include "core/text/piece_table.h"
#include "core/text/pretokenizer.h"
#include "core/text/tokenizer.h"

namespace headlight {

class BpeTokenizer final : public Tokenizer {
 public:
  /// Throws Error as validate() does; `where` names the source in the sentence.
  explicit BpeTokenizer(BpeModel model, std::string_view where = "the tokenizer");
  BpeTokenizer(const BpeTokenizer&) = delete;  // the table of pieces looks into the model's texts
  BpeTokenizer& operator=(const BpeTokenizer&) = delete;

  /// Never throws on any bytes: those that are not UTF-8 become tokens as well. Added tokens that stand in
  /// the text are found, as Hugging Face's tokenizers do.
  [[nodiscard]] Encoded encode(std::string_view text) const override;
  /// encode() without the list of unknowns, appended to `out`.
  void encode_to(std::string_view text, std::vector<int32_t>& out) const;
  /// The bytes; they need not be UTF-8 when the ids cut a character.
  [[nodiscard]] std::string decode(std::span<const int32_t> ids) const override;
  [[nodiscard]] std::string token_text(int32_t id) const override;
  [[nodiscard]] int64_t vocab_size() const override { return static_cast<int64_t>(model_.tokens.size()); }
  [[nodiscard]] std::string_view kind() const override { return "subwords"; }
  /// Writes tokenizer.json, and vocab.json with merges.txt where they say the same.
  void save(const std::filesystem::path& folder) const override;

  [[nodiscard]] const BpeModel& model() const { return model_; }
  [[nodiscard]] const BpeMerger& merger() const { return merger_; }
  [[nodiscard]] const PreTokenizer& pretokenizer() const { return pretokenizer_; }

 private:
  class PieceCache;
  void encode_pieces(std::string_view text, PieceCache& cache, std::vector<int32_t>& out) const;

  BpeModel model_;
  PreTokenizer pretokenizer_;
  BpeMerger merger_;
  AddedTokens added_;
  PieceTable pieces_;
};

/// Encodes a text that comes in parts with the ids that it has as a whole.
class StreamEncoder {
 public:
  explicit StreamEncoder(const BpeTokenizer& tokenizer);
  /// Takes the next bytes and appends to `out` the ids that are certain by now.
  void add(std::string_view bytes, std::vector<int32_t>& out);
  /// The text has ended: appends the rest.
  void finish(std::vector<int32_t>& out);

 private:
  const BpeTokenizer& tokenizer_;
  bool cuts_ = true;  ///< false: an added token could lie across every cut, so all waits for the end
  std::string waiting_;
  size_t searched_ = 0;  ///< so much of it holds no place to cut
};

}  // namespace headlight
