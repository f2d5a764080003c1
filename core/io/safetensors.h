// safetensors files: model weights, checkpoints, captured runs. A file from outside is checked by hand before
// a byte of it is used.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace headlight {

/// One tensor of a file.
struct TensorInfo {
  std::string name;
  std::string dtype;           ///< "F32", "F16", "BF16", "I32", "I64", "U64", "U8", …
  std::vector<int64_t> shape;  ///< empty: one number
  uint64_t offset = 0;         ///< first byte, from the start of the data area
  uint64_t size = 0;           ///< bytes

  [[nodiscard]] int64_t elements() const;
};

/// "3×4", or "scalar".
[[nodiscard]] std::string shape_text(std::span<const int64_t> shape);

/// A file open for reading. Its header is checked when it is opened: length at most 100 MB and inside the
/// file, valid UTF-8 JSON without repeated names, known dtypes, shapes whose product does not overflow and
/// agrees with the offsets, and offsets that tile the rest of the file exactly.
class SafetensorsFile {
 public:
  static constexpr uint64_t max_header_bytes = 100'000'000;

  /// Opens and checks. Throws Error naming the file, the tensor and the rule that it breaks.
  explicit SafetensorsFile(std::filesystem::path file);
  ~SafetensorsFile();
  SafetensorsFile(SafetensorsFile&& other) noexcept;
  SafetensorsFile& operator=(SafetensorsFile&& other) noexcept;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// In the order of their bytes.
  [[nodiscard]] const std::vector<TensorInfo>& tensors() const { return tensors_; }
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const { return metadata_; }
  [[nodiscard]] bool contains(std::string_view name) const { return find(name) != nullptr; }
  /// nullptr when there is none of that name.
  [[nodiscard]] const TensorInfo* find(std::string_view name) const;
  /// Throws Error naming the file and the nearest name.
  [[nodiscard]] const TensorInfo& info(std::string_view name) const;

  /// The numbers of an F32, F16, BF16 or F64 tensor as floats, row-major. Throws Error on another dtype.
  [[nodiscard]] std::vector<float> read_f32(std::string_view name) const;
  /// The same into memory of exactly elements() floats, for weights that need no copy.
  void read_f32(std::string_view name, std::span<float> out) const;
  /// A piece of it, out.size() numbers from number `first` on: large tensors go through a small buffer.
  void read_f32(const TensorInfo& tensor, uint64_t first, std::span<float> out) const;
  /// The numbers of an I8…I64, U8…U64 or BOOL tensor. Throws Error on another dtype or a number above
  /// INT64_MAX.
  [[nodiscard]] std::vector<int64_t> read_i64(std::string_view name) const;
  /// The numbers of a U64 tensor. Throws Error on another dtype.
  [[nodiscard]] std::vector<uint64_t> read_u64(std::string_view name) const;
  /// The bytes as they lie in the file (little endian).
  [[nodiscard]] std::vector<uint8_t> read_bytes(std::string_view name) const;

 private:
  void parse_header(std::string_view header, uint64_t data_bytes);
  void read_at(const TensorInfo& tensor, uint64_t first, uint64_t bytes, void* out) const;

  std::filesystem::path path_;
  int fd_ = -1;
  uint64_t data_start_ = 0;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, size_t, std::less<>> index_;
  std::map<std::string, std::string> metadata_;
};

/// Collects tensors and writes them as one file. Tensors are viewed, not copied: their memory must live until
/// write(), or they are produced while the file is written.
class SafetensorsWriter {
 public:
  /// `values` holds exactly the product of `shape`. Throws Error on a repeated name or a size that does not
  /// fit.
  void add(std::string name, std::span<const float> values, std::vector<int64_t> shape);
  void add(std::string name, std::span<const int32_t> values, std::vector<int64_t> shape);
  void add(std::string name, std::span<const int64_t> values, std::vector<int64_t> shape);
  void add(std::string name, std::span<const uint64_t> values, std::vector<int64_t> shape);
  /// Bytes (little endian) of any dtype that the reader knows.
  void add_bytes(std::string name, std::string dtype, std::span<const uint8_t> bytes,
                 std::vector<int64_t> shape);
  /// Floats that need not lie in memory at once: `produce` hands them to its argument piece by piece, in
  /// order, when the file is written.
  using Sink = std::function<void(std::span<const float>)>;
  void add_streamed(std::string name, std::vector<int64_t> shape, std::function<void(const Sink&)> produce);
  void set_metadata(std::string key, std::string value);

  /// Bytes that write() will take.
  [[nodiscard]] uint64_t file_size() const;
  /// Writes atomically; keep_previous as in AtomicFile. Throws Error naming the file.
  void write(const std::filesystem::path& file, bool keep_previous = false) const;

 private:
  struct Entry {
    TensorInfo info;
    const void* data = nullptr;
    std::function<void(const Sink&)> produce;  ///< where data is null
  };
  void add_entry(TensorInfo info);
  [[nodiscard]] std::string header() const;

  std::vector<Entry> entries_;
  std::map<std::string, std::string> metadata_;
  uint64_t data_bytes_ = 0;
};

}  // namespace headlight
