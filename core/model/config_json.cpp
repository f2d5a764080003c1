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

constexpr std::array<Word<Activation>, 5> activations{{{"gelu_new", Activation::gelu_tanh},
                                                       {"gelu", Activation::gelu_erf},
                                                       {"relu", Activation::relu},
                                                       {"gelu_pytorch_tanh", Activation::gelu_tanh},
                                                       {"gelu_fast", Activation::gelu_tanh}}};
constexpr std::array<Word<NormKind>, 2> norms{{{"layernorm", NormKind::layernorm}, {"none", NormKind::none}}};
constexpr std::array<Word<NormPosition>, 2> norm_positions{
    {{"pre", NormPosition::pre}, {"post", NormPosition::post}}};
constexpr std::array<Word<MlpKind>, 2> mlps{{{"plain", MlpKind::plain}, {"none", MlpKind::none}}};
constexpr std::array<Word<PositionKind>, 2> positions{
    {{"learned", PositionKind::learned}, {"none", PositionKind::none}}};
constexpr std::array<Word<AttentionMask>, 4> masks{{{"causal", AttentionMask::causal},
                                                    {"none", AttentionMask::none},
                                                    {"zero", AttentionMask::zero},
                                                    {"finite", AttentionMask::finite}}};

struct Key {
  const char* name;
  std::variant<int64_t ModelConfig::*, double ModelConfig::*, bool ModelConfig::*, EnumField<Activation>,
               EnumField<NormKind>, EnumField<NormPosition>, EnumField<MlpKind>, EnumField<PositionKind>,
               EnumField<AttentionMask>>
      field;
  const char* example;    ///< a value that works
  bool required = false;  ///< must stand in a config.json
};

const std::array<Key, 21>& keys() {
  using C = ModelConfig;
  static const std::array<Key, 21> table{{
      {"n_layer", &C::n_layer, "2", true},
      {"n_head", &C::n_head, "4", true},
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
  if (member == &ModelConfig::n_inner && value.is_null()) {
    config.n_inner = 0;
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
         config.mask == AttentionMask::causal && config.residual && config.temperature == 1.0 && config.bias;
}

}  // namespace

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
  ModelConfig config;
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
  out["n_ctx"] = config.n_positions;
  for (const char* name : {"resid_pdrop", "embd_pdrop", "attn_pdrop"}) out[name] = config.dropout;
  // Other programs must not take a model for a GPT-2 that is none.
  out["model_type"] = is_gpt2(config) ? "gpt2" : "headlight";
  out["architectures"] = json::array({is_gpt2(config) ? "GPT2LMHeadModel" : "Headlight"});
  return out;
}

}  // namespace headlight
