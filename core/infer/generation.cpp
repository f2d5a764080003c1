// See generation.h.
#include "core/infer/generation.h"

#include <algorithm>
#include <chrono>

#include "core/base/error.h"

namespace headlight {

namespace {

using Clock = std::chrono::steady_clock;

/// Greedy tokens that a device computes before their turn: enough to hide what lies between two of them on
/// the host.
constexpr int64_t kAhead = 3;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// What a sequence shows the model: prompt and new tokens, the last n_positions of them.
std::vector<int32_t> window_of(const GeneratedSequence& sequence, int64_t n_positions) {
  std::vector<int32_t> all = sequence.prompt;
  all.insert(all.end(), sequence.tokens.begin(), sequence.tokens.end());
  const std::span<const int32_t> window = last_window(all, n_positions);
  return {window.begin(), window.end()};
}

void check(const Model& model, const std::vector<std::vector<int32_t>>& prompts,
           const GenerationOptions& options) {
  validate(options.sampler);
  if (prompts.empty()) fail("there is no prompt; give at least one");
  if (options.max_new < 0) fail("max_new = {} cannot be used; give a whole number from 0", options.max_new);
  if (!(options.time_limit >= 0)) {
    fail("a time limit of {} s cannot be used; give seconds above 0, or 0 for none", options.time_limit);
  }
  for (size_t b = 0; b < prompts.size(); ++b) {
    if (prompts[b].empty()) fail("prompt {} is empty; give it at least one token", b + 1);
    const auto length = static_cast<int64_t>(prompts[b].size());
    if (options.when_full == WhenFull::stop && length > model.config.n_positions) {
      fail("prompt {} has {} tokens, but n_positions is {}; shorten it, or let the context slide", b + 1,
           length, model.config.n_positions);
    }
  }
}

}  // namespace

std::string_view finish_name(Finish finish) {
  switch (finish) {
    case Finish::running:
      return "running";
    case Finish::length:
      return "length";
    case Finish::stop:
      return "stop";
    case Finish::full:
      return "full";
    case Finish::time:
      return "time";
    case Finish::cancelled:
      break;
  }
  return "cancelled";
}

Generation::Generation(const Model& model, std::vector<std::vector<int32_t>> prompts,
                       const GenerationOptions& options)
    : model_(model), options_(options) {
  check(model, prompts, options);
  if (options_.cache) no_cache_ = why_no_cache(model);
  const bool cached = options_.cache && no_cache_.empty();
  if (!cached && options_.weights.format != WeightFormat::f32) {
    fail("{} weights need the cache of keys and values; leave it on, or choose fp32",
         weight_storage_text(options_.weights));
  }
  int64_t longest = 0;
  for (size_t b = 0; b < prompts.size(); ++b) {
    longest = std::max(longest, static_cast<int64_t>(prompts[b].size()));
    sequences_.emplace_back().prompt = std::move(prompts[b]);
    streams_.emplace_back(options_.stops);
    randoms_.emplace_back(options_.sampler.seed + b);
  }
  logits_.resize(sequences_.size());
  fed_.resize(sequences_.size());
  if (cached) {
    Decoder::Options decoder;
    decoder.batch = static_cast<int64_t>(sequences_.size());
    // The last new token is not fed any more.
    decoder.capacity =
        std::min(model.config.n_positions, longest + std::max<int64_t>(0, options_.max_new - 1));
    decoder.chunk = std::min(options_.chunk, longest);
    decoder.weights = options_.weights;
    decoder.memory_limit = options_.memory_limit;
    decoder.ahead = kAhead;
    decoder_ = std::make_unique<Decoder>(model, decoder);
  } else {
    for (size_t b = 0; b < sequences_.size(); ++b)
      predictors_.push_back(std::make_unique<Predictor>(model, false));
  }
  if (options_.max_new == 0) end_all(Finish::length);
}

size_t Generation::memory_bytes() const {
  size_t bytes = decoder_ ? decoder_->memory().total() : 0;
  for (const auto& predictor : predictors_) bytes += predictor->memory_bytes();
  return bytes;
}

bool Generation::running() const {
  return std::any_of(sequences_.begin(), sequences_.end(),
                     [](const GeneratedSequence& s) { return s.finish == Finish::running; });
}

void Generation::end(size_t b, Finish finish) {
  GeneratedSequence& sequence = sequences_[b];
  sequence.finish = finish;
  sequence.stopped_by = streams_[b].stopped_by();
}

void Generation::end_all(Finish finish) {
  for (size_t b = 0; b < sequences_.size(); ++b) {
    if (sequences_[b].finish != Finish::running) continue;
    sequences_[b].text += streams_[b].finish();
    end(b, finish);
  }
}

std::string Generation::bytes_of(int32_t token) const {
  if (!model_.tokenizer || token >= model_.tokenizer->vocab_size()) return fmt::format("#{}", token);
  return model_.tokenizer->decode(std::span(&token, 1));
}

// Logits behind every running sequence.
void Generation::compute(const std::atomic<bool>* cancel) {
  std::vector<std::vector<int32_t>> rest(sequences_.size());
  for (size_t b = 0; b < sequences_.size(); ++b) {
    if (sequences_[b].finish != Finish::running) continue;
    std::vector<int32_t> window = window_of(sequences_[b], model_.config.n_positions);
    if (!decoder_) {
      logits_[b] = predictors_[b]->logits(window, cancel);
      continue;
    }
    const auto same = std::mismatch(fed_[b].begin(), fed_[b].end(), window.begin(), window.end()).second;
    const auto kept = std::min(same - window.begin(), static_cast<std::ptrdiff_t>(window.size()) - 1);
    decoder_->truncate(static_cast<int64_t>(b), kept);
    rest[b].assign(window.begin() + kept, window.end());
    fed_[b] = std::move(window);
  }
  if (decoder_) decoder_->feed(rest, cancel);
}

void Generation::append(size_t b, Clock::time_point start,
                        const std::function<void(const GeneratedStep&)>& show) {
  GeneratedSequence& sequence = sequences_[b];
  std::vector<int32_t> text = sequence.prompt;
  text.insert(text.end(), sequence.tokens.begin(), sequence.tokens.end());
  GeneratedStep step;
  step.sequence = static_cast<int64_t>(b);
  step.draw = decoder_ ? decoder_->draw(static_cast<int64_t>(b), options_.sampler, randoms_[b], text)
                       : draw(logits_[b], options_.sampler, randoms_[b], text);
  step.seconds = seconds_since(start);
  const int32_t token = step.draw.token;
  sequence.tokens.push_back(token);
  sequence.draws.push_back(step.draw);
  sequence.seconds.push_back(step.seconds);
  const bool stop_token = std::find(options_.stop_tokens.begin(), options_.stop_tokens.end(), token) !=
                          options_.stop_tokens.end();
  if (!stop_token) step.text = streams_[b].push(bytes_of(token));
  Finish finish = Finish::running;
  if (stop_token || !streams_[b].stopped_by().empty()) {
    finish = Finish::stop;
  } else if (static_cast<int64_t>(sequence.tokens.size()) >= options_.max_new) {
    finish = Finish::length;
  } else if (options_.when_full == WhenFull::stop &&
             static_cast<int64_t>(text.size()) + 1 > model_.config.n_positions) {
    finish = Finish::full;
  }
  if (finish != Finish::running) step.text += streams_[b].finish();
  sequence.text += step.text;
  if (finish != Finish::running) end(b, finish);
  if (show) show(step);
}

bool Generation::step(const std::function<void(const GeneratedStep&)>& show,
                      const std::atomic<bool>* cancel) {
  if (!running()) return false;
  const Clock::time_point start = Clock::now();
  try {
    compute(cancel);
  } catch (const Cancelled&) {
    end_all(Finish::cancelled);
    return false;
  }
  int64_t drawn = 0;
  for (size_t b = 0; b < sequences_.size(); ++b) {
    if (sequences_[b].finish != Finish::running) continue;
    append(b, start, show);
    ++drawn;
  }
  const double whole = seconds_since(start);
  spent_ += whole;
  if (started_) {
    timing_.decode_seconds += whole;
    timing_.decoded_tokens += drawn;
  } else {
    started_ = true;
    timing_.prefill_seconds = whole;
    for (const GeneratedSequence& sequence : sequences_) {
      timing_.prompt_tokens +=
          std::min(static_cast<int64_t>(sequence.prompt.size()), model_.config.n_positions);
    }
  }
  if (options_.time_limit > 0 && spent_ >= options_.time_limit) end_all(Finish::time);
  return running();
}

}  // namespace headlight
