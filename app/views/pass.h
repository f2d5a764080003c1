// The Pass view.
#pragma once

#include "app/views/view.h"

namespace headlight::app {

class PassView final : public View {
 public:
  [[nodiscard]] ViewId id() const override { return ViewId::pass; }
  void draw(const ViewContext& context, CommandQueue& commands) override;
};

}  // namespace headlight::app
