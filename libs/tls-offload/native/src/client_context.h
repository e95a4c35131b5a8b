// What a connector offers servers, and whom it believes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "openssl.h"
#include "peer_auth.h"
#include "ssl_context.h"

namespace nest_hsm {

struct ClientOptions {
  /// At most one of each kind of key, shown to servers that ask. Empty: none is ever shown.
  std::vector<Certificate> certificates;
  /// Never null.
  std::shared_ptr<PeerAuth> server_auth;
  Negotiation negotiation;
};

/// The server that a connection is for.
struct ServerIdentity {
  /// What its certificate has to name: a host name, or an address, and no other (RFC 9525 §6).
  std::string name;
  bool is_address = false;
  /// In order of preference; empty: the extension is not sent.
  std::vector<std::string> alpn_protocols;
};

/// Immutable after Create(). A session keeps its context alive, so certificates are replaced by making another one.
class ClientContext {
 public:
  /// @returns null with the reason in `fault`
  static std::shared_ptr<const ClientContext> Create(const ClientOptions& options, std::string* fault);

  ClientContext(const ClientContext&) = delete;
  ClientContext& operator=(const ClientContext&) = delete;

  /// A connection that ends unless the server proves the name. @returns null with the reason in `fault`
  SslPtr NewSsl(const ServerIdentity& server, std::string* fault) const;

 private:
  ClientContext() = default;

  /// Runs on the fibre of a handshake: plain C++, nothing of Node-API.
  static int ChooseCertificate(SSL* ssl, void*);

  SslContextPtr context_;
  std::shared_ptr<PeerAuth> server_auth_;
};

}  // namespace nest_hsm
