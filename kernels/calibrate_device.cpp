// What a GPU reaches at best in this process, through the backend's own table: a copy far larger than its
// caches, and a large product of bfloat16 matrices. Benchmarks divide by it.
#include "kernels/bench.h"
#include "kernels/bench_device.h"

namespace headlight::kernels {

DeviceCalibration calibrate_device(Backend& backend, size_t copied, int64_t width) {
  DeviceCalibration calibration;
  {
    const Filled from(backend, copied), to(backend, copied);
    const double seconds =
        median_seconds(backend, [&] { backend.copy(to.of<char>(), from.of<char>(), copied); });
    calibration.copy_bytes = 2.0 * static_cast<double>(copied) / seconds;
  }
  const size_t matrix = static_cast<size_t>(width * width) * sizeof(bfloat16);
  const Filled x(backend, matrix), w(backend, matrix), y(backend, matrix);
  const double seconds = median_seconds(backend, [&] {
    backend.bfloat16_kernels().linear_forward(backend.context(), y.of<bfloat16>(), x.of<bfloat16>(),
                                              w.of<bfloat16>(), nullptr, width, width, width,
                                              WeightLayout::in_out);
  });
  const auto n = static_cast<double>(width);
  calibration.product_flops = 2.0 * n * n * n / seconds;
  return calibration;
}

}  // namespace headlight::kernels
