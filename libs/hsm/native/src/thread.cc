#include "thread.h"

#include <pthread.h>

namespace nest_hsm {

bool StartThread(void* (*main)(void*), void* argument) {
  pthread_attr_t detached;
  pthread_attr_init(&detached);
  pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
  pthread_t thread;
  const int failure = pthread_create(&thread, &detached, main, argument);
  pthread_attr_destroy(&detached);
  return failure == 0;
}

void NameThread(const char* name) {
#ifdef __APPLE__
  pthread_setname_np(name);
#else
  pthread_setname_np(pthread_self(), name);
#endif
}

}  // namespace nest_hsm
