// Commands that change the model: presets, folders, the switches across the top, the prompt, edits.
#include <GLFW/glfw3.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "app/commands/command.h"
#include "core/base/error.h"
#include "core/engine/builtin.h"
#include "core/model/presets.h"

namespace headlight::app {
namespace {

/// Changes the wanted config and refuses what does not fit.
template <class Change>
void change_config(CommandContext& c, Change change) {
  ModelConfig config = c.config();
  change(config);
  validate(config);
  c.session.state.probe.config = config;
}

template <class T>
T choice(std::string_view command, std::string_view text,
         std::initializer_list<std::pair<std::string_view, T>> all) {
  std::string names;
  for (const auto& [name, value] : all) {
    if (name == text) return value;
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  fail("{} takes one of {}, not \"{}\".", command, names, text);
}

void open(CommandContext& c, Probe probe) {
  Probe& now = c.session.state.probe;
  probe.sampler = now.sampler;
  now = std::move(probe);
  c.session.state.playhead = {};
  c.session.state.selection = {};
  c.session.state.pins = {};
  c.session.training_step.reset();
}

/// Makes these tokens the prompt. As text, which undo and the session keep, wherever the text reads back as
/// the same tokens; a full context slides.
void set_prompt_tokens(CommandContext& c, std::vector<int32_t> tokens) {
  const auto longest = static_cast<size_t>(c.snapshot.model.config.n_positions);
  if (tokens.size() > longest)
    tokens.erase(tokens.begin(), tokens.end() - static_cast<std::ptrdiff_t>(longest));
  const Tokenizer* tokenizer = c.snapshot.model.tokenizer.get();
  const bool known = tokenizer != nullptr && std::all_of(tokens.begin(), tokens.end(), [&](int32_t id) {
                       return id < tokenizer->vocab_size();
                     });
  if (known) {
    const std::string text = tokenizer->decode(tokens);
    if (tokenizer->encode(text).ids == tokens) {
      // Generation may have moved the engine's prompt away from the wanted one.
      if (c.session.state.probe.prompt == text && c.snapshot.prompt != text) c.post(SetPrompt{text});
      c.session.state.probe.prompt = text;
      return;
    }
  }
  c.post(SetPromptTokens{std::move(tokens)});
}

}  // namespace

void add_model_commands(CommandRegistry& r) {
  r.add({.id = "model.menu", .keys = {{GLFW_KEY_M}}, .run = [](CommandContext& c, std::string_view) {
           c.session.overlay = c.session.overlay == Overlay::models ? Overlay::none : Overlay::models;
         }});
  r.add({.id = "device.menu", .run = [](CommandContext& c, std::string_view) {
           c.session.overlay = c.session.overlay == Overlay::devices ? Overlay::none : Overlay::devices;
         }});
  r.add(
      {.id = "device.set", .argument = "cpu|cuda|auto", .run = [](CommandContext& c, std::string_view text) {
         c.post(SetDevice{
             choice<std::string>("device.set", text, {{"cpu", "cpu"}, {"cuda", "cuda"}, {"auto", "auto"}})});
       }});
  r.add({.id = "model.open", .argument = "NAME", .run = [](CommandContext& c, std::string_view name) {
           if (name.empty()) fail("model.open takes the name of a preset or a built-in model.");
           open(c, {.preset = std::string(name)});
         }});
  r.add({.id = "model.folder", .argument = "FOLDER", .run = [](CommandContext& c, std::string_view path) {
           if (path.empty()) fail("model.folder takes a folder in Hugging Face layout.");
           open(c, {.folder = std::string(path)});
           c.session.remember(std::string(path));
         }});
  r.add({.id = "model.save", .argument = "FOLDER", .run = [](CommandContext& c, std::string_view path) {
           if (path.empty()) fail("model.save takes the folder to save into.");
           c.post(SaveFolder{std::string(path)});
           c.session.remember(std::string(path));
         }});
  r.add({.id = "corpus.open", .argument = "FILE", .run = [](CommandContext& c, std::string_view path) {
           // The wanted text may be one that the engine could not take, or a model brought none along.
           if (c.session.state.probe.corpus == path) c.post(OpenCorpus{std::string(path)});
           c.session.state.probe.corpus = std::string(path);
           if (!path.empty()) c.session.remember(std::string(path));
         }});
  r.add({.id = "run.export", .argument = "FILE", .run = [](CommandContext& c, std::string_view path) {
           if (path.empty()) fail("run.export takes the safetensors file to write.");
           c.post(ExportRun{std::string(path)});
         }});

  r.add({.id = "switch.heads", .argument = "HEADS", .run = [](CommandContext& c, std::string_view text) {
           const int64_t heads = integer_argument("switch.heads", text, 1, 4096);
           change_config(c, [&](ModelConfig& m) {
             m.n_head = heads;
             // As many shared heads as still divide them.
             if (m.n_kv_head > 0) m.n_kv_head = std::gcd(heads, m.n_kv_head);
           });
           c.session.state.selection.head =
               std::min(c.session.state.selection.head, static_cast<int>(heads) - 1);
         }});
  r.add({.id = "switch.kv_heads", .argument = "HEADS", .run = [](CommandContext& c, std::string_view text) {
           const int64_t heads = integer_argument("switch.kv_heads", text, 1, c.config().n_head);
           change_config(c, [&](ModelConfig& m) { m.n_kv_head = heads == m.n_head ? 0 : heads; });
         }});
  r.add({.id = "switch.layers", .argument = "BLOCKS", .run = [](CommandContext& c, std::string_view text) {
           const int64_t layers = integer_argument("switch.layers", text, 1, 4096);
           change_config(c, [&](ModelConfig& m) { m.n_layer = layers; });
           c.session.state.selection.block =
               std::min(c.session.state.selection.block, static_cast<int>(layers) - 1);
         }});
  r.add({.id = "switch.norm",
         .argument = "pre|post|none|layernorm|rmsnorm",
         .run = [](CommandContext& c, std::string_view text) {
           enum class Norm { pre, post, none, layernorm, rmsnorm };
           const auto norm = choice<Norm>("switch.norm", text,
                                          {{"pre", Norm::pre},
                                           {"post", Norm::post},
                                           {"none", Norm::none},
                                           {"layernorm", Norm::layernorm},
                                           {"rmsnorm", Norm::rmsnorm}});
           change_config(c, [&](ModelConfig& m) {
             if (norm == Norm::none || norm == Norm::layernorm || norm == Norm::rmsnorm) {
               m.norm = norm == Norm::none        ? NormKind::none
                        : norm == Norm::layernorm ? NormKind::layernorm
                                                  : NormKind::rmsnorm;
               return;
             }
             if (m.norm == NormKind::none) m.norm = NormKind::layernorm;
             m.norm_position = norm == Norm::pre ? NormPosition::pre : NormPosition::post;
           });
         }});
  r.add({.id = "switch.position",
         .argument = "learned|rope|none",
         .run = [](CommandContext& c, std::string_view text) {
           using enum PositionKind;
           const auto position = choice<PositionKind>("switch.position", text,
                                                      {{"learned", learned}, {"rope", rope}, {"none", none}});
           change_config(c, [&](ModelConfig& m) { m.position = position; });
         }});
  r.add({.id = "switch.mask",
         .argument = "causal|zero|finite|none",
         .run = [](CommandContext& c, std::string_view text) {
           using enum AttentionMask;
           const auto mask = choice<AttentionMask>(
               "switch.mask", text, {{"causal", causal}, {"zero", zero}, {"finite", finite}, {"none", none}});
           change_config(c, [&](ModelConfig& m) { m.mask = mask; });
         }});
  const auto toggle = [&](const char* id, auto get, auto set) {
    r.add({.id = id, .argument = "on|off", .run = [id, get, set](CommandContext& c, std::string_view text) {
             const bool on = flag_argument(id, text, get(c.config()));
             change_config(c, [&](ModelConfig& m) { set(m, on); });
           }});
  };
  toggle(
      "switch.residual", [](const ModelConfig& m) { return m.residual; },
      [](ModelConfig& m, bool on) { m.residual = on; });
  r.add({.id = "switch.mlp",
         .argument = "on|off|plain|gated",
         .run = [](CommandContext& c, std::string_view text) {
           if (text == "plain" || text == "gated") {
             change_config(
                 c, [&](ModelConfig& m) { m.mlp = text == "gated" ? MlpKind::gated : MlpKind::plain; });
             return;
           }
           const bool on = flag_argument("switch.mlp", text, c.config().mlp != MlpKind::none);
           change_config(c, [&](ModelConfig& m) {
             if (on == (m.mlp != MlpKind::none)) return;
             // Models with SiLU have it as a gate.
             const MlpKind own = m.activation == Activation::silu ? MlpKind::gated : MlpKind::plain;
             m.mlp = on ? own : MlpKind::none;
           });
         }});
  toggle(
      "switch.scale", [](const ModelConfig& m) { return m.scale_attn_weights; },
      [](ModelConfig& m, bool on) { m.scale_attn_weights = on; });
  toggle(
      "switch.tie", [](const ModelConfig& m) { return m.tie_word_embeddings; },
      [](ModelConfig& m, bool on) { m.tie_word_embeddings = on; });
  toggle(
      "switch.bias", [](const ModelConfig& m) { return m.bias; },
      [](ModelConfig& m, bool on) { m.bias = on; });
  r.add({.id = "switch.temperature",
         .argument = "TAU",
         .merge = "temperature",
         .run = [](CommandContext& c, std::string_view text) {
           const double tau = number_argument("switch.temperature", text, 0.01, 100);
           change_config(c, [&](ModelConfig& m) { m.temperature = tau; });
         }});
  r.add({.id = "switch.set", .argument = "KEY VALUE", .run = [](CommandContext& c, std::string_view text) {
           const Invocation pair = parse_invocation(text);
           change_config(c, [&](ModelConfig& m) { set_config_value(m, pair.id, pair.argument); });
         }});
  r.add({.id = "switch.reset",
         .can_run = [](const CommandContext& c) { return c.session.state.probe.config.has_value(); },
         .run = [](CommandContext& c, std::string_view) { c.session.state.probe.config.reset(); }});

  r.add(
      {.id = "prompt.edit", .keys = {{GLFW_KEY_E, true}}, .run = [](CommandContext& c, std::string_view at) {
         c.session.editing_prompt = true;
         c.session.prompt_caret = at.empty()
                                      ? std::string::npos
                                      : static_cast<size_t>(integer_argument("prompt.edit", at, 0, 1 << 30));
       }});
  r.add({.id = "prompt.done",
         .can_run = [](const CommandContext& c) { return c.session.editing_prompt; },
         .run = [](CommandContext& c, std::string_view) { c.session.editing_prompt = false; }});
  r.add({.id = "prompt.set",
         .argument = "TEXT",
         .merge = "prompt",
         .run = [](CommandContext& c, std::string_view text) {
           // Generation may have moved the engine's prompt away from the wanted one.
           if (c.session.state.probe.prompt == text && c.snapshot.prompt != text)
             c.post(SetPrompt{std::string(text)});
           c.session.state.probe.prompt = std::string(text);
         }});
  r.add({.id = "prompt.cache",
         .argument = "off|fp32|bf16|int8",
         .can_run =
             [](const CommandContext& c) {
               return c.session.state.probe.cache.has_value() ||
                      can_use_cache(c.config(), c.session.state.probe);
             },
         .run =
             [](CommandContext& c, std::string_view text) {
               std::optional<WeightStorage>& cache = c.session.state.probe.cache;
               if (text.empty())
                 cache = cache ? std::nullopt : std::optional(WeightStorage{});
               else if (text == "off")
                 cache.reset();
               else
                 cache = parse_weight_storage(text);
             }});
  r.add({.id = "prompt.append", .argument = "ID", .run = [](CommandContext& c, std::string_view text) {
           std::vector<int32_t> tokens = c.snapshot.prompt_tokens;
           tokens.push_back(static_cast<int32_t>(
               integer_argument("prompt.append", text, 0, c.snapshot.model.config.vocab_size - 1)));
           set_prompt_tokens(c, std::move(tokens));
         }});
  r.add({.id = "prompt.tokens", .argument = "IDS", .run = [](CommandContext& c, std::string_view text) {
           set_prompt_tokens(c, parse_token_ids("prompt.tokens", text));
         }});
  r.add({.id = "prompt.drop",
         .keys = {{GLFW_KEY_BACKSPACE}},
         .can_run = [](const CommandContext& c) { return c.snapshot.prompt_tokens.size() > 1; },
         .run =
             [](CommandContext& c, std::string_view) {
               std::vector<int32_t> tokens = c.snapshot.prompt_tokens;
               tokens.pop_back();
               set_prompt_tokens(c, std::move(tokens));
             }});
  r.add({.id = "edit.add",
         .argument = "EDIT",
         .can_run = [](const CommandContext& c) { return c.step() >= 0; },
         .run = [](CommandContext& c,
                   std::string_view text) { c.session.state.probe.edits.push_back(parse_edit(text)); }});
  r.add({.id = "edit.clear",
         .can_run = [](const CommandContext& c) { return !c.session.state.probe.edits.empty(); },
         .run = [](CommandContext& c, std::string_view) { c.session.state.probe.edits.clear(); }});
}

}  // namespace headlight::app
