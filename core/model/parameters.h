// A model's weights and AdamW's moments in a backend's memory, by Hugging Face's GPT-2 names. They outlast
// the runs and are shared by every program of the model.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/config.h"
#include "core/model/device_memory.h"
#include "core/tape/shape.h"
#include "kernels/backend.h"

namespace headlight {

/// Name and shape of one parameter; axes carry letters.
struct ParameterSpec {
  std::string name;  ///< "h.0.attn.c_attn.weight"
  Shape shape;
  enum class Init {
    normal,
    projection,
    ones,
    zeros
  } init = Init::normal;  ///< projection: σ/√(2L), GPT-2's rule
  bool decays = false;    ///< AdamW's weight decay applies (matrices, not gains and biases)
};
/// Every parameter of a model, in the order of the forward pass.
[[nodiscard]] std::vector<ParameterSpec> parameter_specs(const ModelConfig& config);

/// Owns the memory. Not copied; transfer what fits with copy_matching().
class Parameters {
 public:
  struct Entry {
    ParameterSpec spec;
    float* value = nullptr;   ///< device memory, spec.shape.count() floats; null after give_up()
    float* first = nullptr;   ///< AdamW's m; null until ensure_moments()
    float* second = nullptr;  ///< AdamW's v
  };

  /// Throws OutOfMemory saying what would fit.
  ///
  /// Fresh weights: normal(0, initializer_range), each parameter from its own stream of `seed`, so that
  /// models that differ in one switch share all other weights.
  Parameters(kernels::Backend& backend, const ModelConfig& config, uint64_t seed);
  /// Memory whose values the caller writes before anything reads them: weights that come from a file.
  struct Unset {};
  Parameters(kernels::Backend& backend, const ModelConfig& config, Unset);
  /// The weights and moments of `from`, which may lie on another device. Throws OutOfMemory; `from` stays as
  /// it is.
  Parameters(kernels::Backend& backend, const Parameters& from);
  Parameters(const Parameters&) = delete;
  Parameters& operator=(const Parameters&) = delete;

  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  /// Null where there is none of that name.
  [[nodiscard]] const Entry* find(std::string_view name) const;
  [[nodiscard]] int64_t count() const;
  /// Gives back the memory of a parameter that is held in another form from now on (packed weights): programs
  /// that are not handed that form cannot run any more.
  void give_up(std::string_view name);
  /// Bytes of the values that are held.
  [[nodiscard]] size_t value_bytes() const;
  /// Allocates the moments, zero, where they do not exist yet. Throws OutOfMemory and then holds none.
  void ensure_moments();
  [[nodiscard]] bool has_moments() const { return has_moments_; }

  /// Takes over values and moments of every parameter of the same name and shape. Returns how many.
  int copy_matching(const Parameters& from);
  /// Host copies, in fp32.
  [[nodiscard]] std::vector<float> download(const float* device, const Entry& entry) const;
  void upload(float* device, const Entry& entry, std::span<const float> values);

  [[nodiscard]] kernels::Backend& backend() const { return backend_; }

 private:
  [[nodiscard]] float* allocate(const Entry& entry, std::vector<DeviceMemory>& owner);

  kernels::Backend& backend_;
  std::vector<Entry> entries_;
  std::map<std::string, size_t, std::less<>> index_;
  std::vector<DeviceMemory> memory_;  ///< the values, by entry, and the moments behind them
  bool has_moments_ = false;
};

}  // namespace headlight
