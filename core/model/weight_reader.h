// Weights from files into a backend's memory: every name and shape is checked before any memory is taken,
// then tensors go over in pieces. Used by core/model/model_folder.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/io/weight_files.h"
#include "core/model/config.h"
#include "core/model/parameters.h"
#include "core/model/weight_layout.h"

namespace headlight {

/// Told how much of the bytes is read, 0 … 1, every few megabytes.
using LoadProgress = std::function<void(double fraction)>;

/// Where every parameter of a config lies in a set of files.
class WeightReader {
 public:
  /// Looks every parameter up. Keeps a reference to `files`. Throws Error that lists the tensors which are
  /// missing, names the first whose shape or dtype is another one (found and expected), or lists those of the
  /// model's body that the config has no place for.
  WeightReader(const WeightFiles& files, const ModelConfig& config);

  [[nodiscard]] FileLayout layout() const { return layout_; }
  /// One sentence about tensors outside the model's body that were not read; empty where there are none.
  [[nodiscard]] const std::string& remark() const { return remark_; }

  /// Reads all weights, in pieces of a few megabytes; only a transposed tensor is held whole. `parameters`
  /// are those of the config.
  void read(Parameters& parameters, const LoadProgress& progress = {}) const;
  /// Reads one tensor in our own layout (an optimiser's moment) into device memory of `entry`'s size. Throws
  /// Error naming it where it is missing or has another shape.
  void read_moment(const std::string& name, Parameters& parameters, const Parameters::Entry& entry,
                   float* device) const;

 private:
  struct Source {
    StoredPart part;
    StoredTensor stored;
  };

  [[nodiscard]] StoredTensor locate(const StoredPart& part) const;
  void resolve();
  void list_unexpected();
  /// Puts the parts of one parameter together in memory.
  void assemble(const std::vector<Source>& sources, Parameters& parameters, const Parameters::Entry& entry,
                const std::function<void(uint64_t bytes)>& done) const;
  void copy_whole(const Source& source, Parameters& parameters, float* device,
                  const std::function<void(uint64_t bytes)>& done) const;

  const WeightFiles& files_;
  ModelConfig config_;
  FileLayout layout_ = FileLayout::gpt2;
  std::vector<std::vector<Source>> sources_;  ///< by parameter
  uint64_t total_bytes_ = 0;
  std::string remark_;
};

}  // namespace headlight
