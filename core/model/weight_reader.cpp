// See weight_reader.h.
#include "core/model/weight_reader.h"

#include <algorithm>
#include <set>

#include "core/base/error.h"
#include "core/base/utf8.h"

namespace headlight {

namespace {

/// Numbers that go over in one go: small enough for the cache, large enough that calls cost nothing.
constexpr size_t kPiece = size_t{1} << 18;
constexpr size_t kListed = 4;  ///< tensors that a sentence names

/// "a (2×3), b (4) and 7 more".
std::string listed(const std::vector<std::string>& items) {
  const size_t shown = std::min(items.size(), kListed);
  std::string out =
      fmt::format("{}", fmt::join(items.begin(), items.begin() + static_cast<ptrdiff_t>(shown), ", "));
  if (items.size() > shown) out += fmt::format(" and {} more", items.size() - shown);
  return out;
}

bool is_float(std::string_view dtype) {
  return dtype == "F32" || dtype == "F16" || dtype == "BF16" || dtype == "F64";
}

FileLayout layout_of(const WeightFiles& files) {
  for (const auto& [name, stored] : files.tensors()) {
    for (const std::string_view prefix :
         {"model.layers.", "model.embed_tokens.", "layers.", "embed_tokens."}) {
      if (name.starts_with(prefix)) return FileLayout::llama;
    }
  }
  return FileLayout::gpt2;
}

}  // namespace

WeightReader::WeightReader(const WeightFiles& files, const ModelConfig& config)
    : files_(files), config_(config), layout_(layout_of(files)) {
  resolve();
  list_unexpected();
}

StoredTensor WeightReader::locate(const StoredPart& part) const {
  const StoredTensor bare = files_.find(part.name);
  if (!part.in_body) return bare;
  const std::string prefixed = std::string(body_prefix(layout_)) + part.name;
  const StoredTensor with_prefix = files_.find(prefixed);
  if (bare.info != nullptr && with_prefix.info != nullptr) {
    fail("{} holds both {} and {}; keep one of them", files_.path().string(), quote(part.name),
         quote(prefixed));
  }
  return bare.info != nullptr ? bare : with_prefix;
}

void WeightReader::resolve() {
  std::vector<std::string> missing;
  std::string wrong;  // the first of another shape; a model that lacks tensors is another one altogether
  for (const ParameterSpec& spec : parameter_specs(config_)) {
    std::vector<Source>& sources = sources_.emplace_back();
    for (const StoredPart& part : stored_parts(spec, config_, layout_)) {
      StoredTensor stored = locate(part);
      // Shared weights may have been written under the name of the unembedding alone.
      if (stored.info == nullptr && spec.name == "wte.weight" && config_.tie_word_embeddings) {
        stored = files_.find("lm_head.weight");
      }
      if (stored.info == nullptr) {
        missing.push_back(fmt::format("{} ({})", quote(part.name), shape_text(part.shape)));
        continue;
      }
      const TensorInfo& info = *stored.info;
      if (info.shape != part.shape) {
        const bool reversed = info.shape.size() == 2 && part.shape.size() == 2 &&
                              info.shape[0] == part.shape[1] && info.shape[1] == part.shape[0];
        if (wrong.empty()) {
          wrong =
              fmt::format("{}: tensor {} is {}, but config.json makes it {}{}", stored.file->path().string(),
                          quote(info.name), shape_text(info.shape), shape_text(part.shape),
                          reversed ? "; it is stored the other way round, so transpose it" : "");
        }
        continue;
      }
      if (!is_float(info.dtype)) {
        fail("{}: tensor {} has dtype {}; weights are F32, F16, BF16 or F64", stored.file->path().string(),
             quote(info.name), info.dtype);
      }
      total_bytes_ += info.size;
      sources.push_back({part, stored});
    }
  }
  if (missing.empty()) {
    if (!wrong.empty()) throw Error(wrong);
    return;
  }
  fail(
      "{} lacks {} tensor{} that config.json asks for: {}; the folder's files belong to different models, or "
      "config.json names a model of another kind",
      files_.path().string(), missing.size(), missing.size() == 1 ? "" : "s", listed(missing));
}

void WeightReader::list_unexpected() {
  std::set<const TensorInfo*> used;
  for (const std::vector<Source>& sources : sources_) {
    for (const Source& source : sources) used.insert(source.stored.info);
  }
  std::vector<std::string> body, others;
  for (const auto& [name, stored] : files_.tensors()) {
    if (used.contains(stored.info) || is_passed_over(name)) continue;
    if (name == "lm_head.weight" && config_.tie_word_embeddings) continue;
    (belongs_to_body(name) ? body : others)
        .push_back(fmt::format("{} ({})", quote(name), shape_text(stored.info->shape)));
  }
  if (!body.empty()) {
    fail(
        "{} holds {} tensor{} that config.json has no place for: {}; without {} it would be another model, "
        "so "
        "correct config.json",
        files_.path().string(), body.size(), body.size() == 1 ? "" : "s", listed(body),
        body.size() == 1 ? "it" : "them");
  }
  if (!others.empty()) {
    remark_ = fmt::format("{} holds {} tensor{} that the model does not use: {}", files_.path().string(),
                          others.size(), others.size() == 1 ? "" : "s", listed(others));
  }
}

void WeightReader::copy_whole(const Source& source, Parameters& parameters, float* device,
                              const std::function<void(uint64_t bytes)>& done) const {
  const TensorInfo& info = *source.stored.info;
  const auto count = static_cast<size_t>(info.elements());
  std::vector<float> piece(std::min(count, kPiece));
  for (size_t at = 0; at < count; at += kPiece) {
    const std::span<float> values(piece.data(), std::min(kPiece, count - at));
    source.stored.file->read_f32(info, at, values);
    parameters.backend().upload(device + at, values.data(), values.size_bytes());
    done(values.size() * (info.size / count));
  }
}

void WeightReader::assemble(const std::vector<Source>& sources, Parameters& parameters,
                            const Parameters::Entry& entry,
                            const std::function<void(uint64_t bytes)>& done) const {
  const auto width = static_cast<size_t>(entry.spec.shape.last());
  const auto rows = static_cast<size_t>(entry.spec.shape.rows());
  std::vector<float> values(rows * width), stored;
  for (const Source& source : sources) {
    const auto columns = static_cast<size_t>(source.part.columns);
    const auto first = static_cast<size_t>(source.part.first_column);
    // Some rows of the file at a time: they are columns here.
    const size_t together = std::max<size_t>(1, kPiece / rows);
    for (size_t from = 0; from < columns; from += together) {
      const size_t count = std::min(together, columns - from);
      stored.resize(count * rows);
      source.stored.file->read_f32(*source.stored.info, from * rows, stored);
      for (size_t r = 0; r < rows; ++r) {
        for (size_t c = 0; c < count; ++c) values[r * width + first + from + c] = stored[c * rows + r];
      }
    }
    done(source.stored.info->size);
  }
  parameters.upload(entry.value, entry, values);
}

void WeightReader::read(Parameters& parameters, const LoadProgress& progress) const {
  uint64_t bytes_done = 0;
  const auto done = [&](uint64_t bytes) {
    bytes_done += bytes;
    if (progress) progress(static_cast<double>(bytes_done) / static_cast<double>(total_bytes_));
  };
  for (size_t i = 0; i < sources_.size(); ++i) {
    const Parameters::Entry& entry = parameters.entries()[i];
    const std::vector<Source>& sources = sources_[i];
    if (sources.size() == 1 && !sources[0].part.transposed) {
      copy_whole(sources[0], parameters, entry.value, done);
    } else {
      assemble(sources, parameters, entry, done);
    }
  }
}

void WeightReader::read_moment(const std::string& name, Parameters& parameters,
                               const Parameters::Entry& entry, float* device) const {
  StoredPart part;
  part.name = name;
  for (const Axis& axis : entry.spec.shape.axes()) part.shape.push_back(axis.size);
  const StoredTensor stored = files_.find(name);
  if (stored.info == nullptr) {
    fail("{} lacks tensor {} ({}) of its training state; open it without resuming", files_.path().string(),
         quote(name), shape_text(part.shape));
  }
  if (stored.info->shape != part.shape) {
    fail("{}: tensor {} is {}, but config.json makes it {}", stored.file->path().string(), quote(name),
         shape_text(stored.info->shape), shape_text(part.shape));
  }
  copy_whole({part, stored}, parameters, device, [](uint64_t) {});
}

}  // namespace headlight
