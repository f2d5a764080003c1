// Between float and the 16-bit element types, one tensor or many.
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/tensor_list.h"
#include "kernels/cuda/training.h"

namespace headlight::kernels::cuda {

namespace {

template <class To, class From>
__global__ void convert(To* y, const From* x, int64_t n, bool vectors) {
  // The 16-bit side is read or written 16 bytes at a time, the float side twice that.
  using Narrower = std::conditional_t<sizeof(To) < sizeof(From), To, From>;
  for_array<Narrower>(n, vectors, thread_in_grid(), threads_in_grid(), [&](int64_t i, auto count) {
    constexpr int N = decltype(count)::value;
    store<N>(y + i, load<N>(x + i));
  });
}

template <class E>
__global__ void narrow_pieces(const TensorList<NarrowedTensor<E>> list) {
  const Piece piece = piece_of(list);
  E* y = list.at[piece.index].y + piece.begin;
  const float* x = list.at[piece.index].x + piece.begin;
  for_array<E>(piece.n, vectors_in(y, x), threadIdx.x, kPieceThreads, [&](int64_t i, auto count) {
    constexpr int N = decltype(count)::value;
    store<N>(y + i, load<N>(x + i));
  });
}

template <class To, class From>
void launch_convert(Context& context, To* y, const From* x, int64_t n) {
  launch(context, convert<To, From>, blocks_for(context, n, 2048), 256, 0, y, x, n, aligned(y, x));
}

}  // namespace

template <class E>
void widen(Context& context, float* y, const E* x, int64_t n) {
  launch_convert(context, y, x, n);
}
template <class E>
void narrow(Context& context, E* y, const float* x, int64_t n) {
  launch_convert(context, y, x, n);
}

template <class E>
void narrow_all(Context& context, std::span<const NarrowedTensor<E>> tensors) {
  for_lists(tensors, [&](const TensorList<NarrowedTensor<E>>& list, int pieces, size_t /*from*/) {
    launch(context, narrow_pieces<E>, pieces, kPieceThreads, 0, list);
  });
}

template Widen<float> widen<float>;
template Widen<bfloat16> widen<bfloat16>;
template Widen<float16> widen<float16>;
template Narrow<float> narrow<float>;
template Narrow<bfloat16> narrow<bfloat16>;
template Narrow<float16> narrow<float16>;
template NarrowAll<float> narrow_all<float>;
template NarrowAll<bfloat16> narrow_all<bfloat16>;
template NarrowAll<float16> narrow_all<float16>;

}  // namespace headlight::kernels::cuda
