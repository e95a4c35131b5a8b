// One TLS connection over caller-fed bytes, whose private-key operation is done by the caller.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "memory_bio.h"
#include "openssl.h"
#include "signature_request.h"

namespace nest_hsm {

/// What a test looks at to see that nothing is left behind.
struct SessionCounters {
  uint32_t live_sessions = 0;
  uint32_t paused_jobs = 0;
};

struct SessionDescription {
  std::string protocol;
  std::string cipher;
  std::string cipher_standard_name;
  std::string cipher_version;
  std::string group;
  std::string alpn_protocol;
  std::string server_name;
  /// From a ticket: no signature was made, and no certificate shown.
  bool resumed = false;
  /// The verified chain of the peer, leaf first, in DER; empty: it showed no certificate.
  std::vector<Bytes> peer_certificates;

  bool operator==(const SessionDescription& other) const {
    return std::tie(protocol, cipher, cipher_standard_name, cipher_version, group, alpn_protocol, server_name, resumed,
                    peer_certificates) == std::tie(other.protocol, other.cipher, other.cipher_standard_name, other.cipher_version,
                                                   other.group, other.alpn_protocol, other.server_name, other.resumed,
                                                   other.peer_certificates);
  }
};

/// Used by one thread. Calls never block; what is to be sent is taken after each of them.
class Session {
 public:
  enum class Progress { kWantInput, kWantSignature, kSecure, kFailed };
  enum class ReadState { kOpen, kClosed, kFailed };
  struct ReadResult {
    ReadState state;
    size_t bytes;
  };

  /// @param ssl  made to accept or to connect; null: out of memory, and the session has failed
  /// @param context  what its callbacks point at
  Session(SslPtr ssl, std::shared_ptr<const void> context, std::shared_ptr<SessionCounters> counters);
  ~Session() { Close(); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Goes on with the handshake, or with the message of it that holds back, with what has arrived if anything. Input that arrives while
  /// a signature is awaited, or that comes after it, is kept.
  Progress Handshake(ByteView input);
  /// The signature awaited, null when none is.
  const SignatureRequest* PendingRequest() const;
  /// Answers the pending request, an empty signature meaning that it failed; Handshake() then goes on.
  /// @returns false when none is pending
  bool Deliver(ByteView signature);

  /// Keeps what arrived and is to be read later. @returns false when it is too much
  bool Keep(ByteView input);
  /// Decrypts into `plaintext` as much as there is. kOpen with 0 bytes: nothing left, feed more.
  ReadResult Read(ByteView input, uint8_t* plaintext, size_t capacity);
  /// The peer's key update or ticket came in several records, and not yet the last one: libssl writes nothing before it. Until
  /// Handshake() or Read() brings the rest, Write() and Shutdown() must not be called.
  bool holds_back() const { return secure_ && !failed_ && SSL_in_init(ssl_.get()); }
  /// Encrypts all of it. @returns false when the session has failed
  bool Write(ByteView plaintext);
  /// Queues close_notify; reading goes on. @returns false when the session has failed
  bool Shutdown();

  Bytes TakeOutput() { return bio_.TakeOutput(); }
  /// From here on output goes to this end as it is made, and what that does not take waits for Flush(); null: it is kept to be
  /// taken.
  void SendTo(TcpEnd* sink) { bio_.SendTo(sink); }
  void Flush() { bio_.Flush(); }
  /// Bytes of output that wait.
  size_t unsent() const { return bio_.unsent(); }
  /// Output could not be sent: nobody is there to read it.
  bool peer_gone() const { return bio_.sink_broken(); }

  SessionDescription Describe() const;
  /// What was found of the peer's certificates, one of X509_V_*: X509_V_OK also before they are looked at.
  int verify_result() const { return ssl_ == nullptr ? X509_V_OK : static_cast<int>(SSL_get_verify_result(ssl_.get())); }
  /// Why the session failed; empty otherwise.
  const std::string& failure() const { return failure_; }

  /// Frees everything. A fibre that awaits a signature is run to its end first, with that signature failed: freed while
  /// paused, it would never give its memory back.
  void Close();

 private:
  Progress Advance();
  bool RenewWornKey();
  void Fail(std::string reason);

  // Outlives ssl_, whose callbacks point at it.
  const std::shared_ptr<const void> context_;
  const std::shared_ptr<SessionCounters> counters_;
  MemoryBio bio_;
  SslPtr ssl_;
  /// On the fibre's side; null unless the handshake is paused.
  SignatureRequest* pending_ = nullptr;
  /// Written with the present key.
  uint64_t records_of_key_ = 0;
  bool secure_ = false;
  bool failed_ = false;
  bool closed_ = false;
  std::string failure_;
};

}  // namespace nest_hsm
