// See corpus.h.
#include "core/text/corpus.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/io/atomic_file.h"
#include "core/text/char_tokenizer.h"
#include "core/text/tokenizer_file.h"

namespace headlight {

namespace {

/// `text` without a byte order mark, after every check that needs no tokenizer.
std::string_view checked_text(const std::string& name, std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  if (text.empty())
    fail("the text {} is empty; choose one with at least {} characters", name, Corpus::min_tokens);
  // A NUL is valid UTF-8, but no text file has one; it says "binary" more clearly than a byte above 7F would.
  if (const size_t zero = text.find('\0'); zero != std::string_view::npos) {
    fail("{} is not a text: byte {} is zero, as in binary files; choose a UTF-8 text file", name, zero);
  }
  check_utf8(text, name);
  return text;
}

std::string file_title(const std::filesystem::path& file) { return file.filename().string(); }

}  // namespace

Corpus Corpus::from_text(std::string name, std::string_view text) {
  text = checked_text(name, text);
  auto tokenizer = std::make_shared<CharTokenizer>(CharTokenizer::from_text(text));
  std::vector<int32_t> ids = encode_all(*tokenizer, text);
  return Corpus(std::move(name), std::move(tokenizer), std::move(ids));
}

Corpus Corpus::from_text_file(const std::filesystem::path& file) {
  return from_text(file_title(file), read_whole_file(file, max_file_bytes, "text"));
}

Corpus Corpus::from_text_file(const std::filesystem::path& file, std::shared_ptr<const Tokenizer> tokenizer) {
  const std::string bytes = read_whole_file(file, max_file_bytes, "text");
  std::string name = file_title(file);
  Encoded encoded = tokenizer->encode(checked_text(name, bytes));
  if (!encoded.unknown.empty()) fail("{} does not fit: {}", name, describe_unknown(encoded, *tokenizer));
  return Corpus(std::move(name), std::move(tokenizer), std::move(encoded.ids));
}

Corpus::Corpus(std::string name, std::shared_ptr<const Tokenizer> tokenizer, std::vector<int32_t> tokens,
               int64_t story_length, std::vector<double> position_entropy)
    : name_(std::move(name)),
      tokenizer_(std::move(tokenizer)),
      tokens_(std::move(tokens)),
      story_length_(story_length),
      position_entropy_(std::move(position_entropy)) {
  const auto size = static_cast<int64_t>(tokens_.size());
  if (story_length_ > 0) {
    const int64_t stories = size / story_length_;
    if (stories < 2) fail("{} has {} stories; at least 2 are needed, one of them held out", name_, stories);
    tokens_.resize(static_cast<size_t>(stories * story_length_));
    train_size_ = std::clamp<int64_t>(stories * 9 / 10, 1, stories - 1) * story_length_;
  } else {
    if (size < min_tokens) {
      fail(
          "{} is too short: it has {} tokens ({}), and at least {} are needed to train on some and hold some "
          "out",
          name_, size, tokenizer_->kind(), min_tokens);
    }
    train_size_ = size * 9 / 10;
  }
  for (const int32_t id : tokens_) check_token(id, tokenizer_->vocab_size());
}

std::span<const int32_t> Corpus::tokens(Split split) const {
  const auto cut = static_cast<size_t>(train_size_);
  const std::span all(tokens_);
  return split == Split::train ? all.first(cut) : all.subspan(cut);
}

int64_t Corpus::longest_window() const {
  if (story_length_ > 0) return story_length_ - 1;
  return static_cast<int64_t>(tokens_.size()) - train_size_ - 1;  // the held-out part is the smaller one
}

void Corpus::check_window(int64_t T) const {
  if (T < 1) fail("T = {} is no window; use at least 1, as in --set context=64", T);
  if (T <= longest_window()) return;
  if (story_length_ > 0) {
    fail("the stories of {} have windows of T = {} tokens, but T = {} is wanted; use --set context={}", name_,
         longest_window(), T, longest_window());
  }
  fail(
      "{} is too short for T = {}: its held-out tenth has {} tokens and a window needs {}; use a text of at "
      "least {} "
      "tokens, or --set context={}",
      name_, T, longest_window() + 1, T + 1, 10 * (T + 1), longest_window());
}

void Corpus::sample_batch(Split split, Random& random, int64_t B, int64_t T, int32_t* out_tokens,
                          int32_t* out_targets) const {
  check_window(T);
  const std::span<const int32_t> part = tokens(split);
  const auto size = static_cast<int64_t>(part.size());
  const int64_t starts = story_length_ > 0 ? size / story_length_ : size - T;
  for (int64_t b = 0; b < B; ++b) {
    const auto drawn = static_cast<int64_t>(random.below(static_cast<uint64_t>(starts)));
    const int32_t* window = part.data() + (story_length_ > 0 ? drawn * story_length_ : drawn);
    std::copy_n(window, T, out_tokens + b * T);
    std::copy_n(window + 1, T, out_targets + b * T);
  }
}

int64_t Corpus::eval_windows(int64_t T) const {
  check_window(T);
  const auto size = static_cast<int64_t>(tokens(Split::validation).size());
  return story_length_ > 0 ? size / story_length_ : (size - 1) / T;
}

void Corpus::eval_window(int64_t i, int64_t T, int32_t* out_tokens, int32_t* out_targets) const {
  const int64_t count = eval_windows(T);
  if (i < 0 || i >= count) fail("{} has no held-out window {}; there are {}", name_, i, count);
  const int32_t* window = tokens(Split::validation).data() + i * (story_length_ > 0 ? story_length_ : T);
  std::copy_n(window, T, out_tokens);
  std::copy_n(window + 1, T, out_targets);
}

std::optional<double> Corpus::entropy_floor(int64_t T) const {
  if (T < 1 || T > static_cast<int64_t>(position_entropy_.size())) return std::nullopt;
  const double sum = std::accumulate(position_entropy_.begin(), position_entropy_.begin() + T, 0.0);
  return sum / static_cast<double>(T);
}

}  // namespace headlight
