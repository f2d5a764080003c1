// The facts of a step beside its matrices: losses by token, norms by parameter, attributes in numbers,
// exceptions. Called by prepare_pass() alone.
#pragma once

#include "app/views/pass_model.h"

namespace headlight::app {

/// Fills what PassScene tells beside matrices; its step, kind and matrices stand already.
void add_pass_facts(PassScene& scene, const Run& run);

}  // namespace headlight::app
