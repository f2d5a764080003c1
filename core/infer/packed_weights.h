// A model's matrices in 16 or 8 bits, with what the rounding costs. Made once from Parameters; decode
// programs read these instead. Gains, biases and learned positions stay fp32 in Parameters.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/parameters.h"
#include "core/ops/inference.h"
#include "core/run/external_buffers.h"

namespace headlight {

/// How matrices are stored.
struct WeightStorage {
  WeightFormat format = WeightFormat::f32;
  int64_t group = 0;  ///< of int8: inputs that share a scale (32, 64, 128), or 0 for one scale an output
  bool operator==(const WeightStorage&) const = default;
};
/// "fp32", "bf16", "int8", "int8:64". Throws Error naming the ones that there are.
[[nodiscard]] WeightStorage parse_weight_storage(std::string_view text);
[[nodiscard]] std::string weight_storage_text(const WeightStorage& storage);

class PackedWeights final : public ExternalBuffers {
 public:
  /// What storing a matrix in fewer bits changed.
  struct Tensor {
    std::string name;
    size_t bytes = 0;
    double relative_error = 0;  ///< √(Σ (Ŵ − W)² / Σ W²)
  };

  /// Packs every matrix of `parameters`, on its backend. Throws Error when the format is fp32, when the
  /// backend has none of this, when memory is short, or naming a matrix that is not finite.
  PackedWeights(const Parameters& parameters, const WeightStorage& storage);
  ~PackedWeights() override;
  PackedWeights(const PackedWeights&) = delete;
  PackedWeights& operator=(const PackedWeights&) = delete;

  /// Bytes that a model of `config` would need.
  [[nodiscard]] static size_t bytes_of(const kernels::Backend& backend, const ModelConfig& config,
                                       const WeightStorage& storage);
  [[nodiscard]] const WeightStorage& storage() const { return storage_; }
  [[nodiscard]] const std::vector<Tensor>& tensors() const { return tensors_; }
  [[nodiscard]] size_t bytes() const { return bytes_; }

  [[nodiscard]] void* memory(std::string_view name) const override;
  bool unpack(std::string_view name, std::span<float> values) const override;

 private:
  struct Matrix {
    int64_t in = 0, out = 0;
    kernels::WeightLayout layout = kernels::WeightLayout::in_out;
    void* memory = nullptr;
  };
  [[nodiscard]] void* pack(const Parameters::Entry& entry, Matrix& matrix);
  void unpack(const Matrix& matrix, float* device) const;

  kernels::Backend& backend_;
  WeightStorage storage_;
  std::map<std::string, Matrix, std::less<>> matrices_;
  std::vector<Tensor> tensors_;
  size_t bytes_ = 0;
};

}  // namespace headlight
