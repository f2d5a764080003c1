// Priority of threads. The engine's thread steps back behind the window's, as the kernels' workers do.
#pragma once

namespace headlight {

/// Lowers the calling thread's priority (nice 10), so that a window on the same cores stays smooth. Does
/// nothing where the system does not allow it.
void lower_thread_priority();

}  // namespace headlight
