// Every kernel of the CPU backend, declared through its function type. Defined in the file of its op.
#pragma once

#include "kernels/kernels.h"

namespace headlight::kernels::cpu {

EmbeddingForward<float> embedding_forward;
EmbeddingBackward<float> embedding_backward;
PositionForward<float> position_forward;
PositionBackward<float> position_backward;
LayerNormForward<float> layernorm_forward;
LayerNormBackward<float> layernorm_backward;
RmsNormForward<float> rmsnorm_forward;
RmsNormBackward<float> rmsnorm_backward;
LinearForward<float> linear_forward;
LinearBackwardInput<float> linear_backward_input;
LinearBackwardWeight<float> linear_backward_weight;
LinearBackwardBias<float> linear_backward_bias;
SplitHeadsForward<float> split_heads_forward;
SplitHeadsBackward<float> split_heads_backward;
RopeTable rope_table;
Rope<float> rope;
MergeHeads<float> merge_heads;
ScoresForward<float> scores_forward;
ScoresBackwardQuery<float> scores_backward_query;
ScoresBackwardKey<float> scores_backward_key;
Scale<float> scale;
MaskForward<float> mask_forward;
MaskBackward<float> mask_backward;
SoftmaxForward<float> softmax_forward;
SoftmaxBackward<float> softmax_backward;
WeightedSumForward<float> weighted_sum_forward;
WeightedSumBackwardPattern<float> weighted_sum_backward_pattern;
WeightedSumBackwardValue<float> weighted_sum_backward_value;
AttentionForward<float> attention_forward;
AttentionBackward<float> attention_backward;
AddForward<float> add_forward;
MultiplyForward<float> multiply_forward;
GeluTanhForward<float> gelu_tanh_forward;
GeluTanhBackward<float> gelu_tanh_backward;
GeluErfForward<float> gelu_erf_forward;
GeluErfBackward<float> gelu_erf_backward;
SiluForward<float> silu_forward;
SiluBackward<float> silu_backward;
ReluForward<float> relu_forward;
ReluBackward<float> relu_backward;
Dropout<float> dropout;
CrossEntropyForward<float> cross_entropy_forward;
CrossEntropyBackward<float> cross_entropy_backward;
SoftmaxCrossEntropyForward<float> softmax_cross_entropy_forward;
SoftmaxCrossEntropyBackward<float> softmax_cross_entropy_backward;
Widen<float> widen;
Narrow<float> narrow;
SumOfSquares sum_of_squares;
ClipFactor clip_factor;
AdamW adamw;

/// The same kernels on 16-bit elements; defined in sixteen_bit.cpp for bfloat16 and float16.
template <class E>
[[nodiscard]] const TypedKernels<E>& sixteen_bit_kernels();

}  // namespace headlight::kernels::cpu
