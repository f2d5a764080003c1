// See weight_writer.h.
#include "core/model/weight_writer.h"

#include <algorithm>
#include <vector>

namespace headlight {

namespace {
constexpr size_t kPiece = size_t{1} << 18;  ///< numbers fetched in one go

std::vector<int64_t> dims(const Shape& shape) {
  std::vector<int64_t> result;
  for (const Axis& axis : shape.axes()) result.push_back(axis.size);
  return result;
}
}  // namespace

void add_memory(SafetensorsWriter& writer, std::string name, const Parameters& parameters,
                const Parameters::Entry& entry, const float* device) {
  const auto count = static_cast<size_t>(entry.spec.shape.count());
  writer.add_streamed(std::move(name), dims(entry.spec.shape),
                      [&parameters, device, count](const SafetensorsWriter::Sink& sink) {
                        std::vector<float> piece(std::min(count, kPiece));
                        for (size_t at = 0; at < count; at += kPiece) {
                          const std::span<float> values(piece.data(), std::min(kPiece, count - at));
                          parameters.backend().download(values.data(), device + at, values.size_bytes());
                          sink(values);
                        }
                      });
}

void add_weights(SafetensorsWriter& writer, const Parameters& parameters, const ModelConfig& config,
                 FileLayout layout) {
  for (const Parameters::Entry& entry : parameters.entries()) {
    for (const StoredPart& part : stored_parts(entry.spec, config, layout)) {
      add_memory(writer, part.name, parameters, entry, entry.value);
    }
  }
}

}  // namespace headlight
