// Edits: every kind against the double model with the same intervention, the textual form there and back, and
// the sentences for edits that cannot be.
#include "core/run/edit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "tests/support/error_text.h"
#include "tests/support/model.h"
#include "tests/support/reference.h"

namespace headlight {
namespace {

using test::error_of;
using Values = std::vector<double>;

constexpr int64_t kB = 2, kT = 5, kH = 3, kD = 4;

class Edits : public ::testing::Test {
 protected:
  Edits() : parameters_(test::cpu(), config_, 3), reference_(config_, kB, kT) {
    test::randomize(parameters_, 5);
    reference_.load(parameters_);
  }

  /// Runs the model with `edits` and the double model with `change`, and compares all that the latter knows.
  void expect_same(const std::vector<std::string>& edits, const test::ReferenceModel::Hook& change,
                   const std::vector<std::string>& except = {}) {
    ProgramOptions options;
    for (const std::string& text : edits) options.edits.push_back(parse_edit(text));
    const auto run = test::run_model(config_, parameters_, inputs_, kB, kT, options);
    const double untouched = reference_.forward(inputs_.tokens, inputs_.targets);
    const double loss = reference_.forward(inputs_.tokens, inputs_.targets, change);
    EXPECT_GT(std::abs(loss - untouched), 1e-4) << "the edit hardly does anything";
    EXPECT_NEAR(run->loss, loss, 1e-5);
    for (const auto& [name, values] : reference_.activations) {
      if (std::find(except.begin(), except.end(), name) != except.end()) continue;
      EXPECT_LE(test::relative_error(run->values(name), values), 5e-6) << name;
    }
    EXPECT_EQ(run->edits, options.edits);
  }
  [[nodiscard]] std::string error(const std::string& edit, bool fused = false) {
    ProgramOptions options;
    options.fused = fused;
    options.edits = {parse_edit(edit)};
    return error_of([&] { (void)test::run_model(config_, parameters_, inputs_, kB, kT, options); });
  }

  const ModelConfig config_ = test::small_config();
  Parameters parameters_;
  test::ReferenceModel reference_;
  RunInputs inputs_ = test::random_inputs(config_, kB, kT, 7);
};

/// True where element i of a [B,T,H,D] buffer belongs to the head.
bool in_head(size_t i, int64_t head) { return static_cast<int64_t>(i) / kD % kH == head; }

TEST_F(Edits, ZeroABuffer) {
  expect_same({"blocks.0.hook_mlp_out:zero"}, [](const std::string& name, Values& x) {
    if (name == "blocks.0.hook_mlp_out") std::fill(x.begin(), x.end(), 0.0);
  });
}

TEST_F(Edits, ZeroOneHead) {
  expect_same({"blocks.1.attn.hook_z:head=2:zero"}, [](const std::string& name, Values& x) {
    for (size_t i = 0; i < x.size() && name == "blocks.1.attn.hook_z"; ++i) x[i] = in_head(i, 2) ? 0.0 : x[i];
  });
}

TEST_F(Edits, ScaleOneHeadOfThePattern) {
  // The pattern's heads lie on another axis than z's.
  expect_same({"blocks.0.attn.hook_pattern:head=1:scale=-2.5"}, [](const std::string& name, Values& x) {
    for (size_t i = 0; i < x.size() && name == "blocks.0.attn.hook_pattern"; ++i) {
      if (static_cast<int64_t>(i) / (kT * kT) % kH == 1) x[i] *= -2.5;
    }
  });
}

TEST_F(Edits, AGlobReachesEveryBlock) {
  expect_same({"blocks.*.hook_attn_out:scale=0.5"}, [](const std::string& name, Values& x) {
    if (!name.ends_with("hook_attn_out")) return;
    for (double& v : x) v *= 0.5;
  });
}

TEST_F(Edits, AGlobOverOutputsOfOneStepActsOnceOnEach) {
  expect_same({"blocks.0.attn.hook_?:scale=2"}, [](const std::string& name, Values& x) {
    const bool hit = name.starts_with("blocks.0.attn.hook_") && name.size() == 20;
    for (double& v : x) v *= hit ? 2.0 : 1.0;
  });
}

TEST_F(Edits, EditsActInTheirOrder) {
  expect_same({"blocks.0.hook_mlp_out:replace=3", "blocks.0.hook_mlp_out:scale=0.25"},
              [](const std::string& name, Values& x) {
                if (name == "blocks.0.hook_mlp_out") std::fill(x.begin(), x.end(), 0.75);
              });
}

TEST_F(Edits, AnAliasIsANameToo) {
  expect_same({"blocks.1.hook_resid_pre:scale=1.5"}, [](const std::string& name, Values& x) {
    for (double& v : x) v *= name == "blocks.0.hook_resid_post" ? 1.5 : 1.0;
  });
}

TEST_F(Edits, ReplaceAHeadWithGivenNumbers) {
  std::string text = "blocks.0.attn.hook_v:head=0:replace=";
  std::vector<double> numbers;
  for (int64_t i = 0; i < kB * kT * kD; ++i) {
    numbers.push_back(static_cast<double>(i % 7) * 0.25 - 0.5);
    text += fmt::format("{}{}", i > 0 ? "," : "", numbers.back());
  }
  expect_same({text}, [&](const std::string& name, Values& x) {
    size_t next = 0;
    for (size_t i = 0; i < x.size() && name == "blocks.0.attn.hook_v"; ++i) {
      if (in_head(i, 0)) x[i] = numbers[next++];
    }
  });
}

TEST_F(Edits, OpenAndCloseCellsOfTheMask) {
  const std::string mask = "blocks.1.attn.hook_attn_scores";
  expect_same({mask + ":mask=1,4,open", mask + ":head=2:mask=3,0,closed"},
              [&](const std::string& name, Values& x) {
                if (name != mask) return;
                const Values& scaled = reference_.activations.at("blocks.1.attn.hook_scores_scaled");
                for (int64_t b = 0; b < kB; ++b) {
                  for (int64_t h = 0; h < kH; ++h) {
                    const auto at = [&](int64_t i, int64_t j) {
                      return static_cast<size_t>(((b * kH + h) * kT + i) * kT + j);
                    };
                    x[at(1, 4)] = scaled[at(1, 4)];
                    if (h == 2) x[at(3, 0)] = -std::numeric_limits<double>::infinity();
                  }
                }
              });
}

TEST_F(Edits, TheGradientFollowsAMaskCell) {
  ProgramOptions options;
  options.backward = true;
  options.edits = {parse_edit("blocks.0.attn.hook_attn_scores:mask=1,4,open"),
                   parse_edit("blocks.0.attn.hook_attn_scores:mask=3,0,closed")};
  const auto run = test::run_model(config_, parameters_, inputs_, kB, kT, options);
  const BufferId id = run->program().require("blocks.0.attn.hook_scores_scaled_grad");
  const Shape& shape = run->program().buffer(id).shape;
  EXPECT_NE(run->value(id, shape.offset({0, 0, 1, 4})), 0.0);
  EXPECT_EQ(run->value(id, shape.offset({0, 0, 2, 4})), 0.0);
  EXPECT_EQ(run->value(id, shape.offset({0, 0, 3, 0})), 0.0);
  EXPECT_NE(run->value(id, shape.offset({0, 0, 3, 1})), 0.0);
}

TEST_F(Edits, AnotherTemperatureInOneBlock) {
  for (const bool fused : {false, true}) {
    ProgramOptions options;
    options.fused = fused;
    options.edits = {parse_edit("blocks.1.attn.hook_pattern:temperature=0.25")};
    const auto run = test::run_model(config_, parameters_, inputs_, kB, kT, options);
    const double loss =
        reference_.forward(inputs_.tokens, inputs_.targets, [](const std::string& name, Values& x) {
          if (name != "blocks.1.attn.hook_attn_scores") return;
          for (double& v : x) v *= 4;
        });
    EXPECT_NEAR(run->loss, loss, 1e-5);
  }
}

TEST_F(Edits, SentencesForEditsThatDoNotFitTheProgram) {
  EXPECT_EQ(error("blocks.0.attn.hook_zz:zero"),
            "this program has no buffer \"blocks.0.attn.hook_zz\"; the nearest is \"blocks.0.attn.hook_z\"");
  EXPECT_EQ(error("wte.weight:zero"),
            "\"wte.weight\" is given, not computed, so edit \"wte.weight:zero\" cannot change it");
  EXPECT_EQ(error("hook_embed:head=0:zero"),
            "\"hook_embed\" has no heads; leave \":head\" out of edit \"hook_embed:head=0:zero\"");
  EXPECT_EQ(error("blocks.0.attn.hook_z:head=3:zero"),
            "\"blocks.0.attn.hook_z\" has heads 0 to 2, but edit \"blocks.0.attn.hook_z:head=3:zero\" names "
            "head 3");
  EXPECT_EQ(error("loss_per_token:replace=1,2"),
            "edit \"loss_per_token\" gives 2 numbers, but \"loss_per_token\" takes 1 or 10");
  EXPECT_SAYS(error("blocks.0.attn.hook_pattern:zero", true), "this program has no buffer");
}

TEST(EditText, ThereAndBack) {
  for (const std::string text :
       {"blocks.1.attn.hook_z:head=2:zero", "hook_embed:zero", "blocks.*.hook_mlp_out:scale=-0.125",
        "hook_embed:head=0:replace=1,-2.5,1e-30,-inf", "blocks.0.attn.hook_attn_scores:mask=3,7,open",
        "blocks.0.attn.hook_attn_scores:head=1:mask=0,0,closed",
        "blocks.0.attn.hook_pattern:temperature=0.1"}) {
    const Edit edit = parse_edit(text);
    EXPECT_EQ(edit_text(edit), text);
    EXPECT_EQ(parse_edit(edit_text(edit)), edit);
  }
  Random random(3);
  for (int i = 0; i < 2000; ++i) {
    Edit edit;
    edit.kind = static_cast<Edit::Kind>(random.below(5));
    edit.target = fmt::format("blocks.{}.*", random.below(12));
    edit.head = static_cast<int64_t>(random.below(4)) - 1;
    if (edit.kind == Edit::Kind::scale) edit.factor = random.normal();
    if (edit.kind == Edit::Kind::temperature) edit.factor = random.uniform() + 1e-9;
    if (edit.kind == Edit::Kind::mask_cell) {
      edit.query = static_cast<int64_t>(random.below(1000));
      edit.key = static_cast<int64_t>(random.below(1000));
      edit.open = random.below(2) == 0;
    }
    if (edit.kind == Edit::Kind::replace) {
      for (uint64_t n = random.below(5) + 1; n > 0; --n)
        edit.values.push_back(static_cast<float>(random.normal()));
    }
    ASSERT_EQ(parse_edit(edit_text(edit)), edit) << edit_text(edit);
  }
}

TEST(EditText, BadFormsSayWhereAndWhatWouldDo) {
  for (const auto& [text, part] :
       std::vector<std::pair<std::string, std::string>>{{"", ""},
                                                        {"hook_embed", "hook_embed"},
                                                        {":zero", ":zero"},
                                                        {"hook_embed:", ""},
                                                        {"hook_embed:head=1", "hook_embed:head=1"},
                                                        {"hook_embed:head=-1:zero", "head=-1"},
                                                        {"hook_embed:head=one:zero", "head=one"},
                                                        {"hook_embed:zero=1", "zero=1"},
                                                        {"hook_embed:zero:scale=2", "scale=2"},
                                                        {"hook_embed:scale", "scale"},
                                                        {"hook_embed:scale=2x", "scale=2x"},
                                                        {"hook_embed:temperature=0", "temperature=0"},
                                                        {"hook_embed:temperature=-1", "temperature=-1"},
                                                        {"hook_embed:replace=", "replace="},
                                                        {"hook_embed:replace=1,,2", "replace=1,,2"},
                                                        {"hook_embed:mask=1,2", "mask=1,2"},
                                                        {"hook_embed:mask=1,2,shut", "mask=1,2,shut"},
                                                        {"hook_embed:mask=-1,2,open", "mask=-1,2,open"},
                                                        {"hook_embed:double", "double"},
                                                        {"hook_embed:scale=nan", "scale=nan"},
                                                        {"hook_embed:replace=1,nan", "replace=1,nan"},
                                                        {"hook_embed:temperature=inf", "temperature=inf"}}) {
    const std::string said = error_of([&] { (void)parse_edit(text); });
    EXPECT_SAYS(said, fmt::format("edit \"{}\" cannot be read at \"{}\"; write TARGET[:head=N]", text, part));
  }
}

}  // namespace
}  // namespace headlight
