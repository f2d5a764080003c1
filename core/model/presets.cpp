// See presets.h. Sizes are those of the course's systems; what a system does not say is chosen for a laptop's
// processor.
#include "core/model/presets.h"

#include <array>
#include <vector>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/utf8.h"

namespace headlight {

namespace {

constexpr int64_t story_vocabulary = 48;

Preset nano() {
  Preset preset;
  preset.name = "nano";
  preset.title_en = "Two blocks that learn to look back";
  preset.title_vi = "Hai khối học cách nhìn lại";
  preset.config = {
      .n_layer = 2, .n_head = 4, .n_embd = 64, .n_positions = 64, .vocab_size = story_vocabulary};
  // Fast enough for a class to watch the induction head form: around step 1,000 to 1,500.
  preset.train = {
      .B = 32, .T = 64, .steps = 4000, .learning_rate = 3e-3, .min_learning_rate = 1e-4, .weight_decay = 0.1};
  return preset;
}

Preset llama_nano() {
  Preset preset;
  preset.name = "llama-nano";
  preset.title_en = "RMSNorm, rotary positions, shared keys, a gated MLP";
  preset.title_vi = "RMSNorm, vị trí quay, khóa dùng chung, MLP có cổng";
  // Two thirds of 4·C, so that three matrices have about as many weights as GPT-2's two.
  preset.config = {.n_layer = 2,
                   .n_head = 4,
                   .n_kv_head = 2,
                   .n_embd = 64,
                   .n_positions = 64,
                   .vocab_size = story_vocabulary,
                   .n_inner = 176,
                   .activation = Activation::silu,
                   .norm = NormKind::rmsnorm,
                   .mlp = MlpKind::gated,
                   .position = PositionKind::rope,
                   .tie_word_embeddings = false,
                   .bias = false};
  preset.train = nano().train;
  return preset;
}

Preset one_head() {
  Preset preset;
  preset.name = "one-head";
  preset.title_en = "One attention head and nothing else";
  preset.title_vi = "Một đầu attention, không gì khác";
  preset.config = {.n_layer = 1,
                   .n_head = 1,
                   .n_embd = 64,
                   .n_positions = 8,
                   .vocab_size = 50257,
                   .final_norm = false,
                   .mlp = MlpKind::none,
                   .bias = false};
  preset.train = {.B = 5, .T = 8, .steps = 2000, .learning_rate = 1e-3, .min_learning_rate = 1e-4};
  preset.keep_vocabulary = true;
  return preset;
}

Preset block() {
  Preset preset;
  preset.name = "block";
  preset.title_en = "One Transformer block";
  preset.title_vi = "Một khối Transformer";
  preset.config = {
      .n_layer = 1, .n_head = 4, .n_embd = 64, .n_positions = 64, .vocab_size = story_vocabulary};
  preset.train = {.B = 32, .T = 64, .steps = 2000, .learning_rate = 1e-3, .min_learning_rate = 1e-4};
  return preset;
}

Preset multi_block() {
  Preset preset;
  preset.name = "multi-block";
  preset.title_en = "Four blocks of eight heads";
  preset.title_vi = "Bốn khối, mỗi khối tám đầu";
  preset.config = {
      .n_layer = 4, .n_head = 8, .n_embd = 256, .n_positions = 64, .vocab_size = story_vocabulary};
  // Warm-up over 5 % of the steps, as in the depth experiment of the course.
  preset.train = {
      .B = 32, .T = 64, .steps = 2000, .learning_rate = 3e-4, .min_learning_rate = 3e-5, .warmup_steps = 100};
  return preset;
}

Preset mini() {
  Preset preset;
  preset.name = "mini";
  preset.title_en = "A mini language model, post-LN";
  preset.title_vi = "Mô hình ngôn ngữ mini, post-LN";
  preset.config = {.n_layer = 4,
                   .n_head = 8,
                   .n_embd = 256,
                   .n_positions = 128,
                   .vocab_size = story_vocabulary,
                   .norm_position = NormPosition::post,
                   .dropout = 0.1};
  preset.train = {.B = 32,
                  .T = 128,
                  .steps = 5000,
                  .learning_rate = 3e-4,
                  .min_learning_rate = 3e-4,
                  .warmup_steps = 0,
                  .schedule = Schedule::constant,
                  .eval_every = 200,
                  .sample_every = 200};
  return preset;
}

}  // namespace

std::span<const Preset> presets() {
  static const std::array<Preset, 6> all{nano(), llama_nano(), one_head(), block(), multi_block(), mini()};
  return all;
}

const Preset& find_preset(std::string_view name) {
  std::vector<std::string> names;
  for (const Preset& preset : presets()) {
    if (preset.name == name) return preset;
    names.push_back(preset.name);
  }
  fail("there is no preset {}; did you mean {}? Presets are {}", quote(name), nearest_name(name, names),
       fmt::join(names, ", "));
}

}  // namespace headlight
