// Views of bytes, and memory for plaintext and what becomes it, overwritten before it is given back.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nest_hsm {

/// Bytes that somebody else owns, valid for the call they are passed to.
struct ByteView {
  const uint8_t* data = nullptr;
  size_t size = 0;
};

class SecretBytes {
 public:
  SecretBytes() = default;
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes();

  /// Makes room for at least so many bytes. @param kept  how many of the first bytes must stay what they are
  /// @returns false when there is no memory
  bool Reserve(size_t bytes, size_t kept);

  uint8_t* data() { return data_; }
  size_t capacity() const { return capacity_; }

 private:
  uint8_t* data_ = nullptr;
  size_t capacity_ = 0;
};

}  // namespace nest_hsm
