// Kernels that start while the ones before them on the stream still run (programmatic dependent launch,
// compute capability 9.0 and later): the decode path, where a kernel's own work is as short as the gap to the
// next one. Such a kernel first calls let_next_start(), reads ahead what no kernel that it may overlap writes
// (weights, and what the host gave: tokens, places), and then, in every thread, wait_for_previous() before
// anything else that it reads or writes.
//
// It may overlap others of its kind alone: CudaContext starts it behind anything else in full order, so that
// weights that were packed or tokens that were copied just before are there.
#pragma once

#include "kernels/cuda/context.h"
#include "kernels/cuda/overlap_device.h"

namespace headlight::kernels::cuda {

/// launch() for such a kernel.
template <class... P, class... A>
void launch_overlapping(Context& context, void (*kernel)(P...), Grid grid, dim3 block, size_t shared_bytes,
                        A&&... arguments) {
  const CudaContext::Turn turn = on_cuda(context).overlapping_turn();
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = turn.overlaps ? 1 : 0;
  cudaLaunchConfig_t config{};
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = turn.stream;
  config.attrs = &overlap;
  config.numAttrs = 1;
  detail::launch_as(config, kernel, grid, std::forward<A>(arguments)...);
}

}  // namespace headlight::kernels::cuda
