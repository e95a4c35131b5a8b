// Carries bytes between a TLS client and the plain TCP server behind: what a forwarded connection does, without the loop
// that tells it when.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "openssl.h"
#include "session.h"
#include "tcp_end.h"

namespace nest_hsm {

/// Each direction waits for its slower side and ends on its own: close_notify becomes FIN and FIN becomes close_notify. A
/// connection that breaks on one side is reset on the other, never ended in order, so that neither takes a part for the
/// whole. At most kBufferBytes of each direction are held while its reader is slow, and nothing while it is not.
class Pump {
 public:
  /// More than this at a time does not fit the processor's nearest caches.
  static constexpr size_t kBufferBytes = 64 * 1024;

  enum class End {
    kNone,
    kOrderly,
    /// Reset, or FIN without close_notify: more may have been meant to come (RFC 8446 §6.1).
    kClientGone,
    kRecordInvalid,
    kUpstreamGone,
    kIdle,
    kExpired,
    kStopped,
  };

  /// Shared by all pumps of a thread: nothing stays in it from one call to the next.
  struct Scratch {
    std::array<uint8_t, kBufferBytes> received;
    std::array<uint8_t, kBufferBytes> plaintext;
  };

  struct Interest {
    bool readable = false;
    bool writable = false;
  };

  struct Statistics {
    /// Plaintext, in bytes, taken from the client and from the upstream.
    uint64_t from_client = 0;
    uint64_t from_upstream = 0;
  };

  /// Begins with OnUpstreamWritable(), since the session may hold what no socket announces any more.
  /// @param session  secure; nobody else reads or writes it from here on
  /// @param preamble  sent to the upstream before anything of the client's
  Pump(std::shared_ptr<Session> session, int client, int upstream, ByteView preamble, Scratch* scratch);
  ~Pump() { Finish(End::kStopped); }
  Pump(const Pump&) = delete;
  Pump& operator=(const Pump&) = delete;

  // Each does a bounded amount of work, so that a busy connection leaves the thread to the others in between.
  void OnClientReadable();
  void OnClientWritable();
  void OnClientBroken();
  void OnUpstreamReadable();
  void OnUpstreamWritable();
  void OnUpstreamBroken();
  /// The kernel has an error to tell of it: nothing can be sent any more, but what came before lies there to be read.
  void OnUpstreamError();

  /// Ends it, both sides to be reset, unless it has ended.
  void Abort(End reason);

  Interest client_interest() const;
  Interest upstream_interest() const;
  /// To be closed by the owner, after it has stopped watching them: the upstream once it is done_with_upstream(), the client
  /// at the end.
  TcpEnd& client() { return client_; }
  TcpEnd& upstream() { return upstream_; }
  bool done_with_upstream() const { return lingering_ || end_ != End::kNone; }

  /// Everything is sent, but the client has not ended its side: closed now, what it still sends would make the kernel drop
  /// what it has not read yet. The owner waits a little, then calls StopLingering().
  bool lingering() const { return lingering_ && fin_sent_to_client_; }
  void StopLingering();

  /// kNone while it goes on. The session is closed otherwise.
  End end() const { return end_; }
  const Statistics& statistics() const { return statistics_; }
  /// Grows whenever a byte moves, in either direction.
  uint64_t progress() const { return progress_; }

 private:
  void TakeFromClient(ByteView received);
  void Decrypt(ByteView received);
  void DiscardFromClient();
  void OnUpstreamRefused();
  bool SendToUpstream(ByteView plaintext);
  void Settle();
  void BeginLingering(End reason);
  void Finish(End reason);

  const std::shared_ptr<Session> session_;
  TcpEnd client_;
  TcpEnd upstream_;
  Scratch* const scratch_;

  /// Plaintext that the upstream did not take yet.
  Bytes to_upstream_;
  size_t to_upstream_offset_ = 0;

  /// close_notify has come: whatever else comes is dropped.
  bool client_finished_ = false;
  bool client_ended_ = false;
  bool upstream_ended_ = false;
  /// Only read from, to its end or to the error.
  bool upstream_deaf_ = false;
  bool fin_sent_to_upstream_ = false;
  bool close_notify_made_ = false;
  bool fin_sent_to_client_ = false;
  bool lingering_ = false;
  End lingering_for_ = End::kNone;
  End end_ = End::kNone;

  Statistics statistics_;
  uint64_t progress_ = 0;
};

}  // namespace nest_hsm
