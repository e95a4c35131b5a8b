#include "delegated_key.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "dispatch.h"

namespace nest_hsm {
namespace {

const char* AlgorithmName(KeyFamily family) {
  switch (family) {
    case KeyFamily::kRsa:
      return "RSA";
    case KeyFamily::kEc:
      return "EC";
    case KeyFamily::kEd25519:
      return "ED25519";
  }
  return nullptr;
}

}  // namespace

bool DelegatedKey::Import(const OSSL_PARAM parameters[]) {
  KeyContextPtr context(EVP_PKEY_CTX_new_from_name(library_, AlgorithmName(family_), "provider=default"));
  EVP_PKEY* imported = nullptr;
  // The default provider reads only what makes a public key: private parameters, if any, are never held here.
  if (context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &imported, EVP_PKEY_PUBLIC_KEY, const_cast<OSSL_PARAM*>(parameters)) != 1) {
    return false;
  }
  public_key_.reset(imported);
  unsigned int index = 0;
  const OSSL_PARAM* parameter = OSSL_PARAM_locate_const(parameters, kKeyIndexParameter);
  if (parameter != nullptr && OSSL_PARAM_get_uint(parameter, &index) == 1) {
    index_ = index;
    has_private_half_ = true;
  }
  return true;
}

namespace {

template <KeyFamily family>
void* New(void* provider_context) {
  return new DelegatedKey(static_cast<OSSL_LIB_CTX*>(provider_context), family);
}

void Free(void* key) { DelegatedKey::Release(static_cast<DelegatedKey*>(key)); }

int Has(const void* data, int selection) {
  const auto* key = static_cast<const DelegatedKey*>(data);
  if (key == nullptr) return 0;
  if ((selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) != 0 && key->public_key() == nullptr) return 0;
  if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 && !key->has_private_half()) return 0;
  return 1;
}

int Match(const void* left, const void* right, int) {
  const auto* a = static_cast<const DelegatedKey*>(left);
  const auto* b = static_cast<const DelegatedKey*>(right);
  return a->public_key() != nullptr && b->public_key() != nullptr && EVP_PKEY_eq(a->public_key(), b->public_key()) == 1;
}

int Import(void* key, int, const OSSL_PARAM parameters[]) {
  return static_cast<DelegatedKey*>(key)->Import(parameters) ? 1 : 0;
}

int Export(void* data, int selection, OSSL_CALLBACK* callback, void* argument) {
  const auto* key = static_cast<const DelegatedKey*>(data);
  // There is no private half to give. An export that succeeded without it would make EVP sign with the default
  // provider, and fail there; refused, EVP asks this provider for the signature. The public half must be exportable,
  // for comparing the key with its certificate.
  if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 || key->public_key() == nullptr) return 0;
  OSSL_PARAM* exported = nullptr;
  if (EVP_PKEY_todata(key->public_key(), EVP_PKEY_PUBLIC_KEY, &exported) != 1) return 0;
  const ParametersPtr owned(exported);
  return callback(owned.get(), argument);
}

int Parameters(void* data, OSSL_PARAM parameters[]) {
  const auto* key = static_cast<const DelegatedKey*>(data);
  return key->public_key() == nullptr ? 0 : EVP_PKEY_get_params(key->public_key(), parameters);
}

#define NEST_HSM_RSA_TYPES OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, nullptr, 0), OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, nullptr, 0)
#define NEST_HSM_EC_TYPES                                          \
  OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, nullptr, 0), \
      OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, nullptr, 0)
#define NEST_HSM_ED25519_TYPES OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, nullptr, 0)
#define NEST_HSM_FACTS                                                                               \
  OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, nullptr), OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, nullptr), \
      OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, nullptr),                                             \
      OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, nullptr, 0),                            \
      OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, nullptr, 0),                          \
      OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, nullptr, 0)

/// The parameters of each family: what it exports, what it imports (with the index), what may be asked of a key.
template <KeyFamily family>
struct Types;

#define NEST_HSM_TYPES(FAMILY, TYPES)                                                                            \
  template <>                                                                                                    \
  struct Types<FAMILY> {                                                                                         \
    static const OSSL_PARAM* Exported() {                                                                        \
      static const OSSL_PARAM types[] = {TYPES, OSSL_PARAM_END};                                                 \
      return types;                                                                                              \
    }                                                                                                            \
    static const OSSL_PARAM* Imported() {                                                                        \
      static const OSSL_PARAM types[] = {TYPES, OSSL_PARAM_uint(kKeyIndexParameter, nullptr), OSSL_PARAM_END};   \
      return types;                                                                                              \
    }                                                                                                            \
    static const OSSL_PARAM* Gettable() {                                                                        \
      static const OSSL_PARAM types[] = {TYPES, NEST_HSM_FACTS, OSSL_PARAM_END};                                 \
      return types;                                                                                              \
    }                                                                                                            \
  };
NEST_HSM_TYPES(KeyFamily::kRsa, NEST_HSM_RSA_TYPES)
NEST_HSM_TYPES(KeyFamily::kEc, NEST_HSM_EC_TYPES)
NEST_HSM_TYPES(KeyFamily::kEd25519, NEST_HSM_ED25519_TYPES)

template <KeyFamily family>
const OSSL_PARAM* ImportTypes(int) {
  return Types<family>::Imported();
}

template <KeyFamily family>
const OSSL_PARAM* ExportTypes(int selection) {
  return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 ? nullptr : Types<family>::Exported();
}

template <KeyFamily family>
const OSSL_PARAM* GettableTypes(void*) {
  return Types<family>::Gettable();
}

/// EVP asks with which algorithm a key signs; for EC the name of the key is not the name of the signature.
template <KeyFamily family>
const char* OperationName(int operation) {
  return family == KeyFamily::kEc && operation == OSSL_OP_SIGNATURE ? "ECDSA" : AlgorithmName(family);
}

template <KeyFamily family>
const OSSL_DISPATCH* Functions() {
  static const OSSL_DISPATCH functions[] = {
      NEST_HSM_DISPATCH(OSSL_FUNC_KEYMGMT_NEW, keymgmt_new, New<family>),
      NEST_HSM_DISPATCH(OSSL_FUNC_KEYMGMT_FREE, keymgmt_free, Free),
      NEST_HSM_DISPATCH(OSSL_FUNC_KEYMGMT_HAS, keymgmt_has, Has),
      NEST_HSM_DISPATCH(OSSL_FUNC_KEYMGMT_MATCH, keymgmt_match, Match),
      NEST_HSM_DISPATCH(OSSL_FUNC_KEYMGMT_IMPORT, keymgmt_import, Import),
      NEST_HSM_DISPATCH(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, keymgmt_import_types, ImportTypes<family>),
      NEST_HSM_DISPATCH(OSSL_FUNC_KEYMGMT_EXPORT, keymgmt_export, Export),
      NEST_HSM_DISPATCH(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, keymgmt_export_types, ExportTypes<family>),
      NEST_HSM_DISPATCH(OSSL_FUNC_KEYMGMT_GET_PARAMS, keymgmt_get_params, Parameters),
      NEST_HSM_DISPATCH(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, keymgmt_gettable_params, GettableTypes<family>),
      NEST_HSM_DISPATCH(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, keymgmt_query_operation_name, OperationName<family>),
      NEST_HSM_DISPATCH_END,
  };
  return functions;
}

}  // namespace

const OSSL_ALGORITHM* KeyManagementAlgorithms() {
  static const OSSL_ALGORITHM algorithms[] = {
      {"RSA:rsaEncryption", "provider=delegated", Functions<KeyFamily::kRsa>(), nullptr},
      {"EC:id-ecPublicKey", "provider=delegated", Functions<KeyFamily::kEc>(), nullptr},
      {"ED25519", "provider=delegated", Functions<KeyFamily::kEd25519>(), nullptr},
      {nullptr, nullptr, nullptr, nullptr},
  };
  return algorithms;
}

}  // namespace nest_hsm
