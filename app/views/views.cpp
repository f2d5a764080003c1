// The list of views.
#include "app/views/attention.h"
#include "app/views/generate.h"
#include "app/views/merges.h"
#include "app/views/pass.h"
#include "app/views/residual.h"
#include "app/views/training.h"
#include "app/views/view.h"

namespace headlight::app {

std::vector<std::unique_ptr<View>> make_views() {
  std::vector<std::unique_ptr<View>> views;
  views.push_back(std::make_unique<PassView>());
  views.push_back(std::make_unique<AttentionView>());
  views.push_back(std::make_unique<ResidualView>());
  views.push_back(std::make_unique<TrainingView>());
  views.push_back(std::make_unique<GenerateView>());
  views.push_back(std::make_unique<MergesView>());
  return views;
}

}  // namespace headlight::app
