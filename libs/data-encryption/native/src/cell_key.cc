#include "cell_key.h"

#include <utility>

namespace nest_hsm {

std::unique_ptr<CellKey> CellKey::Create(const EVP_CIPHER* aes_256_gcm, const uint8_t* key, const CellHeader& header) {
  CipherContextPtr encryption(EVP_CIPHER_CTX_new());
  CipherContextPtr decryption(EVP_CIPHER_CTX_new());
  const bool is_ready = encryption != nullptr && decryption != nullptr &&
                        EVP_EncryptInit_ex2(encryption.get(), aes_256_gcm, key, nullptr, nullptr) == 1 &&
                        EVP_DecryptInit_ex2(decryption.get(), aes_256_gcm, key, nullptr, nullptr) == 1;
  if (!WithoutTrace(is_ready)) return nullptr;
  return std::unique_ptr<CellKey>(new CellKey(std::move(encryption), std::move(decryption), header));
}

CellKey::CellKey(CipherContextPtr encryption, CipherContextPtr decryption, const CellHeader& header)
    : encryption_(std::move(encryption)), decryption_(std::move(decryption)), header_(header) {}

bool CellKey::Encrypt(ByteView associated_data, uint8_t* body, size_t plaintext_bytes) {
  EVP_CIPHER_CTX* const context = encryption_.get();
  uint8_t* const text = body + kNonceBytes;
  uint8_t* const tag = text + plaintext_bytes;
  int written = 0;
  return WithoutTrace(
      // The key stays; only the nonce is new.
      EVP_EncryptInit_ex2(context, nullptr, nullptr, body, nullptr) == 1 &&
      EVP_EncryptUpdate(context, nullptr, &written, associated_data.data, static_cast<int>(associated_data.size)) == 1 &&
      (plaintext_bytes == 0 ||
       EVP_EncryptUpdate(context, text, &written, text, static_cast<int>(plaintext_bytes)) == 1) &&
      EVP_EncryptFinal_ex(context, tag, &written) == 1 &&
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kTagBytes, tag) == 1);
}

bool CellKey::Decrypt(ByteView associated_data, uint8_t* body, size_t body_bytes) {
  if (body_bytes < kNonceBytes + kTagBytes) return false;
  EVP_CIPHER_CTX* const context = decryption_.get();
  uint8_t* const text = body + kNonceBytes;
  const size_t text_bytes = body_bytes - kNonceBytes - kTagBytes;
  uint8_t* const tag = text + text_bytes;
  int written = 0;
  return WithoutTrace(
      EVP_DecryptInit_ex2(context, nullptr, nullptr, body, nullptr) == 1 &&
      EVP_DecryptUpdate(context, nullptr, &written, associated_data.data, static_cast<int>(associated_data.size)) == 1 &&
      (text_bytes == 0 || EVP_DecryptUpdate(context, text, &written, text, static_cast<int>(text_bytes)) == 1) &&
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag) == 1 &&
      EVP_DecryptFinal_ex(context, tag, &written) == 1);
}

}  // namespace nest_hsm
