// The OpenSSL provider `delegated`, in a library context of its own: Node's own TLS and crypto never see it.
#pragma once

#include <cstdint>

#include "openssl.h"

namespace nest_hsm {

/// The library context with OpenSSL's default provider and ours, made once per process, shared by all its threads and
/// never freed (worker threads may outlive static destructors). @returns null when OpenSSL refuses
OSSL_LIB_CTX* LibraryContext();

/// What to prefer when an algorithm is looked up in LibraryContext().
inline constexpr char kPreferDefaultProvider[] = "?provider=default";

/// A private key whose signatures are made elsewhere, by the key that the application calls `key_index`.
/// @param public_key  RSA, EC or Ed25519
/// @returns null for any other kind of key
KeyPtr NewDelegatedKey(const EVP_PKEY* public_key, uint32_t key_index);

}  // namespace nest_hsm
