// Keys of the provider `delegated`: a public half, and the number under which the application knows the private one.
#pragma once

#include <openssl/core.h>

#include <atomic>
#include <cstdint>

#include "openssl.h"

namespace nest_hsm {

enum class KeyFamily { kRsa, kEc, kEd25519 };

class DelegatedKey {
 public:
  DelegatedKey(OSSL_LIB_CTX* library, KeyFamily family) : library_(library), family_(family) {}

  void Retain() { ++references_; }
  static void Release(DelegatedKey* key) {
    if (key != nullptr && --key->references_ == 0) delete key;
  }

  KeyFamily family() const { return family_; }
  /// The public half, a key of OpenSSL's default provider; null until imported.
  EVP_PKEY* public_key() const { return public_key_.get(); }
  bool has_private_half() const { return has_private_half_; }
  uint32_t index() const { return index_; }

  /// Takes the public half, and the index when there is one, from parameters.
  bool Import(const OSSL_PARAM parameters[]);

 private:
  ~DelegatedKey() = default;

  OSSL_LIB_CTX* const library_;
  const KeyFamily family_;
  std::atomic<int> references_{1};
  KeyPtr public_key_;
  bool has_private_half_ = false;
  uint32_t index_ = 0;
};

using DelegatedKeyPtr = std::unique_ptr<DelegatedKey, Deleter<&DelegatedKey::Release>>;

/// The parameter that gives a key its private half when it is made from data: an unsigned integer.
inline constexpr char kKeyIndexParameter[] = "nest-hsm-key-index";

/// What the provider answers for OSSL_OP_KEYMGMT.
const OSSL_ALGORITHM* KeyManagementAlgorithms();

}  // namespace nest_hsm
