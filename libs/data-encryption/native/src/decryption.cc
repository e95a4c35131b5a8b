#include "decryption.h"

#include <cstring>

#include "base64.h"

namespace nest_hsm {
namespace {

constexpr size_t kMaximumCharacters =
    kHeaderCharacters + Base64Characters(kNonceBytes + kMaximumPlaintextBytes + kTagBytes);

bool IsAscii(const uint8_t* bytes, size_t size) {
  uint8_t seen = 0;
  for (size_t index = 0; index < size; ++index) seen |= bytes[index];
  return seen < 0x80;
}

}  // namespace

bool Decryption::DecryptRow(uint32_t row, Results* results, uint32_t* failed) {
  *failed = row * batch_->columns();
  if (!batch_->EnterRow(row)) return false;
  for (uint32_t column = 0; column < batch_->columns(); ++column) {
    *failed = row * batch_->columns() + column;
    napi_value value;
    if (!batch_->Cell(*failed, &value) || !DecryptCell(&value, column)) return false;
    results->Add(value);
  }
  return true;
}

/// Replaces the text of a cell by its plaintext; what is missing stays missing.
bool Decryption::DecryptCell(napi_value* value, uint32_t column) {
  size_t characters;
  if (!ReadText(env_, *value, &text_, 0, &characters)) return IsMissing(env_, *value);
  if (characters > kMaximumCharacters || !FindKey(characters)) return false;
  uint8_t* const body = text_.data() + kHeaderCharacters;
  size_t body_bytes;
  const auto prefix = static_cast<uint32_t>(key_ * batch_->columns() + column);
  if (!DecodeBase64(body, characters - kHeaderCharacters, &body_bytes) ||
      !keys_[key_]->Decrypt(batch_->AssociatedData(prefix), body, body_bytes)) {
    return false;
  }
  return CreatePlaintext(body + kNonceBytes, body_bytes - kNonceBytes - kTagBytes, are_texts_[column] != 0, value);
}

/// Finds the key that the cell names. That of the cell before is tried first: nearly always it is the one.
bool Decryption::FindKey(size_t characters) {
  if (characters < kHeaderCharacters) return false;
  for (size_t tried = 0; tried < keys_.size(); ++tried) {
    if (std::memcmp(text_.data(), keys_[key_]->header().data(), kHeaderCharacters) == 0) return true;
    key_ = (key_ + 1) % keys_.size();
  }
  return false;
}

bool Decryption::CreatePlaintext(const uint8_t* bytes, size_t size, bool is_text, napi_value* value) const {
  const char* const text = reinterpret_cast<const char*>(bytes);
  if (!is_text) return napi_create_buffer_copy(env_, size, bytes, nullptr, value) == napi_ok;
  // ASCII needs no decoding.
  return (IsAscii(bytes, size) ? napi_create_string_latin1(env_, text, size, value)
                               : napi_create_string_utf8(env_, text, size, value)) == napi_ok;
}

}  // namespace nest_hsm
