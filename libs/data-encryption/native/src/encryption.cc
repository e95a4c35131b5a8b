#include "encryption.h"

#include <openssl/rand.h>

#include <algorithm>

#include "base64.h"

namespace nest_hsm {

bool Nonces::Next(uint8_t* nonce) {
  if (next_ == drawn_ && !Draw()) return false;
  std::copy_n(pool_.data() + next_, kNonceBytes, nonce);
  next_ += kNonceBytes;
  return true;
}

bool Nonces::Draw() {
  const size_t count = std::min(left_to_draw_, pool_.size() / kNonceBytes);
  if (count == 0 || RAND_bytes(pool_.data(), static_cast<int>(count * kNonceBytes)) != 1) return false;
  left_to_draw_ -= count;
  drawn_ = count * kNonceBytes;
  next_ = 0;
  return true;
}

bool Encryption::EncryptRow(uint32_t row, Results* results) {
  if (!batch_->EnterRow(row)) return false;
  for (uint32_t column = 0; column < batch_->columns(); ++column) {
    napi_value value;
    if (!batch_->Cell(row * batch_->columns() + column, &value) || !EncryptCell(&value, column)) return false;
    results->Add(value);
  }
  return true;
}

/// Replaces a plaintext by the text of its cell; what is missing stays missing.
bool Encryption::EncryptCell(napi_value* value, uint32_t column) {
  size_t plaintext_bytes;
  if (!ReadPlaintext(*value, &plaintext_bytes)) return IsMissing(env_, *value);
  const size_t body_bytes = kNonceBytes + plaintext_bytes + kTagBytes;
  const size_t characters = kHeaderCharacters + Base64Characters(body_bytes);
  if (!body_.Reserve(body_bytes, kNonceBytes + plaintext_bytes) || !text_.Reserve(characters, 0) ||
      !nonces_.Next(body_.data()) || !key_->Encrypt(batch_->AssociatedData(column), body_.data(), plaintext_bytes)) {
    return false;
  }
  char* const text = reinterpret_cast<char*>(text_.data());
  std::copy(key_->header().begin(), key_->header().end(), text);
  EncodeBase64(body_.data(), body_bytes, text + kHeaderCharacters);
  return napi_create_string_latin1(env_, text, characters, value) == napi_ok;
}

/// Leaves room for the nonce before it.
bool Encryption::ReadPlaintext(napi_value value, size_t* size) {
  if (ReadText(env_, value, &body_, kNonceBytes, size)) return *size <= kMaximumPlaintextBytes;
  ByteView bytes;
  if (!ReadBytes(env_, value, &bytes) || bytes.size > kMaximumPlaintextBytes ||
      !body_.Reserve(kNonceBytes + bytes.size, 0)) {
    return false;
  }
  std::copy_n(bytes.data, bytes.size, body_.data() + kNonceBytes);
  *size = bytes.size;
  return true;
}

}  // namespace nest_hsm
