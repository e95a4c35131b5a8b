#include "pkcs11_module.h"

#include <dlfcn.h>

namespace nest_hsm {

const CK_FUNCTION_LIST* FunctionsOf(const std::string& path, std::string* failure) {
  // Loading a file twice yields the same library, hence the one that is initialised.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* symbol = library == nullptr ? nullptr : dlsym(library, "C_GetFunctionList");
  if (symbol == nullptr) {
    const char* reason = dlerror();
    *failure = reason == nullptr ? path : reason;
    return nullptr;
  }
  CK_FUNCTION_LIST* functions = nullptr;
  const CK_RV result = reinterpret_cast<GetFunctionList>(symbol)(&functions);
  if (result == CKR_OK && functions != nullptr) return functions;
  *failure = path + ": C_GetFunctionList failed";
  return nullptr;
}

void StayLoaded() {
  Dl_info self;
  if (dladdr(reinterpret_cast<void*>(&StayLoaded), &self) != 0) dlopen(self.dli_fname, RTLD_NOW | RTLD_NODELETE);
}

}  // namespace nest_hsm
