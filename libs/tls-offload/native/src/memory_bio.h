// The bytes between libssl and the network: what came in and is not read yet, what is to be sent.
#pragma once

#include <cstddef>

#include "openssl.h"

namespace nest_hsm {

/// Input is borrowed for the length of a call and copied only if libssl leaves some of it; output grows until taken.
/// Its owner bounds both: it feeds no more while input is left over, and hands plaintext over in slices.
class MemoryBio {
 public:
  /// More input than this left over fails the session: a handshake's flight is far smaller (RFC 8446 §5.1).
  static constexpr size_t kMaximumLeftOver = 256 * 1024;

  MemoryBio() = default;
  MemoryBio(const MemoryBio&) = delete;
  MemoryBio& operator=(const MemoryBio&) = delete;

  /// @returns a BIO over this object, to be freed before it; null when out of memory
  BIO* NewBio();

  /// Appends input, borrowed until KeepLeftOver().
  void Feed(ByteView fresh) { fresh_ = fresh; }
  /// Copies what libssl did not read. @returns false beyond kMaximumLeftOver
  bool KeepLeftOver();

  void ReserveOutput(size_t bytes) { output_.reserve(output_.size() + bytes); }
  bool has_output() const { return !output_.empty(); }
  Bytes TakeOutput();

 private:
  static const BIO_METHOD* Method();
  static int Read(BIO* bio, char* data, size_t size, size_t* read);
  static int Write(BIO* bio, const char* data, size_t size, size_t* written);
  static long Control(BIO* bio, int command, long number, void* pointer);

  Bytes left_over_;
  size_t left_over_offset_ = 0;
  ByteView fresh_;
  Bytes output_;
};

}  // namespace nest_hsm
