// What buffers are called on the stage, from their hook names and weight names.
#pragma once

#include <string>
#include <string_view>

namespace headlight::app {

/// True for gradients and their parts ("…_grad", "…_grad@ln1").
[[nodiscard]] bool is_gradient_name(std::string_view buffer_name);
/// The buffer that a gradient is of; other names as they are.
[[nodiscard]] std::string forward_name(std::string_view buffer_name);
/// What a buffer's values were copied from: the name without "@bf16" (another element type) and "@again"
/// (computed again for the backward pass).
[[nodiscard]] std::string_view copied_name(std::string_view buffer_name);
/// Key of the title of a buffer, or of the forward buffer of a gradient ("pass.buffer.pattern").
[[nodiscard]] std::string buffer_title_key(std::string_view buffer_name);

}  // namespace headlight::app
