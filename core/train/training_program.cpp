// See training_program.h.
#include "core/train/training_program.h"

#include "core/model/builder.h"
#include "core/tape/rewrite_training.h"

namespace headlight {

std::shared_ptr<const Program> training_program(const ModelConfig& config, const TrainConfig& train,
                                                bool joint) {
  ProgramOptions options;
  options.backward = options.update = options.fused = options.training = options.gated = true;
  options.train = train;
  options.precision = train.precision;
  options.checkpointing = train.checkpoint;
  const auto program = build_program(config, train.B, train.T, options);
  return joint ? fuse_training(*program) : program;
}

std::shared_ptr<const Program> evaluation_program(const ModelConfig& config, const TrainConfig& train) {
  ProgramOptions options;
  options.fused = true;
  options.precision = train.precision;
  return build_program(config, train.B, train.T, options);
}

}  // namespace headlight
