#include "secret_bytes.h"

#include <openssl/crypto.h>

#include <algorithm>

namespace nest_hsm {
namespace {

/// Of most texts; what is not used is overwritten all the same.
constexpr size_t kFirstBytes = 512;

}  // namespace

SecretBytes::~SecretBytes() { OPENSSL_clear_free(data_, capacity_); }

bool SecretBytes::Reserve(size_t bytes, size_t kept) {
  if (bytes <= capacity_) return true;
  // Half as much again: cells that grow from one to the next make it grow a few times only.
  const size_t capacity = std::max(kFirstBytes, bytes + bytes / 2);
  auto* data = static_cast<uint8_t*>(OPENSSL_malloc(capacity));
  if (data == nullptr) return false;
  std::copy_n(data_, std::min(kept, capacity_), data);
  OPENSSL_clear_free(data_, capacity_);
  data_ = data;
  capacity_ = capacity;
  return true;
}

}  // namespace nest_hsm
