// Edits that change a buffer's values (zero, scale, replace), in contrast to those that change an op. Used by
// the executor behind the step that writes the buffer.
#pragma once

#include <vector>

#include "core/run/edit.h"
#include "core/tape/program.h"

namespace headlight {

/// True for zero, scale and replace.
[[nodiscard]] bool is_buffer_edit(const Edit& edit);

/// Throws Error unless `edit` fits `buffer`: it is computed, has the head that is named, and as many numbers
/// as given.
void check_edit(const Edit& edit, const Buffer& buffer);

/// Changes the values of `buffer`, or of the edit's head of it. The edit has been checked.
void edit_values(const Edit& edit, const Buffer& buffer, std::vector<float>& values);

}  // namespace headlight
