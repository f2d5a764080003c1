// See engine.h. The thread itself is in worker.cpp.
#include "core/engine/engine.h"

#include "core/engine/worker.h"

namespace headlight {

Engine::Engine(Options options) : worker_(std::make_unique<Worker>(std::move(options))) {}
Engine::~Engine() = default;
void Engine::post(Request request) { worker_->post(std::move(request)); }
std::shared_ptr<const Snapshot> Engine::snapshot() const { return worker_->snapshot(); }
void Engine::drain() { worker_->drain(); }

}  // namespace headlight
