// HMAC-SHA-256 (RFC 2104) under one key of a blind index.
#pragma once

#include <openssl/evp.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "openssl.h"
#include "secret_bytes.h"

namespace nest_hsm {

constexpr size_t kIndexKeyBytes = 32;
/// Base64 of 6 bytes of the key's id, and of 18 bytes of the MAC after it (docs/ENVELOPE.md).
constexpr size_t kIndexTagCharacters = 8;
constexpr size_t kIndexCharacters = 32;

using MacPtr = std::unique_ptr<EVP_MAC, Deleter<EVP_MAC_free>>;
using MacContextPtr = std::unique_ptr<EVP_MAC_CTX, Deleter<EVP_MAC_CTX_free>>;
using IndexTag = std::array<char, kIndexTagCharacters>;
using IndexText = std::array<char, kIndexCharacters>;

/// The key is hashed once, inside OpenSSL, which overwrites it when the context ends.
class IndexKey {
 public:
  /// @param key  `kIndexKeyBytes`. @returns nothing when OpenSSL fails
  static std::unique_ptr<IndexKey> Create(EVP_MAC* hmac, const uint8_t* key, const IndexTag& tag);

  /// @param type  the byte before the plaintext
  bool Text(uint8_t type, ByteView plaintext, IndexText* text);

 private:
  IndexKey(MacContextPtr mac, const IndexTag& tag);

  const MacContextPtr mac_;
  const IndexTag tag_;
};

}  // namespace nest_hsm
