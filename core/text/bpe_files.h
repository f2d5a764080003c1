// Byte-level BPE in Hugging Face's files: tokenizer.json, or vocab.json with merges.txt (OpenAI's
// encoder.json and vocab.bpe are the same under other names). Called by load_tokenizer() and
// BpeTokenizer::save().
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "core/text/bpe_model.h"

namespace headlight {

inline constexpr const char* kTokenizerJson = "tokenizer.json";
inline constexpr const char* kVocabJson = "vocab.json";
inline constexpr const char* kMergesTxt = "merges.txt";
inline constexpr const char* kEncoderJson = "encoder.json";
inline constexpr const char* kVocabBpe = "vocab.bpe";

/// No published vocabulary comes near; a larger file is refused before it is read.
inline constexpr uint64_t kMaxTokenizerBytes = uint64_t{64} << 20;

/// Reads a tokenizer.json with a byte-level BPE model and one of the patterns of SplitPattern. Throws Error
/// naming the file and what it asks for that this is not: WordPiece, Unigram, SentencePiece, a normalizer,
/// another pattern, …
[[nodiscard]] BpeModel read_tokenizer_json(const std::filesystem::path& file);
/// The same from text; `where` names its source.
[[nodiscard]] BpeModel parse_tokenizer_json(std::string_view text, std::string_view where);

/// Reads GPT-2's pair of files. A token that is neither a byte nor made by a merge is an added one. Throws
/// Error naming file, line and what is wrong.
[[nodiscard]] BpeModel read_vocab_and_merges(const std::filesystem::path& vocab,
                                             const std::filesystem::path& merges);
/// The same from texts.
[[nodiscard]] BpeModel parse_vocab_and_merges(std::string_view vocab, std::string_view vocab_where,
                                              std::string_view merges, std::string_view merges_where);

/// True when vocab.json and merges.txt can say all of the model.
[[nodiscard]] bool fits_vocab_and_merges(const BpeModel& model);

/// Writes tokenizer.json, and GPT-2's pair of files where they say the same; each atomically. Throws Error.
void save_bpe(const BpeModel& model, const std::filesystem::path& folder);

}  // namespace headlight
