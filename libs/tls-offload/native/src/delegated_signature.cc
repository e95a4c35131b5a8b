#include "delegated_signature.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/proverr.h>
#include <openssl/rsa.h>

#include <cstdlib>
#include <cstring>

#include "delegated_key.h"
#include "dispatch.h"
#include "signature_request.h"

namespace nest_hsm {
namespace {

/// The hashes TLS signs with, and the HSM provider's name of each scheme. Anything else (SHA-1, SHA-224) is refused.
struct HashSchemes {
  const char* hash;
  const char* ecdsa;
  const char* rsa_pkcs1;
  const char* rsa_pss;
};
constexpr HashSchemes kHashSchemes[] = {
    {"SHA2-256", "ecdsa-sha256", "rsa-pkcs1-sha256", "rsa-pss-sha256"},
    {"SHA2-384", "ecdsa-sha384", "rsa-pkcs1-sha384", "rsa-pss-sha384"},
    {"SHA2-512", "ecdsa-sha512", "rsa-pkcs1-sha512", "rsa-pss-sha512"},
};

/// Bounds what a server's handshake may make us hand over (Ed25519 in TLS 1.2).
constexpr size_t kMaximumMessage = 256 * 1024;

struct SignatureContext {
  OSSL_LIB_CTX* library = nullptr;
  DelegatedKeyPtr key;
  DigestPtr hash;
  const HashSchemes* schemes = nullptr;
  DigestContextPtr hashing;
  int padding = RSA_PKCS1_PADDING;
  int salt_length = RSA_PSS_SALTLEN_DIGEST;
  /// Here and not on the stack, since a fibre's stack is small.
  SignatureRequest request;
};

SignatureContext* From(void* context) { return static_cast<SignatureContext*>(context); }

void* New(void* provider_context, const char*) {
  auto* context = new SignatureContext;
  context->library = static_cast<OSSL_LIB_CTX*>(provider_context);
  return context;
}

void Free(void* context) { delete From(context); }

void* Duplicate(void* context) {
  const SignatureContext* original = From(context);
  auto copy = std::make_unique<SignatureContext>();
  copy->library = original->library;
  copy->schemes = original->schemes;
  copy->padding = original->padding;
  copy->salt_length = original->salt_length;
  if (original->key != nullptr) {
    original->key->Retain();
    copy->key.reset(original->key.get());
  }
  if (original->hash != nullptr) {
    if (EVP_MD_up_ref(original->hash.get()) != 1) return nullptr;
    copy->hash.reset(original->hash.get());
  }
  if (original->hashing != nullptr) {
    copy->hashing.reset(EVP_MD_CTX_dup(original->hashing.get()));
    if (copy->hashing == nullptr) return nullptr;
  }
  return copy.release();
}

// OpenSSL gives padding and salt length as an integer or as text, depending on who asks.
bool ReadPadding(const OSSL_PARAM* parameter, int* padding) {
  if (parameter->data_type != OSSL_PARAM_UTF8_STRING) return OSSL_PARAM_get_int(parameter, padding) == 1;
  const auto* text = static_cast<const char*>(parameter->data);
  if (std::strcmp(text, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0) {
    *padding = RSA_PKCS1_PSS_PADDING;
  } else if (std::strcmp(text, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) == 0) {
    *padding = RSA_PKCS1_PADDING;
  } else {
    return false;
  }
  return true;
}

bool ReadSaltLength(const OSSL_PARAM* parameter, int* salt_length) {
  if (parameter->data_type != OSSL_PARAM_UTF8_STRING) return OSSL_PARAM_get_int(parameter, salt_length) == 1;
  const auto* text = static_cast<const char*>(parameter->data);
  *salt_length = std::strcmp(text, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST) == 0 ? RSA_PSS_SALTLEN_DIGEST : std::atoi(text);
  return true;
}

int SetParameters(void* data, const OSSL_PARAM parameters[]) {
  SignatureContext* context = From(data);
  if (parameters == nullptr) return 1;
  if (const OSSL_PARAM* padding = OSSL_PARAM_locate_const(parameters, OSSL_SIGNATURE_PARAM_PAD_MODE)) {
    if (!ReadPadding(padding, &context->padding)) return 0;
    if (context->padding != RSA_PKCS1_PADDING && context->padding != RSA_PKCS1_PSS_PADDING) return 0;
  }
  if (const OSSL_PARAM* salt = OSSL_PARAM_locate_const(parameters, OSSL_SIGNATURE_PARAM_PSS_SALTLEN)) {
    if (!ReadSaltLength(salt, &context->salt_length)) return 0;
  }
  return 1;
}

const OSSL_PARAM* SettableParameters(void*, void*) {
  static const OSSL_PARAM types[] = {
      OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, nullptr, 0),
      OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, nullptr, 0),
      OSSL_PARAM_END,
  };
  return types;
}

bool TakeKey(SignatureContext* context, void* key) {
  if (key != nullptr) {
    auto* delegated = static_cast<DelegatedKey*>(key);
    delegated->Retain();
    context->key.reset(delegated);
  }
  return context->key != nullptr && context->key->has_private_half() && context->key->public_key() != nullptr;
}

int HashedInit(void* data, const char* hash_name, void* key, const OSSL_PARAM parameters[]) {
  SignatureContext* context = From(data);
  if (!TakeKey(context, key)) return 0;
  context->hash.reset(EVP_MD_fetch(context->library, hash_name != nullptr ? hash_name : "SHA2-256", "provider=default"));
  context->schemes = nullptr;
  for (const HashSchemes& schemes : kHashSchemes) {
    if (context->hash != nullptr && EVP_MD_is_a(context->hash.get(), schemes.hash) == 1) context->schemes = &schemes;
  }
  if (context->schemes == nullptr) {
    ERR_raise(ERR_LIB_PROV, PROV_R_DIGEST_NOT_ALLOWED);
    return 0;
  }
  if (context->hashing == nullptr) context->hashing.reset(EVP_MD_CTX_new());
  return context->hashing != nullptr && EVP_DigestInit_ex2(context->hashing.get(), context->hash.get(), nullptr) == 1 &&
         SetParameters(context, parameters) == 1;
}

int HashedUpdate(void* context, const unsigned char* data, size_t size) {
  return EVP_DigestUpdate(From(context)->hashing.get(), data, size);
}

/// @returns null when the padding or the salt is not one that TLS uses (a PSS salt is as long as the digest, RFC 8446 §4.2.3)
const char* SchemeOf(const SignatureContext* context) {
  if (context->key->family() == KeyFamily::kEc) return context->schemes->ecdsa;
  if (context->padding == RSA_PKCS1_PADDING) return context->schemes->rsa_pkcs1;
  const int digest_bytes = EVP_MD_get_size(context->hash.get());
  const bool digest_salt = context->salt_length == RSA_PSS_SALTLEN_DIGEST || context->salt_length == digest_bytes;
  return digest_salt ? context->schemes->rsa_pss : nullptr;
}

/// Awaits the signature over the request's data and writes it out.
int Sign(SignatureContext* context, unsigned char* signature, size_t* size, size_t capacity) {
  SignatureRequest& request = context->request;
  request.key_index = context->key->index();
  if (!AwaitSignature(request) || request.signature.empty() || request.signature.size() > capacity) {
    ERR_raise(ERR_LIB_PROV, PROV_R_FAILED_TO_SIGN);
    return 0;
  }
  std::memcpy(signature, request.signature.data(), request.signature.size());
  *size = request.signature.size();
  return 1;
}

int MaximumSize(const SignatureContext* context, size_t* size) {
  const int bytes = EVP_PKEY_get_size(context->key->public_key());
  if (bytes <= 0) return 0;
  *size = static_cast<size_t>(bytes);
  return 1;
}

int HashedFinal(void* data, unsigned char* signature, size_t* size, size_t capacity) {
  SignatureContext* context = From(data);
  if (signature == nullptr) return MaximumSize(context, size);
  SignatureRequest& request = context->request;
  request.scheme = SchemeOf(context);
  if (request.scheme == nullptr) {
    ERR_raise(ERR_LIB_PROV, PROV_R_INVALID_SALT_LENGTH);
    return 0;
  }
  request.input = SignatureRequest::Input::kDigest;
  unsigned int digest_bytes = 0;
  request.data.resize(EVP_MAX_MD_SIZE);
  if (EVP_DigestFinal_ex(context->hashing.get(), request.data.data(), &digest_bytes) != 1) return 0;
  request.data.resize(digest_bytes);
  return Sign(context, signature, size, capacity);
}

int HashedSign(void* context, unsigned char* signature, size_t* size, size_t capacity, const unsigned char* data,
               size_t data_size) {
  if (signature == nullptr) return MaximumSize(From(context), size);
  return HashedUpdate(context, data, data_size) == 1 ? HashedFinal(context, signature, size, capacity) : 0;
}

int MessageInit(void* context, const char*, void* key, const OSSL_PARAM[]) { return TakeKey(From(context), key) ? 1 : 0; }

int MessageSign(void* data, unsigned char* signature, size_t* size, size_t capacity, const unsigned char* message,
                size_t message_size) {
  SignatureContext* context = From(data);
  if (signature == nullptr) return MaximumSize(context, size);
  SignatureRequest& request = context->request;
  if (message_size > kMaximumMessage) {
    ERR_raise(ERR_LIB_PROV, PROV_R_INVALID_INPUT_LENGTH);
    return 0;
  }
  request.scheme = "ed25519";
  request.input = SignatureRequest::Input::kMessage;
  request.data.assign(message, message + message_size);
  return Sign(context, signature, size, capacity);
}

/// RSA and ECDSA sign a digest.
const OSSL_DISPATCH kHashedFunctions[] = {
    NEST_HSM_DISPATCH(OSSL_FUNC_SIGNATURE_NEWCTX, signature_newctx, New),
    NEST_HSM_DISPATCH(OSSL_FUNC_SIGNATURE_FREECTX, signature_freectx, Free),
    NEST_HSM_DISPATCH(OSSL_FUNC_SIGNATURE_DUPCTX, signature_dupctx, Duplicate),
    NEST_HSM_DISPATCH(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, signature_digest_sign_init, HashedInit),
    NEST_HSM_DISPATCH(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, signature_digest_sign_update, HashedUpdate),
    NEST_HSM_DISPATCH(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL, signature_digest_sign_final, HashedFinal),
    NEST_HSM_DISPATCH(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, signature_digest_sign, HashedSign),
    NEST_HSM_DISPATCH(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, signature_set_ctx_params, SetParameters),
    NEST_HSM_DISPATCH(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, signature_settable_ctx_params, SettableParameters),
    NEST_HSM_DISPATCH_END,
};

/// Ed25519 signs the message itself (RFC 8032 §5.1), so it has only the one-shot form.
const OSSL_DISPATCH kMessageFunctions[] = {
    NEST_HSM_DISPATCH(OSSL_FUNC_SIGNATURE_NEWCTX, signature_newctx, New),
    NEST_HSM_DISPATCH(OSSL_FUNC_SIGNATURE_FREECTX, signature_freectx, Free),
    NEST_HSM_DISPATCH(OSSL_FUNC_SIGNATURE_DUPCTX, signature_dupctx, Duplicate),
    NEST_HSM_DISPATCH(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, signature_digest_sign_init, MessageInit),
    NEST_HSM_DISPATCH(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, signature_digest_sign, MessageSign),
    NEST_HSM_DISPATCH_END,
};

}  // namespace

const OSSL_ALGORITHM* SignatureAlgorithms() {
  static const OSSL_ALGORITHM algorithms[] = {
      {"RSA:rsaEncryption", "provider=delegated", kHashedFunctions, nullptr},
      {"ECDSA", "provider=delegated", kHashedFunctions, nullptr},
      {"ED25519", "provider=delegated", kMessageFunctions, nullptr},
      {nullptr, nullptr, nullptr, nullptr},
  };
  return algorithms;
}

}  // namespace nest_hsm
