// The Residual view.
#pragma once

#include "app/views/view.h"

namespace headlight::app {

class ResidualView final : public View {
 public:
  [[nodiscard]] ViewId id() const override { return ViewId::residual; }
  void draw(const ViewContext& context, CommandQueue& commands) override;
};

}  // namespace headlight::app
