// Appends the history's new points to the pyramids.
#include "app/views/history_series.h"

namespace headlight::app {

void HistorySeries::clear() { *this = {}; }

void HistorySeries::update(const History& history) {
  if (history.empty()) {
    if (train_loss.size() > 0) clear();
  } else if (history.size() < train_loss.size() ||
             (train_loss.size() > 0 &&
              (history[0].step != first_step || history[0].train_loss != first_loss_))) {
    clear();
  }
  const size_t from = train_loss.size();
  if (from == 0 && !history.empty()) {
    first_step = history[0].step;
    first_loss_ = history[0].train_loss;
  }
  std::vector<float> loss, norm, rate, speed;
  std::vector<std::vector<float>> blocks;
  for (size_t i = from; i < history.size(); ++i) {
    const HistoryPoint& p = history[i];
    loss.push_back(static_cast<float>(p.train_loss));
    norm.push_back(static_cast<float>(p.gradient_norm));
    rate.push_back(static_cast<float>(p.learning_rate));
    speed.push_back(static_cast<float>(p.tokens_per_second));
    blocks.resize(std::max(blocks.size(), p.block_gradient_norms.size()));
    for (size_t b = 0; b < p.block_gradient_norms.size(); ++b) blocks[b].push_back(p.block_gradient_norms[b]);
  }
  train_loss.append(loss);
  gradient_norm.append(norm);
  learning_rate.append(rate);
  tokens_per_second.append(speed);
  if (block_gradient_norms.size() < blocks.size()) block_gradient_norms.resize(blocks.size());
  for (size_t b = 0; b < blocks.size(); ++b) block_gradient_norms[b].append(blocks[b]);
  if (validation_loss.size() > history.validation().size()) validation_loss.clear();
  for (size_t i = validation_loss.size(); i < history.validation().size(); ++i)
    validation_loss.emplace_back(history.validation()[i].step, history.validation()[i].loss);
}

}  // namespace headlight::app
