// Programs: globs, names, aliases, phases, gradients' names, and the rewrites that fuse steps.
#include "core/tape/program.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "core/ops/ops.h"
#include "core/tape/rewrite.h"
#include "tests/support/error_text.h"
#include "tests/support/model.h"

namespace headlight {
namespace {

using test::error_of;
using test::NamedConfig;

constexpr int64_t kB = 2, kT = 5;

/// Recursive twin of glob_matches.
bool slow_glob(std::string_view glob, std::string_view text) {
  if (glob.empty()) return text.empty();
  if (glob[0] == '*')
    return slow_glob(glob.substr(1), text) || (!text.empty() && slow_glob(glob, text.substr(1)));
  return !text.empty() && (glob[0] == '?' || glob[0] == text[0]) && slow_glob(glob.substr(1), text.substr(1));
}

TEST(Glob, Examples) {
  EXPECT_TRUE(glob_matches("*", ""));
  EXPECT_TRUE(glob_matches("", ""));
  EXPECT_FALSE(glob_matches("", "a"));
  EXPECT_FALSE(glob_matches("?", ""));
  EXPECT_TRUE(glob_matches("blocks.*.attn.hook_pattern", "blocks.11.attn.hook_pattern"));
  EXPECT_FALSE(glob_matches("blocks.*.attn.hook_pattern", "blocks.11.attn.hook_pattern_grad"));
  EXPECT_FALSE(glob_matches("blocks.?.hook_resid_mid", "blocks.11.hook_resid_mid"));
  EXPECT_TRUE(glob_matches("*_grad", "h.0.ln_1.weight_grad"));
}

TEST(Glob, EveryShortGlobAgreesWithTheRecursiveOne) {
  const std::string glob_letters = "ab*?", text_letters = "ab";
  const auto word = [](const std::string& letters, int number, int length) {
    std::string text;
    for (int i = 0; i < length; ++i, number /= static_cast<int>(letters.size())) {
      text += letters[static_cast<size_t>(number) % letters.size()];
    }
    return text;
  };
  for (int length = 0; length <= 4; ++length) {
    for (int g = 0; g < 1 << (2 * length); ++g) {
      const std::string glob = word(glob_letters, g, length);
      for (int n = 0; n <= 5; ++n) {
        for (int t = 0; t < 1 << n; ++t) {
          const std::string text = word(text_letters, t, n);
          ASSERT_EQ(glob_matches(glob, text), slow_glob(glob, text)) << glob << " on " << text;
        }
      }
    }
  }
}

TEST(Program, NamesAliasesAndTheNearestName) {
  const auto program = build_program(test::small_config(), kB, kT);
  EXPECT_EQ(program->find("blocks.1.hook_resid_pre"), program->find("blocks.0.hook_resid_post"));
  EXPECT_EQ(program->find("blocks.9.hook_resid_pre"), std::nullopt);
  EXPECT_EQ(program->buffer(program->require("blocks.1.hook_resid_pre")).name, "blocks.0.hook_resid_post");
  EXPECT_EQ(error_of([&] { (void)program->require("blocks.0.attn.hook_patern"); }),
            "this program has no buffer \"blocks.0.attn.hook_patern\"; the nearest is "
            "\"blocks.0.attn.hook_pattern\"");
  // Aliases are suggested too, and globs see them.
  EXPECT_SAYS(error_of([&] { (void)program->require("blocks.1.hook_resid_prae"); }),
              "\"blocks.1.hook_resid_pre\"");
  EXPECT_EQ(program->match("blocks.1.hook_resid_pre"),
            std::vector<BufferId>{program->require("blocks.0.hook_resid_post")});
  EXPECT_EQ(program->match("blocks.*.attn.hook_pattern").size(), 2U);
  EXPECT_EQ(program->match("*").size(), program->buffers().size());
  EXPECT_TRUE(program->match("nothing").empty());
}

TEST(Program, BuilderRefusesTheSameNameTwice) {
  ProgramBuilder builder(1, 2);
  const BufferId x = builder.declare("x", {{"T", 2}}, Role::input);
  EXPECT_SAYS(error_of([&] { builder.declare("x", {{"T", 2}}, Role::input); }), "two buffers named \"x\"");
  EXPECT_SAYS(error_of([&] { builder.alias("x", x); }), "two buffers named \"x\"");
  EXPECT_SAYS(error_of([&] { builder.append(ops::add(), {x, x}, {"a", "b"}); }), "add has 1 outputs");
  const BufferId y = builder.declare("y", {{"T", 3}}, Role::input);
  EXPECT_SAYS(error_of([&] {
                builder.apply(ops::add(), {x, y}, "sum");
              }),
              "add needs two inputs of one size");
}

/// What holds for every program.
void check_program(const Program& program) {
  std::set<std::string> names;
  Phase last = Phase::forward;
  for (size_t i = 0; i < program.buffers().size(); ++i) {
    const Buffer& buffer = program.buffers()[i];
    EXPECT_TRUE(names.insert(buffer.name).second) << buffer.name << " is there twice";
    EXPECT_EQ(program.find(buffer.name), static_cast<BufferId>(i));
    EXPECT_GT(buffer.shape.count(), 0) << buffer.name;
  }
  for (const auto& [alias, id] : program.aliases()) EXPECT_TRUE(names.insert(alias).second) << alias;
  for (size_t s = 0; s < program.steps().size(); ++s) {
    const Step& step = program.steps()[s];
    EXPECT_GE(step.phase, last) << step.name << " lies in an earlier phase than the step before it";
    last = step.phase;
    for (const BufferId id : step.inputs) {
      if (id != no_buffer) {
        EXPECT_LT(program.buffer(id).writer, static_cast<int>(s)) << step.name;
      }
    }
    for (const BufferId id : step.outputs) {
      if (id != no_buffer) {
        EXPECT_EQ(program.buffer(id).writer, static_cast<int>(s)) << step.name;
      }
    }
  }
}

class Programs : public ::testing::TestWithParam<NamedConfig> {};

TEST_P(Programs, AreWellFormedPlainAndFused) {
  for (const bool fused : {false, true}) {
    const auto program =
        build_program(GetParam().config, kB, kT, test::whole_program(GetParam().config, fused));
    check_program(*program);
    const Program::Range backward = program->range(Phase::backward), update = program->range(Phase::update);
    EXPECT_EQ(program->range(Phase::forward).first, 0);
    EXPECT_EQ(backward.last, update.first);
    EXPECT_EQ(update.last, static_cast<int>(program->steps().size()));
  }
}

TEST_P(Programs, EveryParameterHasAGradientAndAnUpdate) {
  for (const bool fused : {false, true}) {
    const auto program =
        build_program(GetParam().config, kB, kT, test::whole_program(GetParam().config, fused));
    for (const ParameterSpec& spec : parameter_specs(GetParam().config)) {
      const BufferId gradient = program->require(spec.name + "_grad");
      EXPECT_EQ(program->buffer(gradient).shape.count(), spec.shape.count()) << spec.name;
      EXPECT_TRUE(program->find(spec.name + "_new")) << spec.name;
    }
    EXPECT_EQ(program->buffer(program->require("grad_squares")).shape.count(),
              static_cast<int64_t>(parameter_specs(GetParam().config).size()));
  }
}

TEST_P(Programs, WhatHasTwoNamesHasTwoNamesForItsGradient) {
  ProgramOptions options;
  options.backward = true;
  const auto program = build_program(GetParam().config, kB, kT, options);
  for (const auto& [alias, id] : program->aliases()) {
    if (alias.ends_with("_grad")) continue;
    EXPECT_EQ(program->find(alias + "_grad"), program->find(program->buffer(id).name + "_grad")) << alias;
    EXPECT_TRUE(program->find(alias + "_grad")) << alias;
  }
}

TEST_P(Programs, FusedEqualsPlainOnEverySurvivingBuffer) {
  const ModelConfig& config = GetParam().config;
  Parameters parameters(test::cpu(), config, 3);
  test::randomize(parameters, 5);
  test::randomize_moments(parameters, 6);
  const RunInputs inputs = test::random_inputs(config, kB, kT, 7);
  const auto plain = test::run_model(config, parameters, inputs, kB, kT, test::whole_program(config, false));
  const auto fused = test::run_model(config, parameters, inputs, kB, kT, test::whole_program(config, true));
  size_t compared = 0;
  for (size_t i = 0; i < fused->program().buffers().size(); ++i) {
    const Buffer& buffer = fused->program().buffers()[i];
    const auto twin = plain->program().find(buffer.name);
    if (!twin) {
      const bool known = buffer.name.find("lse") != std::string::npos ||
                         buffer.name.find("hook_qkv_rot") != std::string::npos;
      EXPECT_TRUE(known) << buffer.name << " is new in the fused program";
      continue;
    }
    ++compared;
    EXPECT_EQ(buffer.shape, plain->program().buffer(*twin).shape) << buffer.name;
    EXPECT_LE(test::relative_error(fused->values(static_cast<BufferId>(i)), plain->values(*twin), 1e-2), 2e-5)
        << buffer.name;
  }
  EXPECT_GT(compared, plain->program().buffers().size() / 2);
  EXPECT_NEAR(fused->loss, plain->loss, 1e-5);
}

TEST_P(Programs, FusedStepsNameWhatTheyStandFor) {
  const ModelConfig& config = GetParam().config;
  ProgramOptions options;
  options.training = config.dropout > 0;
  const auto plain = build_program(config, kB, kT, options);
  const auto fused = fuse(*plain);
  std::set<std::string> listed;
  for (const Step& step : fused->steps()) {
    for (const std::string& name : step.fused_away) {
      EXPECT_TRUE(listed.insert(name).second) << name;
      EXPECT_FALSE(fused->find(name)) << name;
    }
  }
  std::set<std::string> gone;
  for (const Buffer& buffer : plain->buffers()) {
    if (!fused->find(buffer.name)) gone.insert(buffer.name);
  }
  EXPECT_EQ(listed, gone);
  EXPECT_TRUE(listed.count("probs"));
  const bool fusible =
      (config.mask == AttentionMask::causal || config.mask == AttentionMask::none) && config.dropout == 0;
  EXPECT_EQ(listed.count("blocks.0.attn.hook_pattern"), fusible ? 1U : 0U);
}

INSTANTIATE_TEST_SUITE_P(All, Programs, ::testing::ValuesIn(test::many_configs()),
                         [](const auto& which) { return which.param.name; });

TEST(Rewrite, AnEditedMaskKeepsItsBlockUnfused) {
  ProgramOptions options;
  options.fused = true;
  options.edits = {parse_edit("blocks.1.attn.hook_attn_scores:mask=2,4,open"),
                   parse_edit("blocks.0.attn.hook_pattern:temperature=0.5")};
  const auto program = build_program(test::small_config(), kB, kT, options);
  EXPECT_FALSE(program->find("blocks.0.attn.hook_pattern"));
  EXPECT_TRUE(program->find("blocks.1.attn.hook_pattern"));
}

TEST(Rewrite, OpEditsThatFindNothing) {
  ProgramOptions options;
  options.edits = {parse_edit("blocks.0.attn.hook_pattern:mask=0,1,open")};
  EXPECT_EQ(error_of([&] { (void)build_program(test::small_config(), kB, kT, options); }),
            "edit \"blocks.0.attn.hook_pattern:mask=0,1,open\" finds no mask to change; name one like "
            "\"blocks.0.attn.hook_attn_scores\"");
  options.edits = {parse_edit("blocks.7.attn.hook_pattern:temperature=2")};
  EXPECT_SAYS(error_of([&] { (void)build_program(test::small_config(), kB, kT, options); }),
              "finds no softmax to change; name one like \"blocks.0.attn.hook_pattern\"");
}

TEST(BuildProgram, SentencesForSizesThatDoNotFit) {
  EXPECT_SAYS(error_of([&] { (void)build_program(test::small_config(), 1, 10); }),
              "the text has 10 tokens, but n_positions is 9; shorten it to 9 tokens or set n_positions=10");
  EXPECT_SAYS(error_of([&] { (void)build_program(test::small_config(), 0, 4); }), "at least 1");
  ModelConfig free_length = test::small_config();
  free_length.position = PositionKind::none;
  EXPECT_EQ(error_of([&] { (void)build_program(free_length, 1, 40); }), "no error");
}

}  // namespace
}  // namespace headlight
