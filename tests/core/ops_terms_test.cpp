// Cell terms: any cell of any buffer explains itself. Random cells of every output of every kind of op,
// recomputed from their terms in double, against what the kernels wrote.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>

#include "core/base/error.h"
#include "core/tape/cell_terms.h"
#include "tests/support/error_text.h"
#include "tests/support/model.h"

namespace headlight {
namespace {

using test::error_of;
using test::NamedConfig;

constexpr int64_t kB = 2, kT = 5;

std::shared_ptr<const Run> recorded(const ModelConfig& config, bool fused,
                                    ElementType precision = ElementType::f32, bool checkpointing = false) {
  Parameters parameters(test::cpu(), config, 3);
  test::randomize(parameters, 5);
  test::randomize_moments(parameters, 6);
  RunInputs inputs = test::random_inputs(config, kB, kT, 7);
  inputs.adam_step = 3;
  ProgramOptions options = test::whole_program(config, fused);
  options.precision = precision;
  options.checkpointing = checkpointing;
  return test::run_model(config, parameters, inputs, kB, kT, options);
}

/// What a term of form `product` promises: coefficient · Π factors, read from the run.
void check_products(const Run& run, const CellTerms& cell, const std::string& where) {
  for (const CellTerm& term : cell.terms) {
    ASSERT_FALSE(term.factors.empty()) << where;
    for (const CellRef& factor : term.factors) {
      ASSERT_GE(factor.buffer, 0) << where;
      ASSERT_LT(factor.offset, run.program().buffer(factor.buffer).shape.count()) << where;
      ASSERT_GE(factor.offset, 0) << where;
    }
    if (term.form != CellTerm::Form::product) continue;
    double value = term.coefficient;
    for (const CellRef& factor : term.factors) value *= run.value(factor.buffer, factor.offset);
    EXPECT_DOUBLE_EQ(term.value, value) << where;
  }
}

/// Largest magnitude among a cell's parts: what rounding is relative to.
double size_of(const CellTerms& cell) {
  double size = std::abs(cell.result);
  if (cell.combine == CellTerms::Combine::quotient) return size;
  for (const CellTerm& term : cell.terms) size = std::max(size, std::abs(term.value));
  return size;
}

/// Largest magnitude in a buffer, without fills like −10⁹: what the rounding of a difference of large parts
/// is relative to.
double size_of(std::span<const float> values) {
  double size = 0;
  for (const float v : values) {
    if (std::abs(v) < 1e6F) size = std::max(size, std::abs(static_cast<double>(v)));
  }
  return size;
}

/// Checks random cells of every output of every step; adds the kinds it met.
void check_run(const Run& run, std::set<std::string>& kinds) {
  Random random(run.program().steps().size());
  for (const Step& step : run.program().steps()) {
    kinds.insert(std::string(step.op->kind()));
    for (size_t o = 0; o < step.outputs.size(); ++o) {
      const BufferId id = step.outputs[o];
      if (id == no_buffer) continue;
      const Buffer& buffer = run.program().buffer(id);
      ASSERT_TRUE(run.has(id)) << buffer.name;
      const double size = size_of(run.values(id));
      for (int cell = 0; cell < 8; ++cell) {
        const auto offset = static_cast<int64_t>(random.below(static_cast<uint64_t>(buffer.shape.count())));
        const std::string where =
            fmt::format("{} output {} ({}[{}])", step.op->kind(), o, buffer.name, offset);
        const CellTerms terms = run.explain(id, offset);
        EXPECT_FALSE(terms.formula.empty()) << where;
        check_products(run, terms, where);
        const double combined = combine_terms(terms), computed = run.value(id, offset);
        if (std::isinf(computed)) {
          EXPECT_EQ(terms.result, computed) << where;
          EXPECT_EQ(combined, computed) << where;
          continue;
        }
        EXPECT_DOUBLE_EQ(combined, terms.result) << where;
        const double rounding = buffer.type == ElementType::bf16 ? std::abs(computed) / 256 : 0;
        EXPECT_NEAR(terms.result, computed, rounding + 4e-6 * size_of(terms) + 2e-6 * size + 1e-9) << where;
      }
    }
  }
}

class OpsTerms : public ::testing::TestWithParam<NamedConfig> {};

TEST_P(OpsTerms, RandomCellsOfThePlainProgram) {
  std::set<std::string> kinds;
  check_run(*recorded(GetParam().config, false), kinds);
}
TEST_P(OpsTerms, RandomCellsOfTheFusedProgram) {
  std::set<std::string> kinds;
  check_run(*recorded(GetParam().config, true), kinds);
}
TEST_P(OpsTerms, RandomCellsOfMixedPrograms) {
  std::set<std::string> kinds;
  for (const bool fused : {false, true})
    check_run(*recorded(GetParam().config, fused, ElementType::bf16), kinds);
  EXPECT_TRUE(kinds.contains("cast"));
}
TEST_P(OpsTerms, RandomCellsOfCheckpointedPrograms) {
  std::set<std::string> kinds;
  for (const bool fused : {false, true})
    check_run(*recorded(GetParam().config, fused, ElementType::f32, true), kinds);
}
INSTANTIATE_TEST_SUITE_P(All, OpsTerms, ::testing::ValuesIn(test::many_configs()),
                         [](const auto& which) { return which.param.name; });

TEST(OpsTermsCoverage, EveryKindOfOpOccurs) {
  std::set<std::string> kinds;
  for (const NamedConfig& named : test::many_configs()) {
    for (const bool fused : {false, true}) {
      ProgramOptions options = test::whole_program(named.config, fused);
      options.precision = fused ? ElementType::bf16 : ElementType::f32;
      const auto program = build_program(named.config, kB, kT, options);
      for (const Step& step : program->steps()) kinds.insert(std::string(step.op->kind()));
    }
  }
  const std::set<std::string> all = {"adamw",
                                     "add",
                                     "attention",
                                     "attention_grad",
                                     "cast",
                                     "clip",
                                     "cross_entropy",
                                     "cross_entropy_grad",
                                     "dropout",
                                     "dropout_grad",
                                     "embedding",
                                     "embedding_grad",
                                     "gelu_erf",
                                     "gelu_erf_grad",
                                     "gelu_tanh",
                                     "gelu_tanh_grad",
                                     "layernorm",
                                     "layernorm_grad",
                                     "linear",
                                     "linear_grad_bias",
                                     "linear_grad_input",
                                     "linear_grad_weight",
                                     "mask",
                                     "mask_grad",
                                     "merge_heads",
                                     "merge_heads_grad",
                                     "multiply",
                                     "multiply_grad",
                                     "position",
                                     "position_grad",
                                     "relu",
                                     "relu_grad",
                                     "rmsnorm",
                                     "rmsnorm_grad",
                                     "rope",
                                     "rope_grad",
                                     "rope_table",
                                     "scale",
                                     "scale_grad",
                                     "scores",
                                     "scores_grad_key",
                                     "scores_grad_query",
                                     "silu",
                                     "silu_grad",
                                     "softmax",
                                     "softmax_cross_entropy",
                                     "softmax_cross_entropy_grad",
                                     "softmax_grad",
                                     "split_heads",
                                     "split_heads_grad",
                                     "squared_norms",
                                     "weighted_sum",
                                     "weighted_sum_grad_pattern",
                                     "weighted_sum_grad_value"};
  EXPECT_EQ(kinds, all) << "a new op belongs into a config of many_configs() and into this list";
}

TEST(OpsTermsCoverage, EveryStepHasAnEquation) {
  for (const NamedConfig& named : test::many_configs()) {
    for (const bool fused : {false, true}) {
      ProgramOptions options = test::whole_program(named.config, fused);
      options.precision = fused ? ElementType::bf16 : ElementType::f32;
      const auto program = build_program(named.config, kB, kT, options);
      for (const Step& step : program->steps()) {
        std::string text;
        for (const EquationPart& part : step.op->equation()) text += part.text;
        EXPECT_NE(text.find('='), std::string::npos) << step.name << ": " << text;
      }
    }
  }
}

TEST(OpsTermsEdited, MaskCellsSetByHand) {
  const ModelConfig config = test::small_config();
  Parameters parameters(test::cpu(), config, 3);
  test::randomize(parameters, 5);
  ProgramOptions options = test::whole_program(config);
  options.edits = {parse_edit("blocks.0.attn.hook_attn_scores:mask=1,3,open"),
                   parse_edit("blocks.0.attn.hook_attn_scores:head=2:mask=4,0,closed")};
  const auto run =
      test::run_model(config, parameters, test::random_inputs(config, kB, kT, 7), kB, kT, options);
  for (const std::string name : {"blocks.0.attn.hook_attn_scores", "blocks.0.attn.hook_scores_scaled_grad"}) {
    const BufferId id = run->program().require(name);
    for (int64_t i = 0; i < run->program().buffer(id).shape.count(); ++i) {
      const double value = run->value(id, i);
      const double explained = run->explain(id, i).result;
      if (std::isinf(value)) {
        EXPECT_EQ(explained, value) << name << i;
      } else {
        EXPECT_NEAR(explained, value, 1e-6) << name << i;
      }
    }
  }
}

TEST(OpsTermsMeaning, FirstFactorAndFormulaOfAFewCells) {
  const auto run = recorded(test::small_config(), false);
  const Program& p = run->program();
  // A score is D products q·k.
  const CellTerms score = run->explain(p.require("blocks.0.attn.hook_scores_raw"), 6);
  EXPECT_EQ(score.terms.size(), 4U);
  EXPECT_EQ(score.terms[0].factors[0].buffer, p.require("blocks.0.attn.hook_q"));
  EXPECT_EQ(score.terms[0].factors[1].buffer, p.require("blocks.0.attn.hook_k"));
  // A pattern's cell names its own exponential first, and the maximum of its row is the shift.
  const BufferId pattern = p.require("blocks.1.attn.hook_pattern");
  const int64_t offset = p.buffer(pattern).shape.offset({1, 2, 3, 2});
  const CellTerms cell = run->explain(pattern, offset);
  EXPECT_EQ(cell.combine, CellTerms::Combine::quotient);
  EXPECT_EQ(cell.terms[0].factors[0], (CellRef{p.require("blocks.1.attn.hook_attn_scores"), offset}));
  EXPECT_EQ(cell.terms.size(), static_cast<size_t>(kT));
  double maximum = -INFINITY;
  for (const CellTerm& term : cell.terms) {
    maximum = std::max(maximum, run->value(term.factors[0].buffer, term.factors[0].offset));
  }
  EXPECT_EQ(cell.shift, maximum);
  // A residual is what was there plus what the sublayer wrote.
  const CellTerms residual = run->explain(p.require("blocks.0.hook_resid_mid"), 5);
  ASSERT_EQ(residual.terms.size(), 2U);
  EXPECT_EQ(residual.terms[0].factors[0], (CellRef{p.require("blocks.0.hook_resid_pre"), 5}));
  EXPECT_EQ(residual.terms[1].factors[0], (CellRef{p.require("blocks.0.hook_attn_out"), 5}));
}

TEST(OpsTermsMissing, SourcesThatWereNotCapturedAndGivenBuffers) {
  const ModelConfig config = test::small_config();
  Parameters parameters(test::cpu(), config, 3);
  const auto run = test::run_model(config, parameters, test::random_inputs(config, kB, kT, 7), kB, kT, {},
                                   {{"*.hook_pattern", "tokens"}, size_t{1} << 20});
  const BufferId pattern = run->program().require("blocks.0.attn.hook_pattern");
  EXPECT_SAYS(error_of([&] { (void)run->explain(pattern, 0); }),
              "\"blocks.0.attn.hook_attn_scores\" was not captured in this run");
  EXPECT_SAYS(error_of([&] { (void)run->explain(run->program().require("tokens"), 0); }),
              "\"tokens\" is given, not computed");
}

}  // namespace
}  // namespace headlight
