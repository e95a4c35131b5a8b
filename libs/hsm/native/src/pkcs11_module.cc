#include "pkcs11_module.h"

#include <dlfcn.h>

#include <atomic>

namespace nest_hsm {
namespace {

/// Of the module that was opened last: that of the agent, which has one.
std::atomic<CK_FUNCTION_LIST*> opened_functions{nullptr};

}  // namespace

const CK_FUNCTION_LIST* OpenModule(const std::string& path, std::string* failure) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* symbol = library == nullptr ? nullptr : dlsym(library, "C_GetFunctionList");
  if (symbol == nullptr) {
    const char* reason = dlerror();
    *failure = reason == nullptr ? path : reason;
    return nullptr;
  }
  CK_FUNCTION_LIST* functions = nullptr;
  const CK_RV result = reinterpret_cast<GetFunctionList>(symbol)(&functions);
  if (result == CKR_OK && functions != nullptr) {
    opened_functions = functions;
    return functions;
  }
  *failure = path + ": C_GetFunctionList failed";
  return nullptr;
}

void StayLoaded() {
  Dl_info self;
  if (dladdr(reinterpret_cast<void*>(&StayLoaded), &self) != 0) dlopen(self.dli_fname, RTLD_NOW | RTLD_NODELETE);
}

}  // namespace nest_hsm

extern "C" __attribute__((visibility("default"))) nest_hsm::CK_RV C_GetFunctionList(
    nest_hsm::CK_FUNCTION_LIST** functions) {
  if (functions == nullptr) return nest_hsm::CKR_ARGUMENTS_BAD;
  *functions = nest_hsm::opened_functions;
  return *functions == nullptr ? nest_hsm::CKR_GENERAL_ERROR : nest_hsm::CKR_OK;
}
