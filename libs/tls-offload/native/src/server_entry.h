// What the clients of some server names meet, found again from their connections.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "peer_auth.h"
#include "openssl.h"
#include "staple.h"
#include "ticket_keys.h"

namespace nest_hsm {

struct ServerEntry {
  struct Certificate {
    X509Ptr leaf;
    /// Null: none is ever stapled.
    std::shared_ptr<const Staple> staple;
  };

  SslContextPtr context;
  std::vector<Certificate> certificates;
  /// Null: clients are not asked for certificates.
  std::shared_ptr<PeerAuth> client_auth;
  /// Null: no session is resumed.
  std::shared_ptr<const TicketKeys> ticket_keys;
  std::string ticket_scope;

  /// The one that the connection has chosen, or the default before it has.
  static const ServerEntry* Of(const SSL* ssl) { return static_cast<const ServerEntry*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl))); }
};

}  // namespace nest_hsm
