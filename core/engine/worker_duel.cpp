// The KV-cache duel: one continuation of the prompt, computed with a cache of keys and values and without,
// token by token. Both ways have their own predictor and draw from the same random numbers; they must agree.
#include <algorithm>
#include <chrono>

#include "core/base/error.h"
#include "core/engine/worker.h"

namespace headlight {

void Engine::Worker::on(const Duel& request) {
  validate(request.sampler);
  if (prompt_tokens_.empty()) fail("the prompt is empty; type at least one token");
  if (const std::string why = why_no_cache(model_); !why.empty()) fail("there is nothing to duel: {}", why);
  const int64_t room = model_.config.n_positions - static_cast<int64_t>(prompt_tokens_.size());
  if (room < 1) {
    fail("the prompt fills all {} positions, where a cache is of no use; shorten it for the duel",
         model_.config.n_positions);
  }
  duel_ = {
      true, static_cast<int64_t>(prompt_tokens_.size()), std::clamp<int64_t>(request.count, 1, room), {}};
  duel_sampler_ = request.sampler;
  duel_text_ = prompt_tokens_;
  duel_cached_ = {std::make_unique<Predictor>(model_, true), Random(request.sampler.seed)};
  duel_plain_ = {std::make_unique<Predictor>(model_, false), Random(request.sampler.seed)};
}

void Engine::Worker::on(const CloseDuel&) {
  duel_ = {};
  duel_text_.clear();
  duel_cached_ = {};
  duel_plain_ = {};
}

void Engine::Worker::duel_one() {
  try {
    const auto turn = [&](Duelist& duelist, DuelToken::Way& way) {
      const auto start = Clock::now();
      const Draw drawn = duelist.predictor->draw(duel_text_, duel_sampler_, duelist.random);
      way.seconds = std::chrono::duration<double>(Clock::now() - start).count();
      const Predictor::Footprint& footprint = duelist.predictor->footprint();
      way.computed = footprint.computed;
      way.kept = footprint.kept;
      way.work = footprint.work;
      return drawn.token;
    };
    DuelToken token;
    const int32_t plain = turn(duel_plain_, token.plain);
    token.token = turn(duel_cached_, token.cached);
    token.same = plain == token.token;
    duel_.tokens.push_back(token);
    duel_text_.push_back(token.token);
    duel_.running = token.same && static_cast<int64_t>(duel_.tokens.size()) < duel_.asked;
    if (!token.same) {
      notify(
          Notice::Level::error,
          fmt::format("with and without the cache token {} differs, which rounding alone can do between two "
                      "equally likely ones; the duel ends here",
                      duel_.tokens.size()));
    }
  } catch (const std::exception& error) {
    duel_.running = false;
    notify(Notice::Level::error, error.what());
  }
}

}  // namespace headlight
