#include "server_context.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "key_log.h"
#include "server_name.h"

namespace nest_hsm {
namespace {

SslContextPtr NewServerSslContext(const ServerOptions& options) {
  SslContextPtr context = NewSslContext(TLS_server_method(), options.negotiation);
  if (context == nullptr) return nullptr;
  SSL_CTX* c = context.get();
  SSL_CTX_set_options(c, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  if (options.ticket_keys != nullptr) SSL_CTX_set_timeout(c, static_cast<long>(options.ticket_keys->lifetime_seconds()));
  // No resumption by itself: TLS 1.2 sessions are not cached, tickets of TLS 1.3 are allowed for each connection, early data
  // never is.
  return SSL_CTX_set_num_tickets(c, 0) == 1 && SSL_CTX_set_max_early_data(c, 0) == 1 ? std::move(context) : nullptr;
}

bool AskForCertificate(SSL* ssl, const PeerAuth* client_auth) {
  if (client_auth != nullptr) return client_auth->Apply(ssl);
  SSL_set_verify(ssl, SSL_VERIFY_NONE, nullptr);
  return true;
}

}  // namespace

std::shared_ptr<const ServerContext> ServerContext::Create(const ServerOptions& options, std::string* fault) {
  ERR_clear_error();
  std::shared_ptr<ServerContext> context(new ServerContext);
  context->refuse_unknown_names_ = options.refuse_unknown_names;
  if (!EncodeProtocols(options.alpn_protocols, &context->alpn_protocols_, fault)) return nullptr;
  for (const Credentials& credentials : options.credentials) {
    if (!context->Add(credentials, options, fault)) return nullptr;
  }
  if (context->default_ == nullptr) {
    *fault = "credentials: want a default, got none";
    return nullptr;
  }
  return context;
}

SslPtr ServerContext::NewSsl() const {
  ERR_clear_error();
  SslPtr ssl(SSL_new(default_->context.get()));
  if (ssl != nullptr) SSL_set_accept_state(ssl.get());
  return ssl;
}

bool ServerContext::Add(const Credentials& credentials, const ServerOptions& options, std::string* fault) {
  if (credentials.certificates.empty()) {
    *fault = "certificates: want at least one, got none";
    return false;
  }
  auto entry = std::make_unique<ServerEntry>();
  entry->client_auth = credentials.client_auth;
  entry->ticket_keys = options.ticket_keys;
  entry->ticket_scope = options.ticket_scope;
  entry->context = NewServerSslContext(options);
  SSL_CTX* context = entry->context.get();
  if (context == nullptr) {
    *fault = "context: " + TakeErrorReason();
    return false;
  }
  for (const ServerCertificate& certificate : credentials.certificates) {
    entry->certificates.push_back({UseCertificate(context, certificate), certificate.staple});
    if (entry->certificates.back().leaf != nullptr) continue;
    *fault = "certificate: " + TakeErrorReason();
    return false;
  }
  SSL_CTX_set_app_data(context, entry.get());
  Staple::Serve(context);
  TicketKeys::Serve(context);
  if (entry->client_auth != nullptr) SSL_CTX_set_cert_verify_callback(context, PeerAuth::VerifyCallback, entry->client_auth.get());
  KeepKeyLog(context);
  // Each of them meets the second ClientHello after a HelloRetryRequest in the context that the first one chose.
  SSL_CTX_set_client_hello_cb(context, ChooseEntry, this);
  SSL_CTX_set_tlsext_servername_callback(context, AcknowledgeServerName);
  SSL_CTX_set_tlsext_servername_arg(context, this);
  if (!alpn_protocols_.empty()) SSL_CTX_set_alpn_select_cb(context, ChooseProtocol, this);
  if (credentials.server_names.empty()) default_ = entry.get();
  for (const std::string& name : credentials.server_names) by_server_name_[PlainServerName(name)] = entry.get();
  entries_.push_back(std::move(entry));
  return true;
}

/// @returns null where the handshake is to be refused
const ServerEntry* ServerContext::Find(const std::string& server_name) const {
  if (server_name.empty()) return default_;
  auto found = by_server_name_.find(server_name);
  const size_t dot = server_name.find('.');
  if (found == by_server_name_.end() && dot != std::string::npos) found = by_server_name_.find("*" + server_name.substr(dot));
  if (found != by_server_name_.end()) return found->second;
  if (!refuse_unknown_names_) return default_;
  const auto& certificates = default_->certificates;
  const bool certified = std::any_of(certificates.begin(), certificates.end(), [&](const ServerEntry::Certificate& each) {
    return X509_check_host(each.leaf.get(), server_name.data(), server_name.size(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, nullptr) == 1;
  });
  return certified ? default_ : nullptr;
}

/// Before anything else of the ClientHello is looked at, so that resumption too is judged by the rules of that name.
int ServerContext::ChooseEntry(SSL* ssl, int* alert, void* self) {
  const std::string server_name = OfferedServerName(ssl);
  const ServerEntry* entry = static_cast<const ServerContext*>(self)->Find(server_name);
  if (entry == nullptr) {
    ERR_raise(ERR_LIB_SSL, SSL_R_TLSV1_UNRECOGNIZED_NAME);
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    return SSL_CLIENT_HELLO_ERROR;
  }
  // A connection takes over certificates with a context, and nothing else that was set on it.
  if (SSL_set_SSL_CTX(ssl, entry->context.get()) != nullptr && AskForCertificate(ssl, entry->client_auth.get()) &&
      TicketKeys::Apply(ssl, server_name)) {
    return SSL_CLIENT_HELLO_SUCCESS;
  }
  *alert = SSL_AD_INTERNAL_ERROR;
  return SSL_CLIENT_HELLO_ERROR;
}

/// Tells the client that its name was understood where it chose anything (RFC 6066 §3).
int ServerContext::AcknowledgeServerName(SSL* ssl, int*, void* self) {
  const bool chosen = SSL_get_SSL_CTX(ssl) != static_cast<const ServerContext*>(self)->default_->context.get();
  return chosen ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

int ServerContext::ChooseProtocol(SSL*, const unsigned char** chosen, unsigned char* chosen_size, const unsigned char* offered,
                                  unsigned int offered_size, void* self) {
  const Bytes& ours = static_cast<const ServerContext*>(self)->alpn_protocols_;
  unsigned char* selected = nullptr;
  const int outcome = SSL_select_next_proto(&selected, chosen_size, ours.data(), static_cast<unsigned int>(ours.size()), offered, offered_size);
  // Without a common protocol the handshake ends with no_application_protocol (RFC 7301 §3.2).
  if (outcome != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
  *chosen = selected;
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace nest_hsm
