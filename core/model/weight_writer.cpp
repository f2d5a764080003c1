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

/// Some columns of a parameter, each of them a row of the file.
void add_columns(SafetensorsWriter& writer, std::string name, const StoredPart& part,
                 const Parameters& parameters, const Parameters::Entry& entry) {
  writer.add_streamed(std::move(name), part.shape,
                      [&parameters, &entry, first = static_cast<size_t>(part.first_column),
                       columns = static_cast<size_t>(part.columns)](const SafetensorsWriter::Sink& sink) {
                        const std::vector<float> values = parameters.download(entry.value, entry);
                        const auto width = static_cast<size_t>(entry.spec.shape.last());
                        const size_t rows = values.size() / width;
                        const size_t together = std::max<size_t>(1, kPiece / rows);
                        std::vector<float> stored;
                        for (size_t from = 0; from < columns; from += together) {
                          const size_t count = std::min(together, columns - from);
                          stored.resize(count * rows);
                          for (size_t r = 0; r < rows; ++r) {
                            for (size_t c = 0; c < count; ++c)
                              stored[c * rows + r] = values[r * width + first + from + c];
                          }
                          sink(stored);
                        }
                      });
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
      // GPT-2's own files have no prefix; Llama's always have.
      const bool prefix = part.in_body && layout == FileLayout::llama;
      std::string name = (prefix ? std::string(body_prefix(layout)) : "") + part.name;
      if (part.columns == entry.spec.shape.last() && !part.transposed) {
        add_memory(writer, std::move(name), parameters, entry, entry.value);
      } else {
        add_columns(writer, std::move(name), part, parameters, entry);
      }
    }
  }
}

}  // namespace headlight
