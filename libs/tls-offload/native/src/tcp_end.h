// One end of a TCP connection, without blocking and without Node's streams.
#pragma once

#include <cstddef>
#include <cstdint>

#include "openssl.h"

namespace nest_hsm {

/// Owns a duplicate of a socket's descriptor, so that whoever had the connection before may close its own.
class TcpEnd {
 public:
  enum class Outcome { kSome, kWouldBlock, kEnd, kBroken };

  /// Without a descriptor (see valid()) when none can be had.
  explicit TcpEnd(int descriptor_to_duplicate);
  ~TcpEnd() { Close(); }
  TcpEnd(const TcpEnd&) = delete;
  TcpEnd& operator=(const TcpEnd&) = delete;

  bool valid() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }

  /// @returns kSome with 1 to `capacity` bytes in `data`, kEnd after the peer's FIN
  Outcome Receive(uint8_t* data, size_t capacity, size_t* received);
  /// @param more  more follows at once, so a segment that is not full may wait for it
  /// @returns kSome with how much was taken, at least 1 byte; kBroken when nobody is there to read it
  Outcome Send(ByteView data, bool more, size_t* sent);
  /// After a Send() that was kBroken: whether the peer is known to have sent FIN before. What is still to be received is whole then.
  bool peer_ended_first() const { return peer_ended_first_; }
  /// FIN. What was sent is still delivered.
  void FinishWriting();
  /// Close() sends RST: the peer cannot take what it has got for the whole.
  void ResetOnClose();
  void Close();

 private:
  int descriptor_ = -1;
  bool peer_ended_first_ = false;
};

}  // namespace nest_hsm
