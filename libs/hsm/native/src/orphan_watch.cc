#include "orphan_watch.h"

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <thread>

#include "thread.h"

namespace nest_hsm {
namespace {

constexpr std::chrono::milliseconds kBetweenLooks(500);
constexpr std::chrono::seconds kGrace(5);

// Asked for, since not every system tells: Linux has a signal for it, but sends that when the thread that spawned us ends.
void* Watch(void* application) {
  NameThread("orphan-watch");
  while (getppid() == static_cast<pid_t>(reinterpret_cast<intptr_t>(application))) {
    std::this_thread::sleep_for(kBetweenLooks);
  }
  std::this_thread::sleep_for(kGrace);
  kill(getpid(), SIGKILL);
  return nullptr;
}

}  // namespace

bool WatchApplication(pid_t application) {
  return StartThread(Watch, reinterpret_cast<void*>(static_cast<intptr_t>(application)));
}

}  // namespace nest_hsm
