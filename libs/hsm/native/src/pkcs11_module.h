// The PKCS#11 module, whose functions both bindings call. This addon is itself a PKCS#11 module to the other binding: its
// C_GetFunctionList answers with the functions of the module that was opened. Some modules (p11-kit's client) answer each
// C_GetFunctionList with another instance of themselves, so it is asked once.
#pragma once

#include <string>

#include "cryptoki.h"

namespace nest_hsm {

/// @param failure  why there is none
/// @returns the functions of the module; they stay loaded as long as the process lives, since a call may hang in them
const CK_FUNCTION_LIST* OpenModule(const std::string& path, std::string* failure);

/// Keeps this addon loaded for ever too: threads that hang in the module return into it, after its environment is gone.
void StayLoaded();

}  // namespace nest_hsm
