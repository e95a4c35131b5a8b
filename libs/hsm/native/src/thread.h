// Threads that nobody waits for. Not std::thread, which ends a process that is built without exceptions when there is none left.
#pragma once

namespace nest_hsm {

/// @returns false when the system has none left
bool StartThread(void* (*main)(void*), void* argument);

/// This one, for whoever looks at the process. @param name  at most 15 characters
void NameThread(const char* name);

/// On Linux this thread, and those that it starts from here on, interrupt nobody by waking up (SCHED_BATCH, sched(7)): they have their
/// share of the processors, but begin when one is free or its thread waits or has had its slice. Elsewhere nothing changes.
void InterruptNobody();

}  // namespace nest_hsm
