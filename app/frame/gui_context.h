// An ImGui context with Headlight's settings. The window, the offscreen picture and the tests make one each.
#pragma once

#include <imgui.h>

namespace headlight::app {

class GuiContext {
 public:
  GuiContext();
  ~GuiContext();
  GuiContext(const GuiContext&) = delete;
  GuiContext& operator=(const GuiContext&) = delete;

 private:
  ImGuiContext* context_;
};

}  // namespace headlight::app
