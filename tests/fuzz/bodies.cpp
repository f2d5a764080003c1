// See bodies.h.
#include "tests/fuzz/bodies.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/io/json.h"
#include "core/io/safetensors.h"
#include "core/model/config_json.h"
#include "core/text/bpe_files.h"
#include "core/text/bpe_tokenizer.h"
#include "core/text/byte_alphabet.h"

namespace headlight::test {

namespace {

/// Not an Error, so that no caller takes it for a refusal.
void promise(bool kept, const char* what) {
  if (!kept) throw std::logic_error(what);
}

/// A regular file in memory that holds `bytes`.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes) : fd_(memfd_create("fuzzed.safetensors", MFD_CLOEXEC)) {
    promise(fd_ >= 0 && write(fd_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()),
            "no memory file");
  }
  ~MemoryFile() { close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  [[nodiscard]] std::string path() const { return fmt::format("/proc/self/fd/{}", fd_); }

 private:
  int fd_;
};

/// Any bytes come back, whatever the merges are.
void use(const BpeModel& model) {
  const BpeTokenizer tokenizer(model);
  std::string text = "The cat sat.\n\n  123 \xFF\xE1\xBA\xBF<|endoftext|>aaaaaaaaaaaaaaaa";
  if (!model.tokens.empty()) text += model.tokens.back() + model.tokens[model.tokens.size() / 2];
  promise(tokenizer.decode(tokenizer.encode(text).ids) == text, "bytes did not come back");
}

}  // namespace

void fuzz_safetensors(std::string_view bytes) {
  const MemoryFile memory(bytes);
  const SafetensorsFile file(memory.path());
  for (const TensorInfo& tensor : file.tensors()) {
    promise(file.read_bytes(tensor.name).size() == tensor.size, "a tensor has other bytes than its size");
    const bool small_float = tensor.dtype.starts_with("F8");
    if (!small_float && (tensor.dtype.starts_with("F") || tensor.dtype == "BF16")) {
      promise(static_cast<int64_t>(file.read_f32(tensor.name).size()) == tensor.elements(),
              "a tensor has other elements than its shape");
    }
  }
}

void fuzz_tokenizer_json(std::string_view bytes) { use(parse_tokenizer_json(bytes, "tokenizer.json")); }

void fuzz_merges(std::string_view bytes) {
  static const std::string vocabulary = [] {
    nlohmann::json words;
    for (int32_t id = 0; id < 256; ++id)
      words[to_alphabet(std::string(1, static_cast<char>(alphabet_byte(id))))] = id;
    for (const char* word : {"th", "he", "the", "Ġt", "Ġthe", "aa", "aaaa", "á»", "<|endoftext|>"}) {
      words[word] = words.size();
    }
    return words.dump();
  }();
  use(parse_vocab_and_merges(vocabulary, "vocab.json", bytes, "merges.txt"));
}

void fuzz_config(std::string_view bytes) {
  const ModelConfig config = config_from_json(parse_json(bytes, "config.json"), "config.json");
  try {
    validate(config);
  } catch (const Error&) {
    promise(false, "a config that was read does not hold together");
  }
  promise(config_from_json(config_to_json(config), "again") == config,
          "a config changed when it was written");
}

}  // namespace headlight::test
