// Session tickets of TLS 1.3 (RFC 8446 §4.6.1): the keys that seal them, shared by all replicas, and what is checked again
// when a client comes back with one.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "openssl.h"

namespace nest_hsm {

/// Zeroed when it goes.
struct TicketKey {
  /// Seconds since the epoch. Tickets are sealed from `issue_from` until `issue_until` and opened until `accept_until`.
  int64_t issue_from = 0;
  int64_t issue_until = 0;
  int64_t accept_until = 0;
  /// Not secret: tells which key sealed a ticket.
  std::array<uint8_t, 16> name{};
  std::array<uint8_t, 32> encryption{};
  std::array<uint8_t, 32> authentication{};

  TicketKey() = default;
  TicketKey(const TicketKey&) = delete;
  TicketKey& operator=(const TicketKey&) = delete;
  ~TicketKey();
};

/// Used by the thread of one environment; the keys are replaced between handshakes.
class TicketKeys {
 public:
  TicketKeys(int64_t lifetime_seconds, int64_t session_seconds)
      : lifetime_seconds_(lifetime_seconds), session_seconds_(session_seconds) {}

  void Set(std::vector<std::unique_ptr<TicketKey>> keys) { keys_ = std::move(keys); }

  /// How long a client may come back with a ticket.
  int64_t lifetime_seconds() const { return lifetime_seconds_; }

  /// Once for each SSL_CTX that makes connections.
  static void Serve(SSL_CTX* context);
  /// For one connection, once its ServerEntry is chosen: tickets for a client of TLS 1.3 while there is a key, bound to the
  /// server name that it gave and to the client authorities of now.
  /// @returns false when OpenSSL refuses
  static bool Apply(SSL* ssl, const std::string& server_name);

 private:
  const TicketKey* Issuing() const;
  const TicketKey* Named(const unsigned char* name) const;

  // All run on the fibre of a handshake.
  static int Seal(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int encrypt);
  static int Issue(SSL* ssl, void*);
  static SSL_TICKET_RETURN Accept(SSL* ssl, SSL_SESSION* session, const unsigned char*, size_t, SSL_TICKET_STATUS status, void*);

  const int64_t lifetime_seconds_;
  /// After its full handshake a session is resumed no more, however often its ticket was renewed (RFC 8446 §4.6.1).
  const int64_t session_seconds_;
  std::vector<std::unique_ptr<TicketKey>> keys_;
};

/// The verified chain of a connection's client, leaf first, in DER, from its handshake or from the ticket that it resumed.
std::vector<Bytes> VerifiedChain(SSL* ssl);

}  // namespace nest_hsm
