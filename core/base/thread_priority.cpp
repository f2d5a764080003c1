// See thread_priority.h.
#include "core/base/thread_priority.h"

#include <sys/resource.h>
#include <unistd.h>

namespace headlight {

void lower_thread_priority() {
  // On Linux a "process" of setpriority is a thread. Failing is no harm: the window is then less smooth.
  (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 10);
}

}  // namespace headlight
