#include "thread.h"

#include <pthread.h>
#include <sched.h>

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

void InterruptNobody() {
#ifdef __linux__
  // Allowed to everybody. Where a sandbox forbids it, calls merely cost more.
  const sched_param priority{};
  static_cast<void>(pthread_setschedparam(pthread_self(), SCHED_BATCH, &priority));
#endif
}

}  // namespace nest_hsm
