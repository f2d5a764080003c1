// Weights from a backend's memory into a safetensors file, piece by piece, in the layout that other programs
// expect of the model. Used by core/model/model_folder.
#pragma once

#include <string>

#include "core/io/safetensors.h"
#include "core/model/config.h"
#include "core/model/parameters.h"
#include "core/model/weight_layout.h"

namespace headlight {

/// Adds every parameter under its name in `layout`. The values are fetched while the file is written, so
/// `parameters` must outlive writer.write().
void add_weights(SafetensorsWriter& writer, const Parameters& parameters, const ModelConfig& config,
                 FileLayout layout);

/// Adds device memory of the size of `entry` (a weight or an optimiser's moment) as it lies there.
void add_memory(SafetensorsWriter& writer, std::string name, const Parameters& parameters,
                const Parameters::Entry& entry, const float* device);

}  // namespace headlight
