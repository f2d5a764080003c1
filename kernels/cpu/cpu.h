// Every kernel of the CPU backend, declared through its function type. Defined in the file of its op.
#pragma once

#include "kernels/kernels.h"

namespace headlight::kernels::cpu {

EmbeddingForward embedding_forward;
EmbeddingBackward embedding_backward;
PositionForward position_forward;
PositionBackward position_backward;
LayerNormForward layernorm_forward;
LayerNormBackward layernorm_backward;
LinearForward linear_forward;
LinearBackwardInput linear_backward_input;
LinearBackwardWeight linear_backward_weight;
LinearBackwardBias linear_backward_bias;
SplitHeadsForward split_heads_forward;
SplitHeadsBackward split_heads_backward;
MergeHeads merge_heads;
ScoresForward scores_forward;
ScoresBackwardQuery scores_backward_query;
ScoresBackwardKey scores_backward_key;
Scale scale;
MaskForward mask_forward;
MaskBackward mask_backward;
SoftmaxForward softmax_forward;
SoftmaxBackward softmax_backward;
WeightedSumForward weighted_sum_forward;
WeightedSumBackwardPattern weighted_sum_backward_pattern;
WeightedSumBackwardValue weighted_sum_backward_value;
AttentionForward attention_forward;
AttentionBackward attention_backward;
AddForward add_forward;
GeluTanhForward gelu_tanh_forward;
GeluTanhBackward gelu_tanh_backward;
GeluErfForward gelu_erf_forward;
GeluErfBackward gelu_erf_backward;
ReluForward relu_forward;
ReluBackward relu_backward;
Dropout dropout;
CrossEntropyForward cross_entropy_forward;
CrossEntropyBackward cross_entropy_backward;
SoftmaxCrossEntropyForward softmax_cross_entropy_forward;
SoftmaxCrossEntropyBackward softmax_cross_entropy_backward;
SumOfSquares sum_of_squares;
ClipFactor clip_factor;
AdamW adamw;

}  // namespace headlight::kernels::cpu
