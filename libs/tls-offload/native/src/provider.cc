#include "provider.h"

#include <openssl/params.h>
#include <openssl/provider.h>

#include <mutex>

#include "delegated_key.h"
#include "delegated_signature.h"
#include "dispatch.h"

namespace nest_hsm {
namespace {

const OSSL_ALGORITHM* QueryOperation(void*, int operation, int* no_cache) {
  *no_cache = 0;
  if (operation == OSSL_OP_KEYMGMT) return KeyManagementAlgorithms();
  if (operation == OSSL_OP_SIGNATURE) return SignatureAlgorithms();
  return nullptr;
}

const OSSL_DISPATCH kProviderFunctions[] = {
    NEST_HSM_DISPATCH(OSSL_FUNC_PROVIDER_QUERY_OPERATION, provider_query_operation, QueryOperation),
    NEST_HSM_DISPATCH_END,
};

int Initialize(const OSSL_CORE_HANDLE* handle, const OSSL_DISPATCH* core, const OSSL_DISPATCH** functions, void** context) {
  for (; core->function_id != 0; ++core) {
    if (core->function_id != OSSL_FUNC_CORE_GET_LIBCTX) continue;
    // A provider linked to the same libcrypto as its core may use the core's library context directly.
    *context = OSSL_FUNC_core_get_libctx(core)(handle);
    *functions = kProviderFunctions;
    return 1;
  }
  return 0;
}

OSSL_LIB_CTX* NewLibraryContext() {
  OSSL_LIB_CTX* library = OSSL_LIB_CTX_new();
  if (library != nullptr && OSSL_PROVIDER_load(library, "default") != nullptr &&
      OSSL_PROVIDER_add_builtin(library, "delegated", Initialize) == 1 &&
      OSSL_PROVIDER_load(library, "delegated") != nullptr) {
    return library;
  }
  OSSL_LIB_CTX_free(library);
  return nullptr;
}

}  // namespace

OSSL_LIB_CTX* LibraryContext() {
  static std::once_flag once;
  static OSSL_LIB_CTX* library = nullptr;
  std::call_once(once, [] { library = NewLibraryContext(); });
  return library;
}

KeyPtr NewDelegatedKey(const EVP_PKEY* public_key, uint32_t key_index) {
  const char* name = EVP_PKEY_get0_type_name(public_key);
  KeyContextPtr context(name == nullptr ? nullptr : EVP_PKEY_CTX_new_from_name(LibraryContext(), name, "provider=delegated"));
  OSSL_PARAM* exported = nullptr;
  if (context == nullptr || EVP_PKEY_todata(public_key, EVP_PKEY_PUBLIC_KEY, &exported) != 1) return nullptr;
  const ParametersPtr parameters(exported);
  unsigned int index = key_index;
  const OSSL_PARAM index_parameter[] = {OSSL_PARAM_construct_uint(kKeyIndexParameter, &index), OSSL_PARAM_construct_end()};
  const ParametersPtr merged(OSSL_PARAM_merge(parameters.get(), index_parameter));
  EVP_PKEY* key = nullptr;
  if (merged == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_KEYPAIR, merged.get()) != 1) {
    return nullptr;
  }
  return KeyPtr(key);
}

}  // namespace nest_hsm
