// See history.h.
#include "core/train/history.h"

namespace headlight {

void History::add(HistoryPoint point) {
  tail_.push_back(std::move(point));
  if (tail_.size() == chunk_size) {
    full_.push_back(std::make_shared<const std::vector<HistoryPoint>>(std::move(tail_)));
    tail_.clear();
  }
}

void History::clear() { *this = History(); }

}  // namespace headlight
