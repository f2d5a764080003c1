// See run.h.
#include "core/run/run.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"

namespace headlight {

std::vector<int32_t> Run::text() const {
  std::vector<int32_t> all = past;
  const auto T = std::min(tokens.size(), static_cast<size_t>(program().T()));
  all.insert(all.end(), tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(T));
  return all;
}

bool Run::has(BufferId id_) const { return id_ >= 0 && has(id_, {0, program().buffer(id_).shape.count()}); }

bool Run::has(BufferId id_, const ElementRange& range_) const {
  return id_ >= 0 && static_cast<size_t>(id_) < recorded.size() &&
         recorded[static_cast<size_t>(id_)] != nullptr &&
         recorded[static_cast<size_t>(id_)]->range().covers(range_);
}

std::span<const float> Run::range(BufferId id_, const ElementRange& range_) const {
  if (!has(id_, range_)) return {};
  const Recorded& data = *recorded[static_cast<size_t>(id_)];
  if (data.values.empty()) return {};
  return std::span(data.values)
      .subspan(static_cast<size_t>(range_.first - data.first), static_cast<size_t>(range_.count));
}

std::shared_ptr<const float> Run::on_device(BufferId id_, const ElementRange& range_) const {
  if (!has(id_, range_)) return nullptr;
  const Recorded& data = *recorded[static_cast<size_t>(id_)];
  if (data.on_device == nullptr) return nullptr;
  return {data.on_device, data.on_device.get() + (range_.first - data.first)};
}

std::span<const float> Run::values(BufferId id_) const {
  if (!has(id_)) return {};
  return recorded[static_cast<size_t>(id_)]->values;
}

std::shared_ptr<const HeadDigest> Run::digest(BufferId id_, int64_t head) const {
  if (id_ < 0 || static_cast<size_t>(id_) >= digests.size()) return nullptr;
  const auto& of = digests[static_cast<size_t>(id_)];
  if (of == nullptr || head < 0 || static_cast<size_t>(head) >= of->heads.size()) return nullptr;
  return {of, &of->heads[static_cast<size_t>(head)]};
}

std::span<const float> Run::values(std::string_view name) const {
  const auto found = program().find(name);
  return found ? values(*found) : std::span<const float>();
}

double Run::value(BufferId id_, int64_t offset) const {
  if (!has(id_, {offset, 1})) fail("\"{}\" was not captured in this run", program().buffer(id_).name);
  const Recorded& data = *recorded[static_cast<size_t>(id_)];
  const auto at = static_cast<size_t>(offset - data.first);
  return data.integers.empty() ? static_cast<double>(data.values.at(at))
                               : static_cast<double>(data.integers.at(at));
}

CellTerms Run::explain(BufferId id_, int64_t offset) const {
  const Buffer& buffer = program().buffer(id_);
  if (buffer.writer < 0) fail("\"{}\" is given, not computed", buffer.name);
  const Step& step = program().step(buffer.writer);
  const auto output = std::find(step.outputs.begin(), step.outputs.end(), id_) - step.outputs.begin();
  return step.op->explain(*this, step, static_cast<size_t>(output), offset);
}

const BufferStatistics* Run::statistics(BufferId id_) const {
  return id_ >= 0 && static_cast<size_t>(id_) < measured.size() ? measured[static_cast<size_t>(id_)].get()
                                                                : nullptr;
}

BufferStatistics buffer_statistics(const kernels::ValueStatistics& found,
                                   std::span<const uint64_t> histogram) {
  BufferStatistics s;
  s.count = found.count;
  s.non_finite = found.non_finite;
  s.mean = found.mean;
  s.standard_deviation = found.standard_deviation;
  s.minimum = found.minimum;
  s.maximum = found.maximum;
  s.histogram.assign(histogram.begin(), histogram.end());
  return s;
}

BufferStatistics statistics(std::span<const float> values, int bins) {
  kernels::FiniteSums sums;
  for (const float value : values) kernels::take(sums, value);
  kernels::ValueStatistics found = kernels::statistics_of(sums, static_cast<int64_t>(values.size()));
  std::vector<uint64_t> histogram(static_cast<size_t>(bins), 0);
  double squares = 0;
  for (const float value : values) {
    if (!kernels::is_finite(value)) continue;
    squares += kernels::squared_distance(value, found.mean);
    histogram[static_cast<size_t>(kernels::bin_of(value, found.minimum, found.maximum, bins))] += 1;
  }
  if (sums.finite > 0) found.standard_deviation = std::sqrt(squares / static_cast<double>(sums.finite));
  return buffer_statistics(found, histogram);
}

}  // namespace headlight
