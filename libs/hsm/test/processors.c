/* Preloaded: has the C++ library find as many processors as NEST_HSM_PROCESSORS says, and leaves a note that it asked. */
#include <stdlib.h>

int get_nprocs(void) {
  setenv("NEST_HSM_PROCESSORS_ASKED", "yes", 1);
  const char *processors = getenv("NEST_HSM_PROCESSORS");
  return processors == NULL ? 1 : atoi(processors);
}
