// AES-256-GCM (NIST SP 800-38D) under one key, with 96-bit nonces and 128-bit tags.
#pragma once

#include <openssl/evp.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "openssl.h"
#include "secret_bytes.h"

namespace nest_hsm {

constexpr size_t kKeyBytes = 32;
constexpr size_t kNonceBytes = 12;
constexpr size_t kTagBytes = 16;
/// The same on the TypeScript side; far below what an `int` of OpenSSL and a string of V8 hold.
constexpr size_t kMaximumPlaintextBytes = 1 << 28;
/// Base64 of magic, format, algorithm and data key id: what every cell of one key begins with (docs/ENVELOPE.md).
constexpr size_t kHeaderCharacters = 28;

using CipherPtr = std::unique_ptr<EVP_CIPHER, Deleter<EVP_CIPHER_free>>;
using CipherContextPtr = std::unique_ptr<EVP_CIPHER_CTX, Deleter<EVP_CIPHER_CTX_free>>;

using CellHeader = std::array<char, kHeaderCharacters>;

/// The key is expanded once, inside OpenSSL, which overwrites it when the contexts end.
class CellKey {
 public:
  /// @param key  `kKeyBytes`. @returns nothing when OpenSSL fails
  static std::unique_ptr<CellKey> Create(const EVP_CIPHER* aes_256_gcm, const uint8_t* key, const CellHeader& header);

  const CellHeader& header() const { return header_; }

  /// @param body  nonce ‖ plaintext ‖ room for the tag; in place it becomes nonce ‖ ciphertext ‖ tag
  bool Encrypt(ByteView associated_data, uint8_t* body, size_t plaintext_bytes);

  /// @param body  nonce ‖ ciphertext ‖ tag; in place the ciphertext becomes the plaintext, which is only to be read after true
  bool Decrypt(ByteView associated_data, uint8_t* body, size_t body_bytes);

 private:
  CellKey(CipherContextPtr encryption, CipherContextPtr decryption, const CellHeader& header);

  const CipherContextPtr encryption_;
  const CipherContextPtr decryption_;
  const CellHeader header_;
};

}  // namespace nest_hsm
