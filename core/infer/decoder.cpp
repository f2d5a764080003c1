// See decoder.h.
#include "core/infer/decoder.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/model/builder.h"
#include "core/tape/rewrite_decoding.h"

namespace headlight {

namespace {

/// Up to here weights are read once and steps are short, so that their number counts.
constexpr int64_t kFewTokens = 8;

Decoder::Options completed(const Model& model, Decoder::Options options) {
  if (options.capacity <= 0) options.capacity = model.config.n_positions;
  if (model.config.position == PositionKind::learned && options.capacity > model.config.n_positions) {
    fail("a cache of {} places is more than the {} that n_positions has learned; ask for fewer",
         options.capacity, model.config.n_positions);
  }
  if (options.batch < 1 || options.chunk < 1) {
    fail("batch and chunk of a decoder must be at least 1, but are {} and {}", options.batch, options.chunk);
  }
  options.chunk = std::min(options.chunk, options.capacity);
  return options;
}

std::shared_ptr<const Program> decode_program(const Model& model, const Decoder::Options& options, int64_t T,
                                              bool fused) {
  ProgramOptions built;
  built.loss = false;
  built.fused = fused;
  built.cache = options.capacity;
  built.weights = options.weights.format;
  built.weight_group = options.weights.group;
  return build_program(model.config, options.batch, T, built);
}

/// The need, or an Error where it passes the limit.
Decoder::MemoryNeed checked_need(const Model& model, const Decoder::Options& options) {
  const Decoder::MemoryNeed need = Decoder::predict(model, options);
  if (options.memory_limit > 0 && need.total() > options.memory_limit) {
    fail(
        "generating would need {:.1f} MB (weights {:.1f}, cache {:.1f}, activations {:.1f}), but the limit "
        "is "
        "{:.1f} MB; choose fewer or shorter sequences, or smaller weights",
        static_cast<double>(need.total()) / 1e6, static_cast<double>(need.weights) / 1e6,
        static_cast<double>(need.cache) / 1e6, static_cast<double>(need.activations) / 1e6,
        static_cast<double>(options.memory_limit) / 1e6);
  }
  return need;
}

std::shared_ptr<const PackedWeights> pack_if_asked(const Model& model, const Decoder::Options& options,
                                                   std::shared_ptr<const PackedWeights> weights) {
  (void)checked_need(model, options);
  if (options.weights.format == WeightFormat::f32) return nullptr;
  if (weights != nullptr && weights->storage() == options.weights) return weights;
  return std::make_shared<const PackedWeights>(*model.parameters, options.weights);
}

}  // namespace

Decoder::MemoryNeed Decoder::predict(const Model& model, const Options& asked) {
  const Options options = completed(model, asked);
  MemoryNeed need;
  need.weights = PackedWeights::bytes_of(model.parameters->backend(), model.config, options.weights);
  need.cache = KvCache::bytes_of(model.config, options.batch, options.capacity);
  const auto program = decode_program(model, options, options.chunk, options.fused);
  const std::vector<bool> none(program->buffers().size(), false);
  need.activations = plan_memory(*program, none, none, false).bytes;
  return need;
}

Decoder::Decoder(const Model& model, const Options& options, std::shared_ptr<const PackedWeights> weights)
    : model_(model),
      options_(completed(model, options)),
      weights_(pack_if_asked(model, options_, std::move(weights))),
      cache_(model.parameters->backend(), model.config, options_.batch, options_.capacity),
      lengths_(static_cast<size_t>(options_.batch), 0),
      logits_(static_cast<size_t>(options_.batch)) {
  if (model.parameters->backend().inference() == nullptr) {
    fail("{} keeps no cache of keys and values; use --device cpu or --no-cache",
         model.parameters->backend().description());
  }
}

Decoder::MemoryNeed Decoder::memory() const {
  MemoryNeed need;
  need.weights = weights_ == nullptr ? 0 : weights_->bytes();
  need.cache = cache_.bytes();
  for (const auto& [T, executor] : executors_) need.activations += executor->arena_bytes();
  return need;
}

size_t Decoder::bytes_per_token() const {
  return cache_.bytes() / static_cast<size_t>(options_.batch * cache_.capacity());
}

std::unique_ptr<Executor> Decoder::make_executor(std::shared_ptr<const Program> program,
                                                 const Capture& capture) const {
  Executor::Options options;
  options.capture = capture;
  options.external.push_back(&cache_);
  if (weights_ != nullptr) options.external.push_back(weights_.get());
  return std::make_unique<Executor>(std::move(program), model_.parameters->backend(), *model_.parameters,
                                    std::move(options));
}

Executor& Decoder::executor(int64_t T) {
  std::unique_ptr<Executor>& found = executors_[T];
  if (found == nullptr) {
    std::erase_if(executors_, [&](const auto& item) {
      return item.first != T && item.first != 1 && item.first != options_.chunk;
    });
    auto program = decode_program(model_, options_, T, options_.fused);
    const bool few = options_.batch * T <= kFewTokens;
    if (few && options_.fused && model_.parameters->backend().inference()->decoding != nullptr) {
      program = fuse_decoding(*program);
    }
    found = make_executor(std::move(program), {{}, 0});
  }
  return *found;
}

void Decoder::check(std::span<const std::vector<int32_t>> tokens) const {
  if (tokens.size() != lengths_.size()) {
    fail("the decoder has {} sequences, but tokens for {} were given", lengths_.size(), tokens.size());
  }
  for (size_t b = 0; b < tokens.size(); ++b) {
    const auto length = lengths_[b] + static_cast<int64_t>(tokens[b].size());
    if (length > capacity()) {
      fail("sequence {} would have {} tokens, but the cache holds {}; shorten it or make the cache larger", b,
           length, capacity());
    }
  }
}

RunInputs Decoder::inputs(std::span<const std::vector<int32_t>> tokens, std::span<const size_t> done,
                          int64_t T) const {
  RunInputs inputs;
  inputs.tokens.assign(tokens.size() * static_cast<size_t>(T), 0);
  for (size_t b = 0; b < tokens.size(); ++b) {
    const size_t count = std::min(tokens[b].size() - done[b], static_cast<size_t>(T));
    std::copy_n(tokens[b].begin() + static_cast<std::ptrdiff_t>(done[b]), count,
                inputs.tokens.begin() + static_cast<std::ptrdiff_t>(b) * T);
    inputs.positions.push_back(static_cast<int32_t>(lengths_[b] + static_cast<int64_t>(done[b])));
    inputs.counts.push_back(static_cast<int32_t>(count));
  }
  return inputs;
}

void Decoder::feed(std::span<const std::vector<int32_t>> tokens, const std::atomic<bool>* cancel) {
  check(tokens);
  std::vector<size_t> done(tokens.size(), 0);
  const auto V = static_cast<size_t>(model_.config.vocab_size);
  std::vector<std::vector<float>> logits(tokens.size());
  for (;;) {
    size_t most = 0;
    for (size_t b = 0; b < tokens.size(); ++b) most = std::max(most, tokens[b].size() - done[b]);
    if (most == 0) break;
    const int64_t T = std::min<int64_t>(static_cast<int64_t>(most), options_.chunk);
    Executor& pass = executor(T);
    pass_bytes_ = pass.arena_bytes();
    pass.set_inputs(inputs(tokens, done, T));
    pass.run_whole(cancel);
    bool any_finished = false;
    std::vector<bool> finished(tokens.size(), false);
    for (size_t b = 0; b < tokens.size(); ++b) {
      const size_t count = std::min(tokens[b].size() - done[b], static_cast<size_t>(T));
      done[b] += count;
      finished[b] = count > 0 && done[b] == tokens[b].size();
      any_finished = any_finished || finished[b];
    }
    if (!any_finished) continue;
    std::vector<float> all = pass.download(pass.program().require("unembed.hook_out"));
    if (tokens.size() == 1) {
      logits[0] = std::move(all);
      break;
    }
    for (size_t b = 0; b < tokens.size(); ++b) {
      if (!finished[b]) continue;
      logits[b].assign(all.begin() + static_cast<std::ptrdiff_t>(b * V),
                       all.begin() + static_cast<std::ptrdiff_t>((b + 1) * V));
    }
  }
  for (size_t b = 0; b < tokens.size(); ++b) {
    lengths_[b] += static_cast<int64_t>(tokens[b].size());
    if (!logits[b].empty()) logits_[b] = std::move(logits[b]);
  }
}

void Decoder::truncate(int64_t b, int64_t length) {
  int64_t& now = lengths_[static_cast<size_t>(b)];
  now = std::clamp<int64_t>(length, 0, now);
  logits_[static_cast<size_t>(b)].clear();
}

std::shared_ptr<const Run> Decoder::record(std::span<const std::vector<int32_t>> tokens,
                                           const Capture& capture, bool fused) {
  check(tokens);
  size_t most = 0;
  for (const std::vector<int32_t>& sequence : tokens) most = std::max(most, sequence.size());
  if (most == 0) fail("there is no token to run; give at least one");
  if (static_cast<int64_t>(most) > options_.chunk) {
    fail("a recording takes one chunk of {} tokens, but {} were given", options_.chunk, most);
  }
  const std::vector<size_t> none(tokens.size(), 0);
  const auto pass =
      make_executor(decode_program(model_, options_, static_cast<int64_t>(most), fused), capture);
  const std::shared_ptr<const Run> recorded = pass->run(inputs(tokens, none, static_cast<int64_t>(most)));
  auto run = std::make_shared<Run>(*recorded);
  run->config = model_.config;
  const std::vector<float> all = pass->download(pass->program().require("unembed.hook_out"));
  const auto V = static_cast<std::ptrdiff_t>(model_.config.vocab_size);
  for (size_t b = 0; b < tokens.size(); ++b) {
    lengths_[b] += static_cast<int64_t>(tokens[b].size());
    const auto row = all.begin() + static_cast<std::ptrdiff_t>(b) * V;
    if (!tokens[b].empty()) logits_[b].assign(row, row + V);
  }
  return run;
}

}  // namespace headlight
