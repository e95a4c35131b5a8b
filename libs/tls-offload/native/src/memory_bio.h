// The bytes between libssl and the network: what came in and is not read yet, what is to be sent.
#pragma once

#include <cstddef>

#include "openssl.h"
#include "tcp_end.h"

namespace nest_hsm {

/// Input is borrowed for the length of a call and copied only if libssl leaves some of it; output grows until taken, or goes
/// straight to a sink.
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

  /// Nothing with a sink, which seldom leaves anything.
  void ReserveOutput(size_t bytes);
  Bytes TakeOutput();

  /// Sends output as it is made; what the sink does not take at once waits for Flush(). Null: output is kept to be taken.
  void SendTo(TcpEnd* sink) { sink_ = sink; }
  /// More output follows in the same call.
  void ExpectMore(bool more) { more_ = more; }
  void Flush();
  size_t unsent() const { return output_.size() - output_offset_; }
  /// The sink takes nothing any more; output is dropped.
  bool sink_broken() const { return sink_broken_; }

 private:
  static const BIO_METHOD* Method();
  static int Read(BIO* bio, char* data, size_t size, size_t* read);
  static int Write(BIO* bio, const char* data, size_t size, size_t* written);
  size_t SendNow(ByteView data, bool more);
  static long Control(BIO* bio, int command, long number, void* pointer);

  Bytes left_over_;
  size_t left_over_offset_ = 0;
  ByteView fresh_;
  Bytes output_;
  size_t output_offset_ = 0;
  TcpEnd* sink_ = nullptr;
  bool sink_broken_ = false;
  bool more_ = false;
};

}  // namespace nest_hsm
