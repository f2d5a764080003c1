// See decoder.h.
#include "core/infer/decoder.h"

#include <algorithm>
#include <utility>

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
      logits_(static_cast<size_t>(options_.batch)),
      lie_in_(static_cast<size_t>(options_.batch), nullptr),
      best_rows_(model.parameters->backend(),
                 static_cast<size_t>(options_.batch) * sizeof(kernels::BestOfRow), "the choice of a token"),
      best_(static_cast<size_t>(options_.batch)) {
  if (model.parameters->backend().inference() == nullptr) {
    fail("{} keeps no cache of keys and values; use --device cpu or --no-cache",
         model.parameters->backend().description());
  }
}

Decoder::~Decoder() {
  try {
    drop_ahead();  // what is on its way arrives in memory of ours
  } catch (const std::exception&) {
    // The device has failed; nothing arrives any more, and whoever uses it next hears of it.
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
      if (item.second == nullptr) return false;
      const bool in_use = std::find(lie_in_.begin(), lie_in_.end(), item.second.get()) != lie_in_.end();
      return item.first != T && item.first != 1 && item.first != options_.chunk && !in_use;
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
  if (!ahead_.empty()) {
    if (tokens[0].empty()) return;
    const Ahead& next = ahead_.front();
    (void)backend().reached(next.mark, true);
    if (next.fed && tokens[0].size() == 1 && tokens[0][0] == next.best.columns[0]) {
      if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) throw Cancelled();
      last_token_ = tokens[0][0];
      lengths_[0] += 1;
      ahead_.pop_front();
      logits_[0].clear();
      best_temperature_ = 0;
      lie_in_[0] = executors_.at(1).get();
      pass_bytes_ = lie_in_[0]->arena_bytes();
      return;
    }
    drop_ahead();
  }
  run(tokens, cancel);
}

void Decoder::run(std::span<const std::vector<int32_t>> tokens, const std::atomic<bool>* cancel) {
  // Logits of sequences that rest make room on the device.
  for (size_t b = 0; b < tokens.size(); ++b) {
    if (tokens[b].empty() && lie_in_[b] != nullptr && logits_[b].empty()) fetch(*lie_in_[b]);
    if (!tokens[b].empty()) logits_[b].clear();
  }
  std::fill(lie_in_.begin(), lie_in_.end(), nullptr);
  best_temperature_ = 0;
  std::vector<size_t> done(tokens.size(), 0);
  const auto V = static_cast<size_t>(model_.config.vocab_size);
  std::vector<std::vector<float>> early(tokens.size());  // logits that later passes would write over
  std::vector<const Executor*> last(tokens.size(), nullptr);
  for (;;) {
    size_t most = 0;
    for (size_t b = 0; b < tokens.size(); ++b) most = std::max(most, tokens[b].size() - done[b]);
    if (most == 0) break;
    const int64_t T = std::min<int64_t>(static_cast<int64_t>(most), options_.chunk);
    Executor& pass = executor(T);
    pass_bytes_ = pass.arena_bytes();
    pass.set_inputs(inputs(tokens, done, T));
    pass.run_whole(cancel);
    bool any_finished = false, all_finished = true;
    std::vector<bool> finished(tokens.size(), false);
    for (size_t b = 0; b < tokens.size(); ++b) {
      const size_t count = std::min(tokens[b].size() - done[b], static_cast<size_t>(T));
      done[b] += count;
      finished[b] = count > 0 && done[b] == tokens[b].size();
      any_finished = any_finished || finished[b];
      all_finished = all_finished && done[b] == tokens[b].size();
    }
    if (!any_finished) continue;
    std::vector<float> all;
    if (!all_finished) all = pass.download(pass.program().require("unembed.hook_out"));
    for (size_t b = 0; b < tokens.size(); ++b) {
      if (!finished[b]) continue;
      if (all_finished) {
        last[b] = &pass;
      } else {
        early[b].assign(all.begin() + static_cast<std::ptrdiff_t>(b * V),
                        all.begin() + static_cast<std::ptrdiff_t>((b + 1) * V));
      }
    }
  }
  for (size_t b = 0; b < tokens.size(); ++b) {
    if (tokens[b].empty()) continue;
    lengths_[b] += static_cast<int64_t>(tokens[b].size());
    logits_[b] = std::move(early[b]);
    lie_in_[b] = last[b];
  }
  if (!tokens[0].empty()) last_token_ = tokens[0].back();
}

void Decoder::fetch(const Executor& pass) {
  std::vector<float> all = pass.download(pass.program().require("unembed.hook_out"));
  const auto V = static_cast<std::ptrdiff_t>(model_.config.vocab_size);
  for (size_t b = 0; b < logits_.size(); ++b) {
    if (lie_in_[b] != &pass) continue;
    if (logits_.size() == 1) {
      logits_[b] = std::move(all);
      return;
    }
    const auto row = all.begin() + static_cast<std::ptrdiff_t>(b) * V;
    logits_[b].assign(row, row + V);
  }
}

std::span<const float> Decoder::logits(int64_t b) {
  come_back();
  const auto at = static_cast<size_t>(b);
  if (logits_[at].empty() && lie_in_[at] != nullptr) fetch(*lie_in_[at]);
  return logits_[at];
}

int64_t Decoder::ranked() const { return std::min(kernels::most_best, model_.config.vocab_size); }

void Decoder::choose(const Executor& pass, kernels::BestOfRow* host, double temperature, int64_t k,
                     const kernels::Feedback& feedback) {
  auto* rows = static_cast<kernels::BestOfRow*>(best_rows_.get());
  const auto* all = static_cast<const float*>(pass.memory(pass.program().require("unembed.hook_out")));
  backend().inference()->best_of_rows(backend().context(), rows, all, temperature, feedback, options_.batch,
                                      model_.config.vocab_size, k);
  backend().download_later(host, rows, best_.size() * sizeof(kernels::BestOfRow));
}

BestLogits Decoder::view(const kernels::BestOfRow& row, double temperature, int64_t k) const {
  const auto count = static_cast<size_t>(k);
  return {.logits = std::span(row.values).first(count),
          .tokens = std::span(row.columns).first(count),
          .vocabulary = model_.config.vocab_size,
          .temperature = temperature,
          .sum = row.sum,
          .weighted = row.weighted};
}

BestLogits Decoder::best(int64_t b, double temperature) {
  come_back();
  const auto at = static_cast<size_t>(b);
  if (lie_in_[at] == nullptr) return {};
  // All that lie on the device lie in one pass.
  if (best_temperature_ != temperature) {
    choose(*lie_in_[at], best_.data(), temperature, ranked(), {});
    (void)backend().reached(backend().mark(), true);
    best_temperature_ = temperature;
  }
  return view(best_[at], temperature, ranked());
}

Draw Decoder::draw(int64_t b, const SamplerConfig& config, Random& random, std::span<const int32_t> text) {
  validate(config);
  const bool from_best = config.repetition_penalty == 1.0;
  // A backend that has kernels for few tokens is one that works on its own.
  if (options_.ahead > 0 && options_.batch == 1 && config.greedy && from_best &&
      backend().inference()->decoding != nullptr) {
    go_ahead(config.temperature);
    if (!ahead_.empty()) {
      const Ahead& next = ahead_.front();
      (void)backend().reached(next.mark, true);
      if (const auto drawn = headlight::draw(view(next.best, config.temperature, 1), config, random))
        return *drawn;
    }
  }
  if (from_best) {
    if (const auto drawn = headlight::draw(best(b, config.temperature), config, random)) return *drawn;
  }
  return headlight::draw(logits(b), config, random, text);
}

// Keeps the device busy: the newest token that it has chosen is fed and the next one chosen until enough of
// them are on their way or the cache is full.
void Decoder::go_ahead(double temperature) {
  if (temperature != ahead_temperature_) come_back();
  if (ahead_.empty() && lie_in_[0] == nullptr) return;
  Executor& pass = executor(1);
  const auto memory = [&](std::string_view name) {
    return static_cast<int32_t*>(pass.memory(pass.program().require(name)));
  };
  const kernels::Feedback feedback{.tokens = memory("tokens"), .places = memory("positions")};
  if (ahead_.empty()) {
    // The token is written over, and its place comes one further.
    RunInputs start;
    start.tokens = {0};
    start.positions = {static_cast<int32_t>(lengths_[0]) - 1};
    start.counts = {1};
    pass.set_inputs(start);
    ahead_temperature_ = temperature;
  }
  while (static_cast<int64_t>(ahead_.size()) <= options_.ahead) {
    const Executor* from = lie_in_[0];
    if (!ahead_.empty()) {
      if (lengths_[0] + static_cast<int64_t>(ahead_.size()) > capacity()) return;
      pass.run_whole();
      ahead_.back().fed = true;
      from = &pass;
    }
    Ahead& next = ahead_.emplace_back();
    choose(*from, &next.best, temperature, 1, feedback);
    next.mark = backend().mark();
  }
}

void Decoder::drop_ahead() {
  if (ahead_.empty()) return;
  (void)backend().reached(ahead_.back().mark, true);
  ahead_.clear();
}

void Decoder::come_back() {
  const bool gone = !ahead_.empty() && (ahead_.front().fed || lie_in_[0] == nullptr);
  drop_ahead();
  if (!gone) return;
  const std::vector<std::vector<int32_t>> last = {{last_token_}};
  lengths_[0] -= 1;
  run(last, nullptr);
}

void Decoder::truncate(int64_t b, int64_t length) {
  int64_t& now = lengths_[static_cast<size_t>(b)];
  if (length >= now) return;
  drop_ahead();
  now = std::max<int64_t>(length, 0);
  logits_[static_cast<size_t>(b)].clear();
  lie_in_[static_cast<size_t>(b)] = nullptr;
}

std::shared_ptr<const Run> Decoder::record(std::span<const std::vector<int32_t>> tokens,
                                           const Capture& capture, bool fused) {
  check(tokens);
  drop_ahead();
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
    if (tokens[b].empty()) continue;
    logits_[b].assign(row, row + V);
    lie_in_[b] = nullptr;
  }
  return run;
}

}  // namespace headlight
