// See watcher.h.
#include "core/run/watcher.h"

#include <algorithm>
#include <cstring>

namespace headlight {

namespace {

/// Sizes and places of what a digest leaves in the backend's memory: rows, then pictures, then ranges.
struct DigestLayout {
  int64_t H = 0, Tq = 0, Tk = 0;
  kernels::PictureShape shape;
  size_t rows = 0, pictures = 0, bytes = 0;  ///< end of the rows, of the pictures, and of all

  DigestLayout(const Shape& buffer, bool is_pattern)
      : H(buffer.size(1)),
        Tq(buffer.size(2)),
        Tk(buffer.last()),
        shape(kernels::picture_shape(Tq, Tk)),
        rows(is_pattern ? static_cast<size_t>(H * Tq) * sizeof(kernels::PatternRow) : 0),
        pictures(rows + static_cast<size_t>(H * shape.rows * shape.cols) * sizeof(float)),
        bytes(pictures + static_cast<size_t>(2 * H) * sizeof(float)) {}
};

constexpr size_t kStatisticsBytes =
    sizeof(kernels::ValueStatistics) + static_cast<size_t>(statistics_bins) * sizeof(uint64_t);

/// Calls body(elements) with the buffer's memory under its own type.
template <class Body>
void with_elements(ElementType type, const void* memory, const Body& body) {
  switch (type) {
    case ElementType::bf16:
      return body(static_cast<const kernels::bfloat16*>(memory));
    case ElementType::f16:
      return body(static_cast<const kernels::float16*>(memory));
    case ElementType::f32:
    case ElementType::i32:
    case ElementType::u64:
      break;
  }
  body(static_cast<const float*>(memory));
}

/// `count` values of T that lie at `from`.
template <class T>
std::vector<T> copy_of(const std::byte* from, int64_t count) {
  std::vector<T> values(static_cast<size_t>(count));
  std::memcpy(values.data(), from, values.size() * sizeof(T));
  return values;
}

// A digest out of the bytes that the kernels left.
BufferDigest read_digest(const DigestLayout& at, bool pattern, std::span<const int32_t> tokens,
                         std::span<const std::byte> bytes) {
  BufferDigest digest;
  digest.heads.resize(static_cast<size_t>(at.H));
  const int64_t cells = at.shape.rows * at.shape.cols;
  for (int64_t h = 0; h < at.H; ++h) {
    HeadDigest& head = digest.heads[static_cast<size_t>(h)];
    const auto behind = [&](size_t start, int64_t count, size_t each) {
      return bytes.data() + start + static_cast<size_t>(h * count) * each;
    };
    head.picture = {copy_of<float>(behind(at.rows, cells, sizeof(float)), cells), at.shape.rows,
                    at.shape.cols};
    const auto range = copy_of<float>(behind(at.pictures, 2, sizeof(float)), 2);
    head.low = range[0];
    head.high = range[1];
    if (!pattern) continue;
    const auto of_rows = copy_of<kernels::PatternRow>(behind(0, at.Tq, sizeof(kernels::PatternRow)), at.Tq);
    head.pattern = pattern_digest(of_rows, tokens.first(static_cast<size_t>(at.Tq)));
  }
  return digest;
}

}  // namespace

Watcher::Watcher(kernels::Backend& backend, const Program& program, const CapturePlan& plan)
    : backend_(backend), program_(program) {
  size_t bytes = 0;
  for (size_t i = 0; i < program.buffers().size(); ++i) {
    const auto id = static_cast<BufferId>(i);
    if (plan.statistics[i]) bytes = std::max(bytes, kStatisticsBytes);
    if (!plan.digests[i]) continue;
    const DigestLayout layout(program.buffer(id).shape, is_pattern(id));
    bytes = std::max(bytes, layout.bytes);
    if (!is_pattern(id)) continue;
    constexpr size_t kAligned = 64;
    key_bytes_ = std::max(
        key_bytes_, (static_cast<size_t>(layout.Tq) * sizeof(int32_t) + kAligned - 1) / kAligned * kAligned);
  }
  if (bytes > 0) memory_ = DeviceMemory(backend, key_bytes_ + bytes, "what is watched in a run");
}

bool Watcher::is_pattern(BufferId id) const {
  const int writer = program_.buffer(id).writer;
  return writer >= 0 && program_.step(writer).op->kind() == "softmax";
}

std::byte* Watcher::results() const { return static_cast<std::byte*>(memory_.get()) + key_bytes_; }

void Watcher::begin(std::span<const int32_t> tokens) {
  tokens_ = std::make_shared<const std::vector<int32_t>>(tokens.begin(), tokens.end());
  if (key_bytes_ == 0) return;
  std::vector<int32_t> keys =
      induction_keys(tokens.first(std::min(tokens.size(), static_cast<size_t>(program_.T()))));
  keys.resize(key_bytes_ / sizeof(int32_t), -1);
  backend_.upload(memory_.get(), keys.data(), key_bytes_);
}

Looked<BufferDigest> Watcher::digest(BufferId id, const void* memory) {
  const Buffer& buffer = program_.buffer(id);
  const bool pattern = is_pattern(id);
  const DigestLayout at(buffer.shape, pattern);
  auto* rows = reinterpret_cast<kernels::PatternRow*>(results());
  auto* pictures = reinterpret_cast<float*>(results() + at.rows);
  auto* ranges = reinterpret_cast<float*>(results() + at.pictures);
  with_elements(buffer.type, memory, [&]<class E>(const E* x) {
    const kernels::TypedInspection<E>& look = backend_.inspection().typed<E>();
    look.head_pictures(backend_.context(), pictures, ranges, x, at.H, at.Tq, at.Tk);
    if (!pattern) return;
    look.pattern_rows(backend_.context(), rows, x, static_cast<const int32_t*>(memory_.get()), at.H, at.Tq,
                      at.Tk);
  });
  return {results(), at.bytes, [at, pattern, tokens = tokens_](std::span<const std::byte> bytes) {
            return read_digest(at, pattern, *tokens, bytes);
          }};
}

Looked<BufferStatistics> Watcher::statistics(BufferId id, const void* memory) {
  const Buffer& buffer = program_.buffer(id);
  auto* found = reinterpret_cast<kernels::ValueStatistics*>(results());
  auto* histogram = reinterpret_cast<uint64_t*>(results() + sizeof(kernels::ValueStatistics));
  with_elements(buffer.type, memory, [&]<class E>(const E* x) {
    backend_.inspection().typed<E>().statistics(backend_.context(), found, histogram, x, buffer.shape.count(),
                                                statistics_bins);
  });
  return {results(), kStatisticsBytes, [](std::span<const std::byte> bytes) {
            const auto counts =
                copy_of<uint64_t>(bytes.data() + sizeof(kernels::ValueStatistics), statistics_bins);
            return buffer_statistics(copy_of<kernels::ValueStatistics>(bytes.data(), 1)[0], counts);
          }};
}

}  // namespace headlight
