// See config_json.h. One table of our keys carries reading, writing and `--set`; a second one maps other
// projects' spellings to it (config_spellings.h).
#include "core/model/config_json.h"

#include <array>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/utf8.h"
#include "core/model/config_spellings.h"

namespace headlight {

using nlohmann::json;

namespace {

/// One word for a value of an enumeration. The first word of a value is the one that is written.
template <class E>
struct Word {
  const char* text;
  E value;
};

template <class E>
struct EnumField {
  E ModelConfig::*member;
  std::span<const Word<E>> words;
};

constexpr std::array<Word<Activation>, 7> activations{{{"gelu_new", Activation::gelu_tanh},
                                                       {"gelu", Activation::gelu_erf},
                                                       {"relu", Activation::relu},
                                                       {"silu", Activation::silu},
                                                       {"swish", Activation::silu},
                                                       {"gelu_pytorch_tanh", Activation::gelu_tanh},
                                                       {"gelu_fast", Activation::gelu_tanh}}};
constexpr std::array<Word<NormKind>, 3> norms{
    {{"layernorm", NormKind::layernorm}, {"rmsnorm", NormKind::rmsnorm}, {"none", NormKind::none}}};
constexpr std::array<Word<NormPosition>, 2> norm_positions{
    {{"pre", NormPosition::pre}, {"post", NormPosition::post}}};
constexpr std::array<Word<MlpKind>, 3> mlps{
    {{"plain", MlpKind::plain}, {"gated", MlpKind::gated}, {"none", MlpKind::none}}};
constexpr std::array<Word<PositionKind>, 3> positions{
    {{"learned", PositionKind::learned}, {"rope", PositionKind::rope}, {"none", PositionKind::none}}};
constexpr std::array<Word<kernels::RopeScaling>, 3> rope_scalings{{{"default", kernels::RopeScaling::none},
                                                                   {"linear", kernels::RopeScaling::linear},
                                                                   {"llama3", kernels::RopeScaling::llama3}}};
constexpr std::array<Word<AttentionMask>, 4> masks{{{"causal", AttentionMask::causal},
                                                    {"none", AttentionMask::none},
                                                    {"zero", AttentionMask::zero},
                                                    {"finite", AttentionMask::finite}}};

struct Key {
  const char* name;
  std::variant<int64_t ModelConfig::*, double ModelConfig::*, bool ModelConfig::*, EnumField<Activation>,
               EnumField<NormKind>, EnumField<NormPosition>, EnumField<MlpKind>, EnumField<PositionKind>,
               EnumField<AttentionMask>, RopeScalingConfig ModelConfig::*>
      field;
  const char* example;    ///< a value that works
  bool required = false;  ///< must stand in a config.json
};

const std::array<Key, 24>& keys() {
  using C = ModelConfig;
  static const std::array<Key, 24> table{{
      {"n_layer", &C::n_layer, "2", true},
      {"n_head", &C::n_head, "4", true},
      {"n_kv_head", &C::n_kv_head, "2"},
      {"n_embd", &C::n_embd, "64", true},
      {"n_positions", &C::n_positions, "64", true},
      {"vocab_size", &C::vocab_size, "50257", true},
      {"n_inner", &C::n_inner, "256"},
      {"activation_function", EnumField<Activation>{&C::activation, activations}, "gelu_new"},
      {"layer_norm_epsilon", &C::layer_norm_epsilon, "1e-5"},
      {"norm", EnumField<NormKind>{&C::norm, norms}, "layernorm"},
      {"norm_position", EnumField<NormPosition>{&C::norm_position, norm_positions}, "pre"},
      {"final_norm", &C::final_norm, "true"},
      {"mlp", EnumField<MlpKind>{&C::mlp, mlps}, "plain"},
      {"position", EnumField<PositionKind>{&C::position, positions}, "learned"},
      {"rope_theta", &C::rope_theta, "10000"},
      {"rope_scaling", &C::rope_scaling, "null"},
      {"mask", EnumField<AttentionMask>{&C::mask, masks}, "causal"},
      {"residual", &C::residual, "true"},
      {"scale_attn_weights", &C::scale_attn_weights, "true"},
      {"attention_temperature", &C::temperature, "1"},
      {"tie_word_embeddings", &C::tie_word_embeddings, "true"},
      {"bias", &C::bias, "true"},
      {"dropout", &C::dropout, "0.1"},
      {"initializer_range", &C::initializer_range, "0.02"},
  }};
  return table;
}

const Key* find_key(std::string_view name) {
  for (const Key& key : keys()) {
    if (name == key.name) return &key;
  }
  return nullptr;
}

std::string prefix(std::string_view where) { return where.empty() ? "" : fmt::format("{}: ", where); }

[[noreturn]] void fail_value(const Key& key, const json& value, std::string_view where,
                             std::string_view what) {
  const std::string shown =
      value.is_string() ? quote(value.get_ref<const std::string&>()) : quote(value.dump());
  fail("{}{} = {} cannot be used: {}", prefix(where), key.name, shown, what);
}

/// Sets a field of one kind from JSON; overloads below do the other kinds.
void read_field(ModelConfig& config, int64_t ModelConfig::*member, const Key& key, const json& value,
                std::string_view where) {
  if ((member == &ModelConfig::n_inner || member == &ModelConfig::n_kv_head) && value.is_null()) {
    config.*member = 0;
    return;
  }
  if (!value.is_number_integer())
    fail_value(key, value, where, fmt::format("it takes a whole number, such as {}", key.example));
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
    fail_value(key, value, where, fmt::format("it is far too large; use one such as {}", key.example));
  }
  config.*member = value.get<int64_t>();
}

void read_field(ModelConfig& config, double ModelConfig::*member, const Key& key, const json& value,
                std::string_view where) {
  if (!value.is_number())
    fail_value(key, value, where, fmt::format("it takes a number, such as {}", key.example));
  config.*member = value.get<double>();
}

void read_field(ModelConfig& config, bool ModelConfig::*member, const Key& key, const json& value,
                std::string_view where) {
  // `--set bias=0` arrives here as a number.
  if (value == 0 || value == 1) {
    config.*member = value == 1;
    return;
  }
  if (!value.is_boolean()) fail_value(key, value, where, "it is true or false");
  config.*member = value.get<bool>();
}

template <class E>
void read_field(ModelConfig& config, const EnumField<E>& field, const Key& key, const json& value,
                std::string_view where) {
  std::string words;
  for (const Word<E>& word : field.words) {
    if (value == word.text) {
      config.*(field.member) = word.value;
      return;
    }
    words += fmt::format("{}{}", words.empty() ? "" : ", ", word.text);
  }
  const std::string text = value.is_string() ? value.get<std::string>() : "";
  if (const std::string_view feature = feature_of_value(key.name, text); !feature.empty()) {
    fail_value(key, value, where, fmt::format("{} not in this version; it is one of {}", feature, words));
  }
  fail_value(key, value, where, fmt::format("it is one of {}", words));
}

/// A number in rope_scaling; `least` what it may be without another.
double scaling_number(const json& scaling, const char* name, std::string_view where) {
  const auto found = scaling.find(name);
  if (found == scaling.end() || !found->is_number()) {
    fail("{}rope_scaling.{} is {}; it takes a number", prefix(where), name,
         found == scaling.end() ? "missing" : quote(found->dump()));
  }
  return found->get<double>();
}

void read_field(ModelConfig& config, RopeScalingConfig ModelConfig::*member, const Key& key,
                const json& value, std::string_view where) {
  config.*member = {};
  if (value.is_null() || value == "none") return;
  if (!value.is_object()) fail_value(key, value, where, "it is null or an object with a rope_type");
  RopeScalingConfig scaling;
  const char* name = value.contains("rope_type") ? "rope_type" : "type";  // older files say "type"
  if (!value.contains(name)) fail_value(key, value, where, "it lacks its rope_type");
  const json& type = value.at(name);
  bool known = false;
  for (const auto& word : rope_scalings) {
    if (type != word.text) continue;
    scaling.kind = word.value;
    known = true;
  }
  if (!known) {
    fail("{}rope_scaling of type {} is not in this version; default, linear and llama3 are", prefix(where),
         quote(type.dump()));
  }
  if (scaling.kind != kernels::RopeScaling::none) scaling.factor = scaling_number(value, "factor", where);
  if (scaling.kind == kernels::RopeScaling::llama3) {
    scaling.low_freq_factor = scaling_number(value, "low_freq_factor", where);
    scaling.high_freq_factor = scaling_number(value, "high_freq_factor", where);
    const double original = scaling_number(value, "original_max_position_embeddings", where);
    if (!(original >= 1 && original <= 1 << 20)) {
      fail(
          "{}rope_scaling.original_max_position_embeddings = {} cannot be used: it must lie between 1 and {}",
          prefix(where), original, 1 << 20);
    }
    scaling.original_positions = static_cast<int64_t>(original);
  }
  config.*member = scaling;
}

template <class T>
json write_field(const ModelConfig& config, T ModelConfig::*member) {
  return config.*member;
}

template <class E>
json write_field(const ModelConfig& config, const EnumField<E>& field) {
  for (const Word<E>& word : field.words) {
    if (word.value == config.*(field.member)) return word.text;
  }
  fail("a model config holds a value that has no name");
}

json write_field(const ModelConfig& config, RopeScalingConfig ModelConfig::*member) {
  const RopeScalingConfig& scaling = config.*member;
  if (scaling.kind == kernels::RopeScaling::none) return nullptr;
  json out = {{"factor", scaling.factor}};
  for (const auto& word : rope_scalings) {
    if (word.value == scaling.kind) out["rope_type"] = word.text;
  }
  if (scaling.kind == kernels::RopeScaling::llama3) {
    out["low_freq_factor"] = scaling.low_freq_factor;
    out["high_freq_factor"] = scaling.high_freq_factor;
    out["original_max_position_embeddings"] = scaling.original_positions;
  }
  return out;
}

/// The dropouts of GPT-2 and its relatives are one number here; they must agree.
void read_dropouts(ModelConfig& config, const json& root, std::string_view where) {
  std::string first;
  for (const char* name : dropout_spellings()) {
    if (!root.contains(name)) continue;
    const json& value = root.at(name);
    if (!value.is_number())
      fail_value(*find_key("dropout"), value, where, fmt::format("{} takes a number, such as 0.1", name));
    const auto number = value.get<double>();
    if (!first.empty() && number != config.dropout) {
      fail("{}{} = {} and {} = {} differ, but a model has one dropout here; make them equal", prefix(where),
           first, config.dropout, name, number);
    }
    if (first.empty()) first = name;
    config.dropout = number;
  }
}

/// Whether Hugging Face's GPT-2 computes the same from this config.
bool is_gpt2(const ModelConfig& config) {
  return config.norm == NormKind::layernorm && config.norm_position == NormPosition::pre &&
         config.final_norm && config.mlp == MlpKind::plain && config.position == PositionKind::learned &&
         config.mask == AttentionMask::causal && config.residual && config.temperature == 1.0 &&
         config.bias && config.kv_heads() == config.n_head;
}

/// The keys by which Hugging Face's LlamaConfig knows the model.
void add_llama_keys(json& out, const ModelConfig& config) {
  out["model_type"] = "llama";
  out["architectures"] = json::array({"LlamaForCausalLM"});
  out["hidden_size"] = config.n_embd;
  out["num_hidden_layers"] = config.n_layer;
  out["num_attention_heads"] = config.n_head;
  out["num_key_value_heads"] = config.kv_heads();
  out["n_kv_head"] = config.kv_heads();
  out["head_dim"] = config.head_size();
  out["intermediate_size"] = config.mlp_width();
  out["n_inner"] = config.mlp_width();
  out["max_position_embeddings"] = config.n_positions;
  out["rms_norm_eps"] = config.layer_norm_epsilon;
  out["hidden_act"] = out["activation_function"];
  out["attention_bias"] = config.bias;
  out["mlp_bias"] = config.bias;
}

}  // namespace

bool is_llama(const ModelConfig& config) {
  return config.norm == NormKind::rmsnorm && config.norm_position == NormPosition::pre && config.final_norm &&
         config.mlp == MlpKind::gated && config.position == PositionKind::rope &&
         config.mask == AttentionMask::causal && config.residual && config.temperature == 1.0 &&
         config.scale_attn_weights;
}

bool is_config_key(std::string_view key) { return find_key(key) != nullptr; }

void set_config_json(ModelConfig& config, std::string_view name, const json& value, std::string_view where) {
  const Key* key = find_key(name);
  if (key == nullptr) {
    std::vector<std::string> names;
    for (const Key& known : keys()) names.emplace_back(known.name);
    fail("{}{} is not a key of a model; did you mean {}?", prefix(where), quote(name),
         nearest_name(name, names));
  }
  std::visit([&](const auto& field) { read_field(config, field, *key, value, where); }, key->field);
}

ModelConfig config_from_json(const json& root, std::string_view where) {
  if (!root.is_object()) fail("{} holds {} instead of an object of model keys", where, root.type_name());
  refuse_other_architectures(root, where);
  ModelConfig config = defaults_of(root);
  for (const Key& key : keys()) {
    if (std::string_view(key.name) == "dropout") {
      read_dropouts(config, root, where);
      continue;
    }
    std::string found;  // the spelling that was read
    for (const std::string_view spelling : spellings_of(key.name)) {
      if (!root.contains(spelling)) continue;
      const json& value = root.at(spelling);
      if (found.empty()) {
        set_config_json(config, key.name, translated(key.name, spelling, value, where), where);
        found = spelling;
      } else if (const json& other = root.at(found);
                 translated(key.name, spelling, value, where) != translated(key.name, found, other, where)) {
        fail("{}{} = {} and {} = {} name the same thing but differ; keep one of them", prefix(where), found,
             quote(other.dump()), spelling, quote(value.dump()));
      }
    }
    if (found.empty() && key.required) {
      fail("{}{} is missing; a value that would work is {}", prefix(where), key.name, key.example);
    }
  }
  read_llama_biases(config, root, where);
  if (config.n_kv_head == config.n_head) config.n_kv_head = 0;
  if (uses_nanogpt_spelling(root)) config.activation = Activation::gelu_erf;
  check_consistency(config, root, where);
  try {
    validate(config);
  } catch (const Error& error) {
    fail("{}{}", prefix(where), error.what());
  }
  return config;
}

json config_to_json(const ModelConfig& config) {
  json out = json::object();
  for (const Key& key : keys()) {
    out[key.name] = std::visit([&](const auto& field) { return write_field(config, field); }, key.field);
  }
  if (config.n_inner == 0) out["n_inner"] = nullptr;
  if (config.n_kv_head == 0) out["n_kv_head"] = nullptr;
  if (config.position != PositionKind::rope) {
    // Other programs take these for a model with rotary positions.
    out.erase("rope_theta");
    out.erase("rope_scaling");
  }
  out["n_ctx"] = config.n_positions;
  for (const char* name : {"resid_pdrop", "embd_pdrop", "attn_pdrop"}) out[name] = config.dropout;
  // Other programs must not take a model for a GPT-2 that is none.
  if (is_llama(config)) {
    add_llama_keys(out, config);
    return out;
  }
  out["model_type"] = is_gpt2(config) ? "gpt2" : "headlight";
  out["architectures"] = json::array({is_gpt2(config) ? "GPT2LMHeadModel" : "Headlight"});
  return out;
}

}  // namespace headlight
