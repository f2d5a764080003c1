// Every kernel on 16-bit elements: operands are widened to fp32, the fp32 kernel runs, results are rounded
// back. On a CPU the 16 bits save memory, not time: its arithmetic on them is slower than on fp32.
#include "kernels/cpu/sixteen_bit.h"

#include "kernels/cpu/sixteen_bit_attention.h"

namespace headlight::kernels::cpu {

namespace sixteen_bit {

namespace {

template <class E>
void embedding_forward(Context&, E* y, const int32_t* tokens, const E* table, int64_t R, int64_t C) {
  // Rows are only moved: no detour over fp32, and no need to know the table's height.
  for (int64_t r = 0; r < R; ++r) std::copy_n(table + tokens[r] * C, C, y + r * C);
}

template <class E>
void embedding_backward(Context& context, float* dtable, const float* base, const E* dy,
                        const int32_t* tokens, int64_t R, int64_t C, int64_t V) {
  Widened<E> wide(context);
  cpu::embedding_backward(context, dtable, base, wide.input(dy, R * C), tokens, R, C, V);
}

template <class E>
void position_forward(Context& context, E* y, const E* table, int64_t B, int64_t T, int64_t C) {
  Widened<E> wide(context);
  cpu::position_forward(context, wide.output(y, B * T * C), wide.input(table, T * C), B, T, C);
  wide.write_back();
}

template <class E>
void position_backward(Context& context, float* dtable, const E* dy, int64_t B, int64_t T, int64_t C,
                       int64_t P) {
  Widened<E> wide(context);
  cpu::position_backward(context, dtable, wide.input(dy, B * T * C), B, T, C, P);
}

template <class E>
void layernorm_forward(Context& context, float* mean, float* scale, E* normalized, E* y, const E* x,
                       const E* gain, const E* bias, int64_t R, int64_t C, float eps) {
  Widened<E> wide(context);
  cpu::layernorm_forward(context, mean, scale, wide.output(normalized, R * C), wide.output(y, R * C),
                         wide.input(x, R * C), wide.input(gain, C), wide.input(bias, C), R, C, eps);
  wide.write_back();
}

template <class E>
void layernorm_backward(Context& context, E* dx, float* dgain, float* dbias, const E* dy, const E* x,
                        const float* mean, const float* scale, const E* gain, int64_t R, int64_t C) {
  Widened<E> wide(context);
  cpu::layernorm_backward(context, wide.output(dx, R * C), dgain, dbias, wide.input(dy, R * C),
                          wide.input(x, R * C), mean, scale, wide.input(gain, C), R, C);
  wide.write_back();
}

template <class E>
void rmsnorm_forward(Context& context, float* scale, E* normalized, E* y, const E* x, const E* gain,
                     int64_t R, int64_t C, float eps) {
  Widened<E> wide(context);
  cpu::rmsnorm_forward(context, scale, wide.output(normalized, R * C), wide.output(y, R * C),
                       wide.input(x, R * C), wide.input(gain, C), R, C, eps);
  wide.write_back();
}

template <class E>
void rmsnorm_backward(Context& context, E* dx, float* dgain, const E* dy, const E* x, const float* scale,
                      const E* gain, int64_t R, int64_t C) {
  Widened<E> wide(context);
  cpu::rmsnorm_backward(context, wide.output(dx, R * C), dgain, wide.input(dy, R * C), wide.input(x, R * C),
                        scale, wide.input(gain, C), R, C);
  wide.write_back();
}

template <class E>
void linear_forward(Context& context, E* y, const E* x, const E* w, const E* bias, int64_t R, int64_t in,
                    int64_t out, WeightLayout layout) {
  Widened<E> wide(context);
  cpu::linear_forward(context, wide.output(y, R * out), wide.input(x, R * in), wide.input(w, in * out),
                      wide.input(bias, out), R, in, out, layout);
  wide.write_back();
}

template <class E>
void linear_backward_input(Context& context, E* dx, const E* dy, const E* w, int64_t R, int64_t in,
                           int64_t out, WeightLayout layout) {
  Widened<E> wide(context);
  cpu::linear_backward_input(context, wide.output(dx, R * in), wide.input(dy, R * out),
                             wide.input(w, in * out), R, in, out, layout);
  wide.write_back();
}

template <class E>
void linear_backward_weight(Context& context, float* dw, const E* dy, const E* x, int64_t R, int64_t in,
                            int64_t out, WeightLayout layout) {
  Widened<E> wide(context);
  cpu::linear_backward_weight(context, dw, wide.input(dy, R * out), wide.input(x, R * in), R, in, out,
                              layout);
}

template <class E>
void linear_backward_bias(Context& context, float* db, const E* dy, int64_t R, int64_t out) {
  Widened<E> wide(context);
  cpu::linear_backward_bias(context, db, wide.input(dy, R * out), R, out);
}

template <class E>
void add_forward(Context& context, E* y, const E* a, const E* b, int64_t n) {
  Widened<E> wide(context);
  cpu::add_forward(context, wide.output(y, n), wide.input(a, n), wide.input(b, n), n);
  wide.write_back();
}

template <class E>
void multiply_forward(Context& context, E* y, const E* a, const E* b, int64_t n) {
  Widened<E> wide(context);
  cpu::multiply_forward(context, wide.output(y, n), wide.input(a, n), wide.input(b, n), n);
  wide.write_back();
}

template <class E>
void gelu_tanh_forward(Context& context, E* y, const E* x, int64_t n) {
  Widened<E> wide(context);
  cpu::gelu_tanh_forward(context, wide.output(y, n), wide.input(x, n), n);
  wide.write_back();
}

template <class E>
void gelu_tanh_backward(Context& context, E* dx, const E* dy, const E* x, int64_t n) {
  Widened<E> wide(context);
  cpu::gelu_tanh_backward(context, wide.output(dx, n), wide.input(dy, n), wide.input(x, n), n);
  wide.write_back();
}

template <class E>
void gelu_erf_forward(Context& context, E* y, const E* x, int64_t n) {
  Widened<E> wide(context);
  cpu::gelu_erf_forward(context, wide.output(y, n), wide.input(x, n), n);
  wide.write_back();
}

template <class E>
void gelu_erf_backward(Context& context, E* dx, const E* dy, const E* x, int64_t n) {
  Widened<E> wide(context);
  cpu::gelu_erf_backward(context, wide.output(dx, n), wide.input(dy, n), wide.input(x, n), n);
  wide.write_back();
}

template <class E>
void silu_forward(Context& context, E* y, const E* x, int64_t n) {
  Widened<E> wide(context);
  cpu::silu_forward(context, wide.output(y, n), wide.input(x, n), n);
  wide.write_back();
}

template <class E>
void silu_backward(Context& context, E* dx, const E* dy, const E* x, int64_t n) {
  Widened<E> wide(context);
  cpu::silu_backward(context, wide.output(dx, n), wide.input(dy, n), wide.input(x, n), n);
  wide.write_back();
}

template <class E>
void relu_forward(Context& context, E* y, const E* x, int64_t n) {
  Widened<E> wide(context);
  cpu::relu_forward(context, wide.output(y, n), wide.input(x, n), n);
  wide.write_back();
}

template <class E>
void relu_backward(Context& context, E* dx, const E* dy, const E* x, int64_t n) {
  Widened<E> wide(context);
  cpu::relu_backward(context, wide.output(dx, n), wide.input(dy, n), wide.input(x, n), n);
  wide.write_back();
}

template <class E>
void dropout(Context& context, E* y, const E* x, float p, const uint64_t* seed, uint64_t salt, int64_t n) {
  Widened<E> wide(context);
  cpu::dropout(context, wide.output(y, n), wide.input(x, n), p, seed, salt, n);
  wide.write_back();
}

template <class E>
void cross_entropy_forward(Context& context, float* loss, float* loss_row, const E* p, const int32_t* targets,
                           int64_t R, int64_t V) {
  Widened<E> wide(context);
  cpu::cross_entropy_forward(context, loss, loss_row, wide.input(p, R * V), targets, R, V);
}

template <class E>
void cross_entropy_backward(Context& context, E* dp, const float* dloss, const E* p, const int32_t* targets,
                            int64_t R, int64_t V) {
  Widened<E> wide(context);
  cpu::cross_entropy_backward(context, wide.output(dp, R * V), dloss, wide.input(p, R * V), targets, R, V);
  wide.write_back();
}

template <class E>
void softmax_cross_entropy_forward(Context& context, float* loss, float* loss_row, float* lse,
                                   const E* logits, const int32_t* targets, int64_t R, int64_t V) {
  Widened<E> wide(context);
  cpu::softmax_cross_entropy_forward(context, loss, loss_row, lse, wide.input(logits, R * V), targets, R, V);
}

template <class E>
void softmax_cross_entropy_backward(Context& context, E* dlogits, const float* dloss, const E* logits,
                                    const float* lse, const int32_t* targets, int64_t R, int64_t V) {
  Widened<E> wide(context);
  cpu::softmax_cross_entropy_backward(context, wide.output(dlogits, R * V), dloss, wide.input(logits, R * V),
                                      lse, targets, R, V);
  wide.write_back();
}

template <class E>
constexpr TypedKernels<E> kSixteenBit{
    .embedding_forward = embedding_forward<E>,
    .embedding_backward = embedding_backward<E>,
    .position_forward = position_forward<E>,
    .position_backward = position_backward<E>,
    .layernorm_forward = layernorm_forward<E>,
    .layernorm_backward = layernorm_backward<E>,
    .rmsnorm_forward = rmsnorm_forward<E>,
    .rmsnorm_backward = rmsnorm_backward<E>,
    .linear_forward = linear_forward<E>,
    .linear_backward_input = linear_backward_input<E>,
    .linear_backward_weight = linear_backward_weight<E>,
    .linear_backward_bias = linear_backward_bias<E>,
    .split_heads_forward = split_heads_forward<E>,
    .split_heads_backward = split_heads_backward<E>,
    .rope = rope<E>,
    .merge_heads = merge_heads<E>,
    .scores_forward = scores_forward<E>,
    .scores_backward_query = scores_backward_query<E>,
    .scores_backward_key = scores_backward_key<E>,
    .scale = scale<E>,
    .mask_forward = mask_forward<E>,
    .mask_backward = mask_backward<E>,
    .softmax_forward = softmax_forward<E>,
    .softmax_backward = softmax_backward<E>,
    .weighted_sum_forward = weighted_sum_forward<E>,
    .weighted_sum_backward_pattern = weighted_sum_backward_pattern<E>,
    .weighted_sum_backward_value = weighted_sum_backward_value<E>,
    .attention_forward = attention_forward<E>,
    .attention_backward = attention_backward<E>,
    .add_forward = add_forward<E>,
    .multiply_forward = multiply_forward<E>,
    .gelu_tanh_forward = gelu_tanh_forward<E>,
    .gelu_tanh_backward = gelu_tanh_backward<E>,
    .gelu_erf_forward = gelu_erf_forward<E>,
    .gelu_erf_backward = gelu_erf_backward<E>,
    .silu_forward = silu_forward<E>,
    .silu_backward = silu_backward<E>,
    .relu_forward = relu_forward<E>,
    .relu_backward = relu_backward<E>,
    .dropout = dropout<E>,
    .cross_entropy_forward = cross_entropy_forward<E>,
    .cross_entropy_backward = cross_entropy_backward<E>,
    .softmax_cross_entropy_forward = softmax_cross_entropy_forward<E>,
    .softmax_cross_entropy_backward = softmax_cross_entropy_backward<E>,
    .widen = widen_elements<E>,
    .narrow = narrow_elements<E>,
};

}  // namespace

}  // namespace sixteen_bit

void widen(Context& context, float* y, const float* x, int64_t n) {
  sixteen_bit::widen_elements(context, y, x, n);
}
void narrow(Context& context, float* y, const float* x, int64_t n) {
  sixteen_bit::narrow_elements(context, y, x, n);
}

template <class E>
const TypedKernels<E>& sixteen_bit_kernels() {
  return sixteen_bit::kSixteenBit<E>;
}
template const TypedKernels<bfloat16>& sixteen_bit_kernels<bfloat16>();
template const TypedKernels<float16>& sixteen_bit_kernels<float16>();

}  // namespace headlight::kernels::cpu
