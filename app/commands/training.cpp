// Commands that train the model and let it write.
#include <GLFW/glfw3.h>

#include "app/commands/command.h"
#include "core/base/error.h"

namespace headlight::app {
namespace {

bool running(const CommandContext& c) { return c.snapshot.training.status == TrainingStatus::running; }

template <class Change>
void change_sampler(CommandContext& c, Change change) {
  SamplerConfig sampler = c.session.state.probe.sampler;
  change(sampler);
  validate(sampler);
  c.session.state.probe.sampler = sampler;
}

}  // namespace

void add_training_commands(CommandRegistry& r) {
  r.add({.id = "train.toggle", .keys = {{GLFW_KEY_T}}, .run = [](CommandContext& c, std::string_view) {
           if (running(c))
             c.post(PauseTraining{});
           else
             c.post(Train{c.snapshot.training.status == TrainingStatus::finished ? -1 : 0});
         }});
  r.add({.id = "train.step",
         .keys = {{GLFW_KEY_T, false, true}},
         .can_run = [](const CommandContext& c) { return !running(c); },
         .run = [](CommandContext& c, std::string_view) { c.post(Train{1}); }});
  r.add({.id = "train.steps", .argument = "STEPS", .run = [](CommandContext& c, std::string_view text) {
           c.post(Train{integer_argument("train.steps", text, 1, int64_t{1} << 40)});
         }});
  r.add({.id = "train.reset", .run = [](CommandContext& c, std::string_view text) {
           const uint64_t seed = text.empty()
                                     ? c.snapshot.model.seed
                                     : static_cast<uint64_t>(integer_argument(
                                           "train.reset", text, 0, std::numeric_limits<int64_t>::max()));
           c.session.training_step.reset();
           c.post(ResetModel{seed});
         }});
  r.add({.id = "train.fresh", .run = [](CommandContext& c, std::string_view) {
           c.session.training_step.reset();
           c.post(ResetModel{c.snapshot.model.seed + 1});
           c.post(Train{0});
         }});
  r.add({.id = "train.set",
         .argument = "KEY VALUE",
         .merge = "train.set",
         .run = [](CommandContext& c, std::string_view text) {
           const Invocation pair = parse_invocation(text);
           TrainConfig train = c.train_config();
           set_train_value(train, pair.id, pair.argument);
           validate_for_training(train);
           // What the engine would refuse must not become what the session wants.
           const int64_t positions = c.config().n_positions, held_out = c.snapshot.corpus.validation_tokens;
           if (train.T > positions)
             fail("context = {} is longer than the model's n_positions = {}; use at most {}.", train.T,
                  positions, positions);
           if (held_out > 0 && train.T >= held_out)
             fail("context = {} is too long for {}, whose held-out part has {} tokens; use at most {}.",
                  train.T, c.snapshot.corpus.name, held_out, held_out - 1);
           c.session.state.probe.train = train;
         }});
  r.add({.id = "train.show", .argument = "STEP", .run = [](CommandContext& c, std::string_view text) {
           if (text == "end")
             c.session.training_step.reset();
           else
             c.session.training_step =
                 integer_argument("train.show", text, 0, std::numeric_limits<int64_t>::max());
         }});

  r.add({.id = "generate.more", .argument = "TOKENS", .run = [](CommandContext& c, std::string_view text) {
           const int64_t count = text.empty() ? 1 : integer_argument("generate.more", text, 1, 100000);
           c.post(Generate{count, c.session.state.probe.sampler});
         }});
  r.add({.id = "generate.cancel",
         .can_run =
             [](const CommandContext& c) { return c.snapshot.generation.running || c.snapshot.duel.running; },
         .run = [](CommandContext& c, std::string_view) { c.post(CancelGeneration{}); }});
  r.add({.id = "generate.duel", .argument = "TOKENS", .run = [](CommandContext& c, std::string_view text) {
           const int64_t count = text.empty() ? 64 : integer_argument("generate.duel", text, 1, 100000);
           c.post(Duel{count, c.session.state.probe.sampler});
         }});
  r.add({.id = "generate.duel_close",
         .can_run = [](const CommandContext& c) { return c.snapshot.duel.asked > 0; },
         .run = [](CommandContext& c, std::string_view) { c.post(CloseDuel{}); }});
  r.add({.id = "sampler.min_p",
         .argument = "P",
         .merge = "sampler.min_p",
         .run = [](CommandContext& c, std::string_view text) {
           const double p = number_argument("sampler.min_p", text, 0, 1);
           change_sampler(c, [&](SamplerConfig& s) { s.min_p = p; });
         }});
  r.add({.id = "sampler.penalty",
         .argument = "FACTOR",
         .merge = "sampler.penalty",
         .run = [](CommandContext& c, std::string_view text) {
           const double factor = number_argument("sampler.penalty", text, 0.01, 100);
           change_sampler(c, [&](SamplerConfig& s) { s.repetition_penalty = factor; });
         }});
  r.add({.id = "sampler.temperature",
         .argument = "TAU",
         .merge = "sampler.temperature",
         .run = [](CommandContext& c, std::string_view text) {
           const double tau = number_argument("sampler.temperature", text, 0.01, 100);
           change_sampler(c, [&](SamplerConfig& s) { s.temperature = tau; });
         }});
  r.add({.id = "sampler.top_k",
         .argument = "K",
         .merge = "sampler.top_k",
         .run = [](CommandContext& c, std::string_view text) {
           const int64_t k = integer_argument("sampler.top_k", text, 0, 1 << 30);
           change_sampler(c, [&](SamplerConfig& s) { s.top_k = k; });
         }});
  r.add({.id = "sampler.top_p",
         .argument = "P",
         .merge = "sampler.top_p",
         .run = [](CommandContext& c, std::string_view text) {
           const double p = number_argument("sampler.top_p", text, 0.001, 1);
           change_sampler(c, [&](SamplerConfig& s) { s.top_p = p; });
         }});
  r.add({.id = "sampler.greedy", .argument = "on|off", .run = [](CommandContext& c, std::string_view text) {
           change_sampler(
               c, [&](SamplerConfig& s) { s.greedy = flag_argument("sampler.greedy", text, s.greedy); });
         }});
  r.add({.id = "sampler.seed", .argument = "SEED", .run = [](CommandContext& c, std::string_view text) {
           const int64_t seed =
               integer_argument("sampler.seed", text, 0, std::numeric_limits<int64_t>::max());
           change_sampler(c, [&](SamplerConfig& s) { s.seed = static_cast<uint64_t>(seed); });
         }});
}

}  // namespace headlight::app
