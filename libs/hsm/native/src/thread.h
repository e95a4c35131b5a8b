// Threads that nobody waits for. Not std::thread, which ends a process that is built without exceptions when there is none left.
#pragma once

namespace nest_hsm {

/// @returns false when the system has none left
bool StartThread(void* (*main)(void*), void* argument);

/// This one, for whoever looks at the process. @param name  at most 15 characters
void NameThread(const char* name);

}  // namespace nest_hsm
