// The PKCS#11 module that the other binding has loaded and initialised.
#pragma once

#include <string>

#include "cryptoki.h"

namespace nest_hsm {

/// @param failure  why there is none
/// @returns the functions of the module; they stay loaded as long as the process lives, since a call may hang in them
const CK_FUNCTION_LIST* FunctionsOf(const std::string& path, std::string* failure);

/// Keeps this addon loaded for ever too: threads that hang in the module return into it, after its environment is gone.
void StayLoaded();

}  // namespace nest_hsm
