// See parameters.h.
#include "core/model/parameters.h"

#include <cmath>

#include "core/base/error.h"
#include "core/base/random.h"

namespace headlight {

namespace {

/// FNV-1a: a stream number for a parameter's name that is the same on every machine.
uint64_t name_hash(std::string_view name) {
  uint64_t hash = 0xCBF29CE484222325ULL;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  return hash;
}

std::vector<float> initial_values(const ParameterSpec& spec, const ModelConfig& config, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(spec.shape.count()),
                            spec.init == ParameterSpec::Init::ones ? 1.0F : 0.0F);
  double sigma = config.initializer_range;
  if (spec.init == ParameterSpec::Init::projection)
    sigma /= std::sqrt(2.0 * static_cast<double>(config.n_layer));
  if (spec.init == ParameterSpec::Init::normal || spec.init == ParameterSpec::Init::projection) {
    Random random(seed ^ name_hash(spec.name));
    for (float& value : values) value = static_cast<float>(sigma * random.normal());
  }
  return values;
}

/// What of `config` would fit into `available` bytes, as the end of a sentence.
std::string smaller_model(const ModelConfig& config, size_t available) {
  const auto fits = [&](const ModelConfig& c) {
    return static_cast<size_t>(count_parameters(c).total()) <= available / sizeof(float);
  };
  std::vector<std::string> choices;
  ModelConfig shallow = config;
  while (shallow.n_layer > 1 && !fits(shallow)) shallow.n_layer /= 2;
  if (fits(shallow) && shallow.n_layer < config.n_layer)
    choices.push_back(fmt::format("n_layer={}", shallow.n_layer));
  ModelConfig narrow = config;
  while (narrow.n_embd % (2 * narrow.n_head) == 0 && !fits(narrow)) narrow.n_embd /= 2;
  if (fits(narrow) && narrow.n_embd < config.n_embd)
    choices.push_back(fmt::format("n_embd={}", narrow.n_embd));
  if (choices.empty()) return "choose a smaller n_embd, n_layer or vocab_size";
  return fmt::format("{} would fit", fmt::join(choices, " or "));
}

}  // namespace

std::vector<ParameterSpec> parameter_specs(const ModelConfig& config) {
  using Init = ParameterSpec::Init;
  const Axis C{"C", config.n_embd}, F{"F", config.mlp_width()}, V{"V", config.vocab_size},
      W{config.kv_heads() == config.n_head ? "3C" : "C+2K", config.qkv_width()};
  std::vector<ParameterSpec> specs;
  const auto norm = [&](const std::string& name) {
    specs.push_back({name + ".weight", {C}, Init::ones, false});
    if (config.bias && config.norm == NormKind::layernorm) {
      specs.push_back({name + ".bias", {C}, Init::zeros, false});
    }
  };
  const auto linear = [&](const std::string& name, Axis in, Axis out, Init init) {
    specs.push_back({name + ".weight", {in, out}, init, true});
    if (config.bias) specs.push_back({name + ".bias", {out}, Init::zeros, false});
  };
  specs.push_back({"wte.weight", {V, C}, Init::normal, true});
  if (config.position == PositionKind::learned) {
    specs.push_back({"wpe.weight", {{"P", config.n_positions}, C}, Init::normal, true});
  }
  for (int64_t l = 0; l < config.n_layer; ++l) {
    const std::string block = fmt::format("h.{}.", l);
    if (config.norm != NormKind::none) norm(block + "ln_1");
    linear(block + "attn.c_attn", C, W, Init::normal);
    linear(block + "attn.c_proj", C, C, Init::projection);
    if (config.mlp == MlpKind::none) continue;
    if (config.norm != NormKind::none) norm(block + "ln_2");
    // GPT-2 has no name for a gate: W_1 is c_gate beside W_3 = c_fc and W_2 = c_proj.
    if (config.mlp == MlpKind::gated) linear(block + "mlp.c_gate", C, F, Init::normal);
    linear(block + "mlp.c_fc", C, F, Init::normal);
    linear(block + "mlp.c_proj", F, C, Init::projection);
  }
  if (config.has_final_norm()) norm("ln_f");
  if (!config.tie_word_embeddings) specs.push_back({"lm_head.weight", {V, C}, Init::normal, true});
  return specs;
}

Parameters::Parameters(kernels::Backend& backend, const ModelConfig& config, Unset) : backend_(backend) {
  for (ParameterSpec& spec : parameter_specs(config)) {
    Entry entry;
    entry.spec = std::move(spec);
    index_.emplace(entry.spec.name, entries_.size());
    entries_.push_back(std::move(entry));
  }
  // All of it before the first piece: a machine that hands out memory it does not have ends the process
  // later.
  const size_t bytes = static_cast<size_t>(count()) * sizeof(float);
  try {
    check_available(backend_, bytes, fmt::format("a model of {} weights", count()));
    for (Entry& entry : entries_) entry.value = allocate(entry, memory_);
  } catch (const OutOfMemory& error) {
    memory_.clear();
    throw OutOfMemory(fmt::format("{}; {}", error.what(), smaller_model(config, backend_.available_bytes())));
  }
}

Parameters::Parameters(kernels::Backend& backend, const ModelConfig& config, uint64_t seed)
    : Parameters(backend, config, Unset{}) {
  for (const Entry& entry : entries_) upload(entry.value, entry, initial_values(entry.spec, config, seed));
}

Parameters::Parameters(kernels::Backend& backend, const Parameters& from) : backend_(backend) {
  entries_ = from.entries_;
  index_ = from.index_;
  check_available(backend_, static_cast<size_t>(count()) * sizeof(float) * (from.has_moments_ ? 3 : 1),
                  fmt::format("a model of {} weights", count()));
  for (Entry& entry : entries_) {
    entry.first = entry.second = nullptr;
    entry.value = allocate(entry, memory_);
  }
  if (from.has_moments_) ensure_moments();
  for (size_t i = 0; i < entries_.size(); ++i) {
    const Entry &source = from.entries_[i], &target = entries_[i];
    upload(target.value, target, from.download(source.value, source));
    if (!from.has_moments_) continue;
    upload(target.first, target, from.download(source.first, source));
    upload(target.second, target, from.download(source.second, source));
  }
}

float* Parameters::allocate(const Entry& entry, std::vector<DeviceMemory>& owner) {
  const size_t bytes = static_cast<size_t>(entry.spec.shape.count()) * sizeof(float);
  return static_cast<float*>(owner.emplace_back(backend_, bytes, entry.spec.name).get());
}

const Parameters::Entry* Parameters::find(std::string_view name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &entries_[it->second];
}

int64_t Parameters::count() const {
  int64_t total = 0;
  for (const Entry& entry : entries_) total += entry.spec.shape.count();
  return total;
}

void Parameters::give_up(std::string_view name) {
  const auto it = index_.find(name);
  if (it == index_.end()) fail("the model has no parameter \"{}\" to give up", name);
  entries_[it->second].value = nullptr;
  memory_[it->second].reset();
}

size_t Parameters::value_bytes() const {
  size_t bytes = 0;
  for (const Entry& entry : entries_) {
    if (entry.value != nullptr) bytes += static_cast<size_t>(entry.spec.shape.count()) * sizeof(float);
  }
  return bytes;
}

void Parameters::ensure_moments() {
  if (has_moments_) return;
  check_available(backend_, 2 * static_cast<size_t>(count()) * sizeof(float), "AdamW's moments");
  std::vector<DeviceMemory> moments;
  for (const Entry& entry : entries_) {
    (void)allocate(entry, moments);
    (void)allocate(entry, moments);
  }
  for (size_t i = 0; i < entries_.size(); ++i) {
    Entry& entry = entries_[i];
    entry.first = static_cast<float*>(moments[2 * i].get());
    entry.second = static_cast<float*>(moments[2 * i + 1].get());
    const size_t bytes = static_cast<size_t>(entry.spec.shape.count()) * sizeof(float);
    backend_.clear(entry.first, bytes);
    backend_.clear(entry.second, bytes);
  }
  for (DeviceMemory& moment : moments) memory_.push_back(std::move(moment));
  has_moments_ = true;
}

int Parameters::copy_matching(const Parameters& from) {
  if (from.has_moments_) ensure_moments();
  int copied = 0;
  for (Entry& entry : entries_) {
    const Entry* source = from.find(entry.spec.name);
    if (source == nullptr || !(source->spec.shape == entry.spec.shape)) continue;
    const size_t bytes = static_cast<size_t>(entry.spec.shape.count()) * sizeof(float);
    backend_.copy(entry.value, source->value, bytes);
    if (from.has_moments_) {
      backend_.copy(entry.first, source->first, bytes);
      backend_.copy(entry.second, source->second, bytes);
    }
    ++copied;
  }
  return copied;
}

std::vector<float> Parameters::download(const float* device, const Entry& entry) const {
  std::vector<float> values(static_cast<size_t>(entry.spec.shape.count()));
  backend_.download(values.data(), device, values.size() * sizeof(float));
  return values;
}

void Parameters::upload(float* device, const Entry& entry, std::span<const float> values) {
  if (static_cast<int64_t>(values.size()) != entry.spec.shape.count()) {
    fail("{} holds {} numbers, but {} were given", entry.spec.name, entry.spec.shape.count(), values.size());
  }
  backend_.upload(device, values.data(), values.size() * sizeof(float));
}

}  // namespace headlight
