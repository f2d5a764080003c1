// How the window reaches the engine: requests out, snapshots in. Tests put a recording in its place.
#pragma once

#include <memory>

#include "core/engine/engine.h"

namespace headlight::app {

class EngineLink {
 public:
  virtual ~EngineLink() = default;
  virtual void post(Request request) = 0;
  /// The newest snapshot; never null. Returns at once.
  [[nodiscard]] virtual std::shared_ptr<const Snapshot> snapshot() const = 0;
};

/// The real one.
class LiveEngine final : public EngineLink {
 public:
  explicit LiveEngine(Engine::Options options) : engine_(std::move(options)) {}
  void post(Request request) override { engine_.post(std::move(request)); }
  [[nodiscard]] std::shared_ptr<const Snapshot> snapshot() const override { return engine_.snapshot(); }
  /// Waits for the engine to finish what was posted; for pictures, never for frames.
  void drain() { engine_.drain(); }

 private:
  Engine engine_;
};

}  // namespace headlight::app
