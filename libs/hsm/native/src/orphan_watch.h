// What ends the agent when the application that spawned it is gone and its own event loop cannot: a PKCS#11 function without an
// asynchronous form blocks that for as long as the token is frozen.
#pragma once

#include <sys/types.h>

namespace nest_hsm {

/// From now on a thread, of which nothing waits for JavaScript or the token, kills this process some seconds after its parent is
/// another than `application`. Those seconds are for the event loop, which is told by its stream and ends in good order: SoftHSM loses
/// a token when it is killed while it logs in.
/// @returns false when the system has no thread left
bool WatchApplication(pid_t application);

}  // namespace nest_hsm
