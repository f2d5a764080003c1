// A captured run as a safetensors file keyed by hook name: what `headlight run --out` and the window's export
// write.
#pragma once

#include <filesystem>

#include "core/run/run.h"

namespace headlight {

/// Writes every captured buffer under its name with its shape; tokens and targets as I32. Metadata: config,
/// edits, loss and what the byte budget left out. Throws Error naming the file.
void write_run(const std::filesystem::path& file, const Run& run);

}  // namespace headlight
