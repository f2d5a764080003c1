// See generate_duel_model.h.
#include "app/views/generate_duel_model.h"

namespace headlight::app {
namespace {

void add(DuelSide& side, int64_t place, const DuelToken::Way& way) {
  side.last_ms = way.seconds * 1e3;
  side.total_ms += side.last_ms;
  side.computed = way.computed;
  side.all_computed += way.computed;
  side.kept_mb = static_cast<double>(way.kept) / 1e6;
  side.work_mb = static_cast<double>(way.work) / 1e6;
  side.milliseconds.emplace_back(place, side.last_ms);
  side.megabytes.emplace_back(place, side.kept_mb + side.work_mb);
}

}  // namespace

DuelPicture prepare_duel(const DuelState& duel) {
  DuelPicture picture;
  picture.prompt = duel.prompt;
  picture.asked = duel.asked;
  for (const DuelToken& token : duel.tokens) {
    ++picture.done;
    add(picture.cached, picture.done, token.cached);
    add(picture.plain, picture.done, token.plain);
    if (!token.same && picture.differs_at == 0) picture.differs_at = picture.done;
  }
  if (picture.cached.total_ms > 0) picture.times_faster = picture.plain.total_ms / picture.cached.total_ms;
  return picture;
}

}  // namespace headlight::app
