// What a listener offers: certificates by server name, protocol versions, application protocols.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "openssl.h"
#include "server_entry.h"
#include "ssl_context.h"

namespace nest_hsm {

struct ServerCertificate : Certificate {
  /// Null: no OCSP response is stapled.
  std::shared_ptr<const Staple> staple;
};

/// The certificates for some server names, at most one of each kind of key: OpenSSL picks what the client understands.
struct Credentials {
  /// Lower case; `*.` in front stands for one label (RFC 6125 §6.4.3). Empty: for every other name, and for none.
  std::vector<std::string> server_names;
  std::vector<ServerCertificate> certificates;
  /// Null: clients are not asked for certificates.
  std::shared_ptr<PeerAuth> client_auth;
};

struct ServerOptions {
  /// One of them is for every other name.
  std::vector<Credentials> credentials;
  /// In order of preference; empty: the extension is ignored.
  std::vector<std::string> alpn_protocols;
  Negotiation negotiation;
  /// Ends handshakes for a server name that is neither listed nor in a certificate of the default (unrecognized_name,
  /// RFC 6066 §3). A client that names none gets the default.
  bool refuse_unknown_names = false;
  /// Null: no session is resumed.
  std::shared_ptr<const TicketKeys> ticket_keys;
  /// Sessions of another scope are not resumed.
  std::string ticket_scope;
};

/// Immutable after Create(). A session keeps its context alive, so credentials are replaced by making another one.
class ServerContext {
 public:
  /// @returns null with the reason in `fault`
  static std::shared_ptr<const ServerContext> Create(const ServerOptions& options, std::string* fault);

  ServerContext(const ServerContext&) = delete;
  ServerContext& operator=(const ServerContext&) = delete;

  /// A connection for the next client, null when out of memory.
  SslPtr NewSsl() const;

 private:
  ServerContext() = default;

  bool Add(const Credentials& credentials, const ServerOptions& options, std::string* fault);
  const ServerEntry* Find(const std::string& server_name) const;

  // All run on the fibre of a handshake: plain C++, nothing of Node-API.
  static int ChooseEntry(SSL* ssl, int* alert, void* self);
  static int AcknowledgeServerName(SSL* ssl, int* alert, void* self);
  static int ChooseProtocol(SSL* ssl, const unsigned char** chosen, unsigned char* chosen_size, const unsigned char* offered,
                            unsigned int offered_size, void* self);

  std::vector<std::unique_ptr<ServerEntry>> entries_;
  const ServerEntry* default_ = nullptr;
  std::unordered_map<std::string, const ServerEntry*> by_server_name_;
  bool refuse_unknown_names_ = false;
  /// Length-prefixed, as on the wire (RFC 7301 §3.1).
  Bytes alpn_protocols_;
};

}  // namespace nest_hsm
