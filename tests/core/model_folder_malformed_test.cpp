// Model folders that are damaged, contradict themselves or hold another kind of model: each is refused with
// its sentence, nothing aborts, and no memory is taken for what a file merely claims.
#include <gtest/gtest.h>

#include <sys/resource.h>

#include <cstdio>
#include <functional>

#include "core/io/atomic_file.h"
#include "core/model/model_folder.h"
#include "tests/support/error_text.h"
#include "tests/support/model.h"
#include "tests/support/model_files.h"
#include "tests/support/temporary_folder.h"

namespace headlight {
namespace {

using nlohmann::json;
using test::bytes_of;
using test::error_of;
using test::FileTensor;
using test::TemporaryFolder;

/// A good folder, taken apart: change any of it, then write.
struct Parts {
  json config;
  std::vector<FileTensor> tensors;

  FileTensor& tensor(std::string_view name) {
    for (FileTensor& t : tensors) {
      if (t.name == name) return t;
    }
    throw std::runtime_error("no tensor " + std::string(name));
  }
  void reshape(std::string_view name, std::vector<int64_t> shape) {
    int64_t count = 1;
    for (const int64_t n : shape) count *= n;
    FileTensor& t = tensor(name);
    t.shape = std::move(shape);
    t.values.resize(static_cast<size_t>(count));
  }
  void drop(std::string_view name) {
    std::erase_if(tensors, [&](const FileTensor& t) { return t.name == name; });
  }
  void add(std::string name, std::vector<int64_t> shape) {
    tensors.push_back({std::move(name), {}, {}});
    reshape(tensors.back().name, std::move(shape));
  }
};

Parts good_parts(const ModelConfig& config, bool llama) {
  const TemporaryFolder folder;
  Model model;
  model.config = config;
  model.parameters = std::make_unique<Parameters>(test::cpu(), config, 1);
  save_model_folder(folder.path(), model);
  Parts parts;
  parts.config = read_json_file(folder / "config.json", "config");
  EXPECT_EQ(parts.config["model_type"] == "llama", llama);
  const SafetensorsFile file(folder / "model.safetensors");
  for (const TensorInfo& info : file.tensors()) {
    parts.tensors.push_back({info.name, info.shape, file.read_f32(info.name)});
  }
  return parts;
}

Parts gpt2() { return good_parts(test::small_config(), false); }
Parts llama() {
  ModelConfig c = test::small_config();
  c.n_head = 6;
  c.n_kv_head = 3;
  c.norm = NormKind::rmsnorm;
  c.mlp = MlpKind::gated;
  c.activation = Activation::silu;
  c.position = PositionKind::rope;
  c.bias = c.tie_word_embeddings = false;
  return good_parts(c, true);
}

std::string opening_error(const std::filesystem::path& folder) {
  return error_of([&] { return open_model_folder(folder, test::cpu()).remark; });
}

std::string error_of_parts(const Parts& parts) {
  const TemporaryFolder folder;
  write_json_file(folder / "config.json", parts.config);
  test::write_tensors(folder / "model.safetensors", parts.tensors);
  return opening_error(folder.path());
}

struct Damage {
  const char* name;
  std::function<void(Parts&)> change;
  std::vector<std::string> says;
};

std::function<void(Parts&)> key(const char* name, json value) {
  return [name, value](Parts& p) { p.config[name] = value; };
}
std::function<void(Parts&)> no_key(const char* name) {
  return [name](Parts& p) { p.config.erase(name); };
}
std::function<void(Parts&)> without(const char* name) {
  return [name](Parts& p) { p.drop(name); };
}
std::function<void(Parts&)> shape(const char* name, std::vector<int64_t> sizes) {
  return [name, sizes](Parts& p) { p.reshape(name, sizes); };
}
std::function<void(Parts&)> extra(const char* name, std::vector<int64_t> sizes) {
  return [name, sizes](Parts& p) { p.add(name, sizes); };
}

TEST(MalformedModelFolders, Gpt2) {
  const Parts good = gpt2();
  ASSERT_EQ(error_of_parts(good), "no error");
  const std::vector<Damage> damages = {
      // The config asks for another model than the weights are.
      {"more blocks", key("n_layer", 3), {"lacks 12 tensors", "“h.2.ln_1.weight” (12)", "and 8 more"}},
      {"fewer blocks",
       key("n_layer", 1),
       {"12 tensors that config.json has no place for", "h.1.attn.c_attn.bias"}},
      {"no blocks", key("n_layer", 0), {"n_layer = 0 cannot be used"}},
      {"negative blocks", key("n_layer", -2), {"n_layer = -2 cannot be used"}},
      {"absurd blocks", key("n_layer", 1000000), {"n_layer = 1000000 cannot be used"}},
      {"absurd width", key("n_embd", 1 << 16), {"n_embd", "n_head"}},
      {"huge width that divides",
       [](Parts& p) {
         p.config["n_embd"] = 49152;
         p.config["n_head"] = 3;
       },
       {"tensor “wte.weight” is 13×12, but config.json makes it 13×49152"}},
      {"huge vocabulary", key("vocab_size", 9000000), {"is 13×12, but config.json makes it 9000000×12"}},
      {"vocabulary off by one",
       key("vocab_size", 14),
       {"tensor “wte.weight” is 13×12, but config.json makes it 14×12"}},
      {"positions", key("n_positions", 8), {"n_ctx", "differ"}},
      {"inner width",
       key("n_inner", 21),
       {"tensor “h.0.mlp.c_fc.weight” is 12×20, but config.json makes it 12×21"}},
      {"inner width by default", key("n_inner", nullptr), {"12×48"}},
      {"untied", key("tie_word_embeddings", false), {"lacks 1 tensor", "“lm_head.weight” (13×12)"}},
      {"no biases", key("bias", false), {"no place for", "h.0.attn.c_attn.bias", "correct config.json"}},
      {"no norm", key("norm", "none"), {"no place for", "h.0.ln_1.bias"}},
      {"RMSNorm", key("norm", "rmsnorm"), {"no place for", "h.0.ln_1.bias"}},
      {"no MLP", key("mlp", "none"), {"no place for", "h.0.ln_2.bias"}},
      {"gated MLP", key("mlp", "gated"), {"lacks 4 tensors", "“h.0.mlp.c_gate.weight” (12×20)"}},
      {"no positions", key("position", "none"), {"no place for: “wpe.weight” (9×12)"}},
      {"rope of an odd head",
       [](Parts& p) {
         p.config["position"] = "rope";
         p.config["n_head"] = 4;
       },
       {"is odd"}},
      {"shared keys",
       [](Parts& p) { p.config["n_kv_head"] = 1; },
       {"tensor “h.0.attn.c_attn.weight” is 12×36, but config.json makes it 12×20"}},
      {"post-LN", key("norm_position", "post"), {"no place for", "ln_f.bias"}},
      // Keys that are missing or of another type.
      {"no n_layer", no_key("n_layer"), {"n_layer is missing; a value that would work is 2"}},
      {"no n_head", no_key("n_head"), {"n_head is missing"}},
      {"no n_embd", no_key("n_embd"), {"n_embd is missing"}},
      {"no vocab_size", no_key("vocab_size"), {"vocab_size is missing"}},
      {"text for a number", key("n_head", "three"), {"n_head = “three” cannot be used"}},
      {"list for a number", key("n_embd", json::array({12})), {"n_embd = “[12]” cannot be used"}},
      {"fraction", key("n_layer", 1.5), {"n_layer = “1.5” cannot be used"}},
      {"heads that do not divide", key("n_head", 5), {"n_embd = 12 is not divisible by n_head = 5"}},
      {"another family", key("model_type", "t5"), {"a model of type “\"t5\"” is not known"}},
      {"a family that does not fit", key("model_type", "gemma"), {"a model of type gemma has RMSNorm gains"}},
      {"experts", key("num_experts", 8), {"num_experts = “8”: a mixture of experts is not in this version"}},
      {"an activation that is not there",
       key("activation_function", "tanh"),
       {"activation_function = “tanh”"}},
      {"negative epsilon", key("layer_norm_epsilon", -1), {"layer_norm_epsilon = -1 cannot be used"}},
      {"two spellings", key("num_hidden_layers", 5), {"name the same thing but differ"}},
      {"dropouts that differ", key("embd_pdrop", 0.5), {"differ, but a model has one dropout here"}},
      // Tensors that are missing, of another shape or of another kind.
      {"no embedding",
       without("wte.weight"),
       {"lacks 1 tensor that config.json asks for: “wte.weight” (13×12)"}},
      {"no bias of one", without("h.1.mlp.c_fc.bias"), {"“h.1.mlp.c_fc.bias” (20)"}},
      {"no final norm",
       [](Parts& p) {
         p.drop("ln_f.weight");
         p.drop("ln_f.bias");
       },
       {"lacks 2 tensors", "ln_f.weight"}},
      {"nothing", [](Parts& p) { p.tensors.clear(); }, {"lacks 28 tensors", "and 24 more"}},
      {"stored the other way round",
       shape("h.0.attn.c_attn.weight", {36, 12}),
       {"is 36×12, but config.json makes it 12×36; it is stored the other way round, so transpose it"}},
      {"flat", shape("h.0.attn.c_proj.weight", {144}), {"is 144, but config.json makes it 12×12"}},
      {"an axis too many", shape("h.0.ln_1.weight", {1, 12}), {"is 1×12, but config.json makes it 12"}},
      {"a scalar", shape("ln_f.bias", {}), {"tensor “ln_f.bias” is scalar, but config.json makes it 12"}},
      {"empty", shape("wpe.weight", {0, 12}), {"is 0×12, but config.json makes it 9×12"}},
      {"twice, with and without prefix",
       extra("transformer.h.0.ln_1.weight", {12}),
       {"holds both “h.0.ln_1.weight” and “transformer.h.0.ln_1.weight”; keep one of them"}},
      {"a block that is not there", extra("h.7.ln_1.weight", {12}), {"no place for: “h.7.ln_1.weight” (12)"}},
      {"an adapter",
       extra("h.0.attn.lora_A.weight", {12, 2}),
       {"no place for: “h.0.attn.lora_A.weight” (12×2)"}},
      {"a bias of the unembedding", extra("lm_head.bias", {13}), {"no place for: “lm_head.bias” (13)"}},
      {"whole numbers for weights",
       [](Parts& p) { p.tensor("h.0.ln_1.bias").dtype = "I32"; },
       {"tensor “h.0.ln_1.bias” has dtype I32; weights are F32, F16, BF16 or F64"}},
      {"bytes for weights",
       [](Parts& p) {
         p.reshape("ln_f.weight", {12});
         p.tensor("ln_f.weight").dtype = "I32";
       },
       {"has dtype I32"}},
  };
  for (const Damage& damage : damages) {
    SCOPED_TRACE(damage.name);
    Parts parts = good;
    damage.change(parts);
    const std::string sentence = error_of_parts(parts);
    for (const std::string& part : damage.says) {
      EXPECT_SAYS(sentence, part);
    }
    EXPECT_EQ(sentence.find("not an Error"), std::string::npos) << sentence;
  }
}

TEST(MalformedModelFolders, Llama) {
  const Parts good = llama();
  ASSERT_EQ(error_of_parts(good), "no error");
  const auto both = [](const char* ours, const char* theirs, json value) {
    return [=](Parts& p) { p.config[ours] = p.config[theirs] = value; };
  };
  const std::vector<Damage> damages = {
      {"more blocks",
       both("n_layer", "num_hidden_layers", 3),
       {"lacks 9 tensors", "“layers.2.input_layernorm.weight” (12)", "and 5 more"}},
      {"fewer blocks",
       both("n_layer", "num_hidden_layers", 1),
       {"no place for", "model.layers.1.input_layernorm.weight"}},
      {"all heads have keys",
       both("n_kv_head", "num_key_value_heads", 6),
       {"tensor “model.layers.0.self_attn.k_proj.weight” is 6×12, but config.json makes it 12×12"}},
      {"one key head",
       both("n_kv_head", "num_key_value_heads", 1),
       {"k_proj.weight” is 6×12, but config.json makes it 2×12"}},
      {"key heads that do not divide",
       both("n_kv_head", "num_key_value_heads", 4),
       {"not divisible by n_kv_head = 4"}},
      {"another inner width",
       both("n_inner", "intermediate_size", 24),
       {"tensor “model.layers.0.mlp.gate_proj.weight” is 20×12, but config.json makes it 24×12"}},
      {"a head size of its own", key("head_dim", 4), {"head_dim = “4”"}},
      {"biases",
       [](Parts& p) { p.config["bias"] = p.config["attention_bias"] = p.config["mlp_bias"] = true; },
       {"lacks 14 tensors", "“layers.0.self_attn.q_proj.bias” (12)"}},
      {"biases of attention alone",
       key("attention_bias", true),
       {"attention_bias = true and mlp_bias = false differ"}},
      {"scaled by yarn",
       key("rope_scaling", {{"rope_type", "yarn"}, {"factor", 4}}),
       {"rope_scaling of type “\"yarn\"”"}},
      {"a sliding window", key("sliding_window", 4096), {"sliding-window attention is not in this version"}},
      {"no inner width",
       [](Parts& p) {
         p.config.erase("n_inner");
         p.config.erase("intermediate_size");
       },
       {"intermediate_size is missing"}},
      {"tied", key("tie_word_embeddings", true), {"no error"}},
      {"no unembedding", without("lm_head.weight"), {"lacks 1 tensor", "“lm_head.weight” (13×12)"}},
      {"no keys",
       without("model.layers.1.self_attn.k_proj.weight"),
       {"“layers.1.self_attn.k_proj.weight” (6×12)"}},
      {"stored as [in, out]",
       shape("model.layers.0.mlp.down_proj.weight", {20, 12}),
       {"is 20×12, but config.json makes it 12×20; it is stored the other way round"}},
      {"normalised queries",
       extra("model.layers.0.self_attn.q_norm.weight", {2}),
       {"no place for: “model.layers.0.self_attn.q_norm.weight” (2)"}},
      {"rotary frequencies beside it",
       extra("model.layers.0.self_attn.rotary_emb.inv_freq", {1}),
       {"no error"}},
      {"GPT-2's config", [](Parts& p) { p.config = gpt2().config; }, {"lacks", "wpe.weight"}},
      {"GPT-2's weights", [](Parts& p) { p.tensors = gpt2().tensors; }, {"lacks", "h.0.mlp.c_gate.weight"}},
  };
  for (const Damage& damage : damages) {
    SCOPED_TRACE(damage.name);
    Parts parts = good;
    damage.change(parts);
    const std::string sentence = error_of_parts(parts);
    for (const std::string& part : damage.says) EXPECT_SAYS(sentence, part);
  }
}

/// Files of a sharded folder damaged as files.
TEST(MalformedModelFolders, Shards) {
  const Parts good = gpt2();
  constexpr const char* kIndex = "model.safetensors.index.json";
  constexpr const char* kFirst = "model-00001-of-00002.safetensors";
  constexpr const char* kSecond = "model-00002-of-00002.safetensors";
  struct FileDamage {
    const char* name;
    std::function<void(const TemporaryFolder&)> change;
    std::vector<std::string> says;
  };
  const auto index = [&](const std::function<void(json&)>& change) {
    return [change, kIndex](const TemporaryFolder& f) {
      json root = read_json_file(f / kIndex, "index");
      change(root);
      write_json_file(f / kIndex, root);
    };
  };
  const auto text = [&](const char* file, std::string bytes) {
    return [file, bytes](const TemporaryFolder& f) { f.write(file, bytes); };
  };
  const auto cut = [&](const char* file, size_t keep) {
    return [file, keep](const TemporaryFolder& f) { f.write(file, bytes_of(f / file).substr(0, keep)); };
  };
  const std::vector<FileDamage> damages = {
      {"index is no JSON", text(kIndex, "{\"weight_map\": {"), {kIndex, "is not valid JSON"}},
      {"index is empty", text(kIndex, ""), {"is not valid JSON"}},
      {"index is a list", text(kIndex, "[]"), {"has no \"weight_map\""}},
      {"index has no map", text(kIndex, "{\"metadata\": {}}"), {"has no \"weight_map\""}},
      {"map is a list", text(kIndex, "{\"weight_map\": []}"), {"has no \"weight_map\""}},
      {"map is empty", text(kIndex, "{\"weight_map\": {}}"), {"names no tensors"}},
      {"map has numbers",
       text(kIndex, "{\"weight_map\": {\"wte.weight\": 1}}"),
       {"gives number for tensor “wte.weight” instead of a file's name"}},
      {"map twice", text(kIndex, "{\"weight_map\": {}, \"weight_map\": {}}"), {"twice in one object"}},
      {"a file elsewhere",
       index([](json& r) { r["weight_map"]["wte.weight"] = "../other/model.safetensors"; }),
       {"names the file “../other/model.safetensors”", "must be a .safetensors file beside it"}},
      {"an absolute file",
       index([](json& r) { r["weight_map"]["wte.weight"] = "/etc/passwd"; }),
       {"“/etc/passwd”"}},
      {"a pickle",
       index([](json& r) { r["weight_map"]["wte.weight"] = "pytorch_model-00001.bin"; }),
       {"must be a .safetensors file"}},
      {"a name of nothing",
       index([](json& r) { r["weight_map"]["wte.weight"] = ".safetensors"; }),
       {"must be a"}},
      {"a file that is not there",
       index([](json& r) { r["weight_map"]["wte.weight"] = "model-3.safetensors"; }),
       {"model-3.safetensors does not exist"}},
      {"a tensor that is not there",
       index([kFirst](json& r) { r["weight_map"]["h.9.x"] = kFirst; }),
       {"says that tensor “h.9.x” lies in", "but it is not there"}},
      {"a tensor in the other file",
       index([kSecond](json& r) { r["weight_map"]["wte.weight"] = kSecond; }),
       {"says that tensor “wte.weight” lies in", "but it is not there"}},
      {"shard missing",
       [kSecond](const TemporaryFolder& f) { std::filesystem::remove(f / kSecond); },
       {kSecond, "does not exist"}},
      {"shard is a folder",
       [kSecond](const TemporaryFolder& f) {
         std::filesystem::remove(f / kSecond);
         std::filesystem::create_directory(f / kSecond);
       },
       {kSecond, "is not a regular file"}},
      {"shard is empty", cut(kFirst, 0), {kFirst, "has 0 bytes, too few"}},
      {"shard cut in its length", cut(kFirst, 5), {"has 5 bytes, too few"}},
      {"shard cut in its header", cut(kFirst, 40), {"the file was cut short"}},
      {"shard cut in its data", cut(kFirst, 3000), {"it was cut short"}},
      {"shard with a tail",
       [kFirst](const TemporaryFolder& f) { f.write(kFirst, bytes_of(f / kFirst) + "xxxx"); },
       {"bytes of data that belong to no tensor"}},
      {"shard is text", text(kFirst, "once upon a time"), {"no safetensors file or it is damaged"}},
      {"shard is a zip",
       text(kFirst, std::string("PK\x03\x04\x14\x00\x08\x08", 8) + std::string(60, '\0')),
       {"pickled PyTorch file"}},
      {"shards share a tensor",
       [kFirst, kSecond](const TemporaryFolder& f) {
         std::filesystem::remove(f / kSecond);
         std::filesystem::copy_file(f / kFirst, f / kSecond);
       },
       {"lies both in", "keep one of them"}},
      {"too many shards",
       index([](json& r) {
         for (int i = 0; i < 600; ++i)
           r["weight_map"][std::to_string(i)] = std::to_string(i) + ".safetensors";
       }),
       {"names more than 512 files"}},
      {"config is missing",
       [](const TemporaryFolder& f) { std::filesystem::remove(f / "config.json"); },
       {"config.json"}},
      {"config is no JSON", text("config.json", "n_layer: 2"), {"is not valid JSON"}},
      {"config is a list", text("config.json", "[1,2]"), {"holds array instead of an object"}},
      {"config is deep",
       text("config.json", std::string(100, '[') + std::string(100, ']')),
       {"more than 64 deep"}},
      {"config is not UTF-8", text("config.json", "{\"a\": \"\xff\"}"), {"is not UTF-8"}},
      {"config repeats a key",
       text("config.json", "{\"n_layer\": 2, \"n_layer\": 3}"),
       {"twice in one object"}},
  };
  for (const FileDamage& damage : damages) {
    SCOPED_TRACE(damage.name);
    const TemporaryFolder folder;
    write_json_file(folder / "config.json", good.config);
    test::write_shards(folder.path(), good.tensors, 2);
    damage.change(folder);
    const std::string sentence = opening_error(folder.path());
    for (const std::string& part : damage.says) EXPECT_SAYS(sentence, part);
  }
}

/// A config that claims a model of terabytes beside a file of kilobytes is refused before memory is taken.
TEST(MalformedModelFolders, NoMemoryForWhatAFileClaims) {
  Parts parts = gpt2();
  parts.config["n_embd"] = 49152;
  parts.config["n_head"] = 3;
  parts.config["vocab_size"] = 100'000;
  rusage before{}, after{};
  getrusage(RUSAGE_SELF, &before);
  EXPECT_SAYS(error_of_parts(parts), "config.json makes it");
  getrusage(RUSAGE_SELF, &after);
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 64 * 1024) << "kilobytes";
}

/// Cut anywhere, the weights are refused with a sentence; so is a shard.
TEST(MalformedModelFolders, TruncationAtManyBytes) {
  const Parts good = llama();
  const TemporaryFolder folder;
  write_json_file(folder / "config.json", good.config);
  test::write_tensors(folder / "model.safetensors", good.tensors);
  const std::string whole = bytes_of(folder / "model.safetensors");
  for (size_t size = 0; size < whole.size(); size += 1 + whole.size() / 150) {
    folder.write("model.safetensors", whole.substr(0, size));
    const std::string sentence = opening_error(folder.path());
    EXPECT_SAYS(sentence, "model.safetensors");
    EXPECT_EQ(sentence.find("not an Error"), std::string::npos) << size;
  }
  folder.write("model.safetensors", whole);
  EXPECT_EQ(opening_error(folder.path()), "no error");
}

}  // namespace
}  // namespace headlight
