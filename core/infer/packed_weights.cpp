// See packed_weights.h.
#include "core/infer/packed_weights.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/base/parse_number.h"
#include "core/model/device_memory.h"

namespace headlight {

namespace {

constexpr int64_t groups[] = {32, 64, 128};

/// Matrices that a linear step or the embedding reads; learned positions are added, not multiplied.
bool is_packed(const ParameterSpec& spec) { return spec.shape.rank() == 2 && !spec.name.starts_with("wpe."); }

kernels::WeightLayout layout_of(const ParameterSpec& spec) {
  const bool table = spec.name.starts_with("wte.") || spec.name.starts_with("lm_head.");
  return table ? kernels::WeightLayout::out_in : kernels::WeightLayout::in_out;
}

const kernels::InferenceKernels& kernels_of(const kernels::Backend& backend) {
  if (backend.inference() == nullptr) {
    fail("{} has no products with packed weights; use --device cpu or --weights fp32", backend.description());
  }
  return *backend.inference();
}

size_t matrix_bytes(const kernels::InferenceKernels& kernels, const WeightStorage& storage, int64_t in,
                    int64_t out) {
  return storage.format == WeightFormat::int8 ? kernels.packed_bytes_int8(in, out, storage.group)
                                              : kernels.packed_bytes_bf16(in, out);
}

/// Releases what it holds.
class Temporary {
 public:
  Temporary(kernels::Backend& backend, size_t bytes)
      : backend_(backend), memory_(allocate_on(backend, bytes, "checking packed weights")) {}
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary() { backend_.release(memory_); }
  [[nodiscard]] float* floats() const { return static_cast<float*>(memory_); }

 private:
  kernels::Backend& backend_;
  void* memory_;
};

double relative_error(const std::vector<float>& stored, const std::vector<float>& exact) {
  double error = 0, size = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    const double difference = static_cast<double>(stored[i]) - static_cast<double>(exact[i]);
    error += difference * difference;
    size += static_cast<double>(exact[i]) * static_cast<double>(exact[i]);
  }
  return size > 0 ? std::sqrt(error / size) : std::sqrt(error);
}

}  // namespace

WeightStorage parse_weight_storage(std::string_view text) {
  if (text == "fp32") return {};
  if (text == "bf16") return {WeightFormat::bf16, 0};
  if (text == "int8") return {WeightFormat::int8, 0};
  if (text.starts_with("int8:")) {
    const auto group = parse_int(text.substr(5));
    if (group && std::find(std::begin(groups), std::end(groups), *group) != std::end(groups)) {
      return {WeightFormat::int8, *group};
    }
  }
  fail("weights \"{}\" are not known; choose fp32, bf16, int8, int8:32, int8:64 or int8:128", text);
}

std::string weight_storage_text(const WeightStorage& storage) {
  if (storage.format == WeightFormat::bf16) return "bf16";
  if (storage.format == WeightFormat::f32) return "fp32";
  return storage.group > 0 ? fmt::format("int8:{}", storage.group) : "int8";
}

size_t PackedWeights::bytes_of(const kernels::Backend& backend, const ModelConfig& config,
                               const WeightStorage& storage) {
  if (storage.format == WeightFormat::f32) return 0;
  size_t bytes = 0;
  for (const ParameterSpec& spec : parameter_specs(config)) {
    if (!is_packed(spec)) continue;
    const bool rows = layout_of(spec) == kernels::WeightLayout::in_out;
    bytes += matrix_bytes(kernels_of(backend), storage, spec.shape.size(rows ? 0 : 1),
                          spec.shape.size(rows ? 1 : 0));
  }
  return bytes;
}

PackedWeights::PackedWeights(const Parameters& parameters, const WeightStorage& storage)
    : backend_(parameters.backend()), storage_(storage) {
  if (storage.format == WeightFormat::f32) fail("fp32 weights are not packed; choose bf16 or int8");
  (void)kernels_of(backend_);
  try {
    for (const Parameters::Entry& entry : parameters.entries()) {
      if (!is_packed(entry.spec)) continue;
      Matrix& matrix = matrices_[entry.spec.name];
      matrix.layout = layout_of(entry.spec);
      const bool rows = matrix.layout == kernels::WeightLayout::in_out;
      matrix.in = entry.spec.shape.size(rows ? 0 : 1);
      matrix.out = entry.spec.shape.size(rows ? 1 : 0);
      matrix.memory = pack(entry, matrix);
      const std::vector<float> exact = parameters.download(entry.value, entry);
      std::vector<float> stored(exact.size());
      unpack(entry.spec.name, stored);
      const double error = relative_error(stored, exact);
      if (!std::isfinite(error)) {
        fail("{} holds a value that is not finite, so it cannot be stored as {}; load a good checkpoint",
             entry.spec.name, weight_storage_text(storage_));
      }
      const size_t bytes = matrix_bytes(kernels_of(backend_), storage_, matrix.in, matrix.out);
      tensors_.push_back({entry.spec.name, bytes, error});
      bytes_ += bytes;
    }
  } catch (...) {
    for (const auto& [name, matrix] : matrices_) {
      if (matrix.memory != nullptr) backend_.release(matrix.memory);
    }
    throw;
  }
}

PackedWeights::~PackedWeights() {
  for (const auto& [name, matrix] : matrices_) backend_.release(matrix.memory);
}

void* PackedWeights::pack(const Parameters::Entry& entry, Matrix& matrix) {
  const kernels::InferenceKernels& kernels = kernels_of(backend_);
  const size_t bytes = matrix_bytes(kernels, storage_, matrix.in, matrix.out);
  void* memory = allocate_on(backend_, bytes,
                             fmt::format("{} stored as {}", entry.spec.name, weight_storage_text(storage_)));
  if (storage_.format == WeightFormat::int8) {
    kernels.pack_int8(backend_.context(), memory, entry.value, matrix.in, matrix.out, storage_.group,
                      matrix.layout);
  } else {
    kernels.pack_bf16(backend_.context(), memory, entry.value, matrix.in, matrix.out, matrix.layout);
  }
  return memory;
}

void PackedWeights::unpack(const Matrix& matrix, float* device) const {
  const kernels::InferenceKernels& kernels = kernels_of(backend_);
  if (storage_.format == WeightFormat::int8) {
    kernels.unpack_int8(backend_.context(), device, matrix.memory, matrix.in, matrix.out, storage_.group,
                        matrix.layout);
  } else {
    kernels.unpack_bf16(backend_.context(), device, matrix.memory, matrix.in, matrix.out, matrix.layout);
  }
}

void* PackedWeights::memory(std::string_view name) const {
  const auto found = matrices_.find(name);
  return found == matrices_.end() ? nullptr : found->second.memory;
}

bool PackedWeights::unpack(std::string_view name, std::span<float> values) const {
  const auto found = matrices_.find(name);
  if (found == matrices_.end()) return false;
  const Temporary device(backend_, values.size_bytes());
  unpack(found->second, device.floats());
  backend_.synchronize();
  backend_.download(values.data(), device.floats(), values.size_bytes());
  return true;
}

}  // namespace headlight
