// How each kind of op is shown: which of its buffers, drawn how, arranged how. One table; read by
// prepare_pass().
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "app/views/pass_model.h"

namespace headlight::app {

/// One buffer of a step in a recipe.
struct PassSlot {
  enum class From { input, output, forward, update } from = From::input;
  ///< forward: the value whose gradient the step's first output is. update: first output − first input.
  size_t index = 0;
  PassMatrix::Attach attach = PassMatrix::Attach::none;
  size_t host = 0;  ///< place in the recipe of the matrix that it is attached to
  /// Weights [in, out] and [out, in] (an embedding table used as a head) are drawn so that they fit the
  /// product.
  enum class Turn { no, yes, if_in_out, if_out_in } turn = Turn::no;
};

struct PassRecipe {
  std::string_view kind = {};
  PassScene::Layout layout = PassScene::Layout::chain;
  std::vector<PassSlot> slots = {};  ///< of a product: left, top, corner, then what is attached
  std::vector<PassScene::Grid> grids =
      {};                     ///< of places in `slots`; empty: in one row or each below the last
  bool shared_scale = false;  ///< one range of values for all matrices
  /// Of the weight's gradient: with a table [out, in] left and top change places.
  bool swaps_if_out_in = false;
};

/// Null for a kind without a recipe: its inputs and outputs then stand in a row.
[[nodiscard]] const PassRecipe* find_pass_recipe(std::string_view kind);
/// All of them, for the test that every op has one.
[[nodiscard]] std::span<const PassRecipe> pass_recipes();

}  // namespace headlight::app
