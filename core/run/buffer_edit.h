// Edits that change a buffer's values (zero, scale, replace), in contrast to those that change an op. Used by
// the executor behind the step that writes the buffer.
#pragma once

#include <string_view>
#include <vector>

#include "core/run/edit.h"
#include "core/tape/program.h"

namespace headlight {

/// True for zero, scale and replace.
[[nodiscard]] bool is_buffer_edit(const Edit& edit);

/// What an edit with this target changes: the buffers that match, and where a program computes one of them
/// again, that one too, so that the backward pass reads what the forward pass read. Empty where none matches.
[[nodiscard]] std::vector<BufferId> edited_buffers(const Program& program, std::string_view target);

/// Throws Error unless `edit` fits `buffer`: it is computed, has the head that is named, and as many numbers
/// as given.
void check_edit(const Edit& edit, const Buffer& buffer);

/// Changes the values of `buffer`, or of the edit's head of it. The edit has been checked.
void edit_values(const Edit& edit, const Buffer& buffer, std::vector<float>& values);

}  // namespace headlight
