// See run_file.h.
#include "core/run/run_file.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/io/safetensors.h"
#include "core/model/config_json.h"

namespace headlight {

void write_run(const std::filesystem::path& file, const Run& run) {
  SafetensorsWriter writer;
  const Program& program = run.program();
  for (size_t i = 0; i < program.buffers().size(); ++i) {
    if (!run.has(static_cast<BufferId>(i))) continue;
    const Buffer& buffer = program.buffers()[i];
    std::vector<int64_t> shape;
    for (const Axis& axis : buffer.shape.axes()) shape.push_back(axis.size);
    const Recorded& data = *run.recorded[i];
    if (buffer.type == ElementType::i32) {
      writer.add(buffer.name, std::span<const int32_t>(data.integers), shape);
    } else {
      writer.add(buffer.name, std::span<const float>(data.values), shape);
    }
  }
  // A second name for the same value is written as a tensor of its own, so that every hook name can be looked
  // up.
  for (const auto& [name, id] : program.aliases()) {
    if (!run.has(id) || !is_floating(program.buffer(id).type)) continue;
    std::vector<int64_t> shape;
    for (const Axis& axis : program.buffer(id).shape.axes()) shape.push_back(axis.size);
    writer.add(name, run.values(id), shape);
  }
  nlohmann::json edits = nlohmann::json::array();
  for (const Edit& edit : run.edits) edits.push_back(edit_text(edit));
  writer.set_metadata("config", config_to_json(run.config).dump());
  writer.set_metadata("edits", edits.dump());
  writer.set_metadata("left_out", nlohmann::json(run.left_out).dump());
  writer.set_metadata("backend", run.backend);
  if (std::isfinite(run.loss)) writer.set_metadata("loss", fmt::format("{}", run.loss));
  writer.write(file);
}

}  // namespace headlight
