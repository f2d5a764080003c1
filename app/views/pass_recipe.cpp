// The table of recipes.
#include "app/views/pass_recipe.h"

#include <algorithm>

namespace headlight::app {
namespace {

using From = PassSlot::From;
using Turn = PassSlot::Turn;
using Layout = PassScene::Layout;

PassSlot in(size_t index, Turn turn = Turn::no) {
  return {.from = From::input, .index = index, .turn = turn};
}
PassSlot out(size_t index) { return {.from = From::output, .index = index}; }
PassSlot forward_value() { return {.from = From::forward}; }
PassSlot change() { return {.from = From::update}; }
PassSlot right_of(size_t host, PassSlot slot) {
  slot.attach = PassMatrix::Attach::right;
  slot.host = host;
  return slot;
}
PassSlot below(size_t host, PassSlot slot) {
  slot.attach = PassMatrix::Attach::below;
  slot.host = host;
  return slot;
}

std::vector<PassRecipe> make_recipes() {
  std::vector<PassRecipe> all;
  const auto chain = [&](std::string_view kind, std::vector<PassSlot> slots, bool shared_scale = false,
                         std::vector<PassScene::Grid> grids = {}) {
    all.push_back({kind, Layout::chain, std::move(slots), std::move(grids), shared_scale});
  };
  const auto product = [&](std::string_view kind, std::vector<PassSlot> slots, bool swaps = false) {
    all.push_back({kind, Layout::product, std::move(slots), {}, false, swaps});
  };
  const std::vector<PassScene::Grid> columns_in_line = {{{0}, {1}}};

  chain("embedding", {in(1), out(0)}, true);
  chain("position", {in(0), out(0)}, true);
  chain("add", {in(0), in(1), out(0), forward_value()}, true);
  chain("layernorm",
        {in(0), right_of(0, out(1)), right_of(0, out(2)), out(0), below(3, in(1)), below(3, in(2))});
  chain("rmsnorm", {in(0), right_of(0, out(1)), out(0), below(2, in(1))});
  product("linear", {in(0), in(1, Turn::if_out_in), out(0), below(2, in(2))});
  chain("split_heads", {in(0), out(0), out(1), out(2)}, true, {{{0}, {1, 2, 3}}, {{0, 1, 2, 3}}});
  chain("rope_table", {out(0), out(1)}, true, {{{0, 1}}, {{0}, {1}}});
  chain("rope", {in(0), in(1), in(2), out(0)}, false, {{{0, 1, 2}, {3}}, {{0, 3}, {1, 2}}, {{0, 1, 2, 3}}});
  product("scores", {in(0), in(1, Turn::yes), out(0)});
  chain("scale", {in(0), out(0)}, true);
  chain("mask", {in(0), out(0)}, true);
  chain("softmax", {in(0), out(0)});
  product("weighted_sum", {in(0), in(1), out(0)});
  chain("merge_heads", {in(0), out(0)}, true);
  chain("attention", {in(0), out(0), out(1)}, false, {{{0}, {1}, {2}}, {{0}, {1, 2}}, {{0, 1, 2}}});
  for (const std::string_view kind : {"gelu_tanh", "gelu_erf", "relu", "silu"}) chain(kind, {in(0), out(0)});
  chain("multiply", {in(0), in(1), out(0)});
  chain("dropout", {in(0), out(0)}, true);
  chain("cast", {in(0), out(0)}, true);
  all.push_back({"cross_entropy", Layout::loss, {in(0)}});
  all.push_back({"softmax_cross_entropy", Layout::loss, {in(0)}});

  chain("packed_embedding", {in(1), out(0)}, true);
  chain("position_at", {in(0), out(0)}, true);
  product("packed_linear", {in(0), in(1, Turn::if_out_in), out(0), below(2, in(2))});
  chain("cache_append", {in(0), in(1), out(0)}, true, {{{0, 1}, {2}}, {{0, 2}, {1}}, {{0, 1, 2}}});
  product("cached_scores", {in(0), in(1, Turn::yes), out(0)});
  chain("cached_mask", {in(0), out(0)}, true);
  product("cached_weighted_sum", {in(0), in(1), out(0)});
  chain("cached_attention", {in(0), in(1), in(2), out(0)}, false,
        {{{1, 2}, {0}, {3}}, {{0}, {1, 2}, {3}}, {{0, 1, 2, 3}}});
  chain("last_token", {in(0), out(0)}, true);

  chain("embedding_grad", {in(0), in(3), out(0)});
  chain("position_grad", {in(0), out(0)});
  chain("layernorm_grad",
        {in(0), in(1), right_of(1, in(2)), right_of(1, in(3)), out(0), below(4, out(1)), below(4, out(2))});
  chain("rmsnorm_grad", {in(0), in(1), right_of(1, in(2)), out(0), below(3, out(1))});
  product("linear_grad_input", {in(0), in(1, Turn::if_in_out), out(0)});
  product("linear_grad_weight", {in(1, Turn::yes), in(0), out(0)}, true);
  chain("linear_grad_bias", {in(0), out(0)}, false, columns_in_line);
  chain("split_heads_grad", {in(0), in(1), in(2), out(0)}, true, {{{0, 1, 2}, {3}}, {{0, 1, 2, 3}}});
  chain("rope_grad", {in(0), in(1), in(2), out(0)}, false,
        {{{0, 1, 2}, {3}}, {{0, 3}, {1, 2}}, {{0, 1, 2, 3}}});
  product("scores_grad_query", {in(0), in(1), out(0)});
  product("scores_grad_key", {in(0, Turn::yes), in(1), out(0)});
  chain("scale_grad", {in(0), out(0), forward_value()});
  chain("mask_grad", {in(0), out(0), forward_value()});
  chain("softmax_grad", {in(0), in(1), out(0)});
  product("weighted_sum_grad_pattern", {in(0), in(1, Turn::yes), out(0)});
  product("weighted_sum_grad_value", {in(1, Turn::yes), in(0), out(0)});
  chain("merge_heads_grad", {in(0), out(0)}, true);
  chain("attention_grad", {in(0), in(3), out(0)});
  for (const std::string_view kind : {"gelu_tanh_grad", "gelu_erf_grad", "relu_grad", "silu_grad"})
    chain(kind, {in(0), in(1), out(0)});
  chain("multiply_grad", {in(0), in(1), out(0)});
  chain("dropout_grad", {in(0), out(0)}, true);
  chain("cross_entropy_grad", {in(1), out(0)});
  chain("softmax_cross_entropy_grad", {in(1), out(0)});

  all.push_back({"squared_norms", Layout::norms, {}});
  all.push_back({"clip", Layout::norms, {}});
  chain("adamw", {in(0), in(3), out(0), change()}, false,
        {{{0, 1}, {2, 3}}, {{0, 1, 2, 3}}, {{0}, {1}, {2}, {3}}});
  return all;
}

const std::vector<PassRecipe>& table() {
  static const std::vector<PassRecipe> recipes = make_recipes();
  return recipes;
}

}  // namespace

const PassRecipe* find_pass_recipe(std::string_view kind) {
  const auto it =
      std::find_if(table().begin(), table().end(), [&](const PassRecipe& r) { return r.kind == kind; });
  return it == table().end() ? nullptr : &*it;
}

std::span<const PassRecipe> pass_recipes() { return table(); }

}  // namespace headlight::app
