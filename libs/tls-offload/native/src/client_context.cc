#include "client_context.h"

#include <openssl/err.h>

#include "key_log.h"

namespace nest_hsm {
namespace {

/// RFC 6066 §3 and RFC 1035 §2.3.4; OpenSSL would take a name that begins with a dot for all names below it.
bool IsHostName(const std::string& name) {
  return !name.empty() && name.size() <= TLSEXT_MAXLEN_host_name && name.front() != '.' && name.find('\0') == std::string::npos;
}

/// @param name  without a dot at the end
bool Expect(SSL* ssl, const std::string& name, bool is_address) {
  X509_VERIFY_PARAM* parameters = SSL_get0_param(ssl);
  if (is_address) return X509_VERIFY_PARAM_set1_ip_asc(parameters, name.c_str()) == 1;
  // A wildcard is a whole label, and the subject is no name of a host (RFC 9525 §2).
  X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  return X509_VERIFY_PARAM_set1_host(parameters, name.data(), name.size()) == 1 && SSL_set_tlsext_host_name(ssl, name.c_str()) == 1;
}

/// @param algorithm  of a signature, as SSL_get_shared_sigalgs() tells it
bool SignsBy(const X509* certificate, int algorithm) {
  const EVP_PKEY* key = certificate == nullptr ? nullptr : X509_get0_pubkey(certificate);
  if (key == nullptr) return false;
  switch (algorithm) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS:
      return EVP_PKEY_is_a(key, "RSA") == 1;
    case EVP_PKEY_EC:
      return EVP_PKEY_is_a(key, "EC") == 1;
    case EVP_PKEY_ED25519:
      return EVP_PKEY_is_a(key, "ED25519") == 1;
    default:
      return false;
  }
}

}  // namespace

std::shared_ptr<const ClientContext> ClientContext::Create(const ClientOptions& options, std::string* fault) {
  ERR_clear_error();
  std::shared_ptr<ClientContext> client(new ClientContext);
  client->server_auth_ = options.server_auth;
  client->context_ = NewSslContext(TLS_client_method(), options.negotiation);
  SSL_CTX* context = client->context_.get();
  if (context == nullptr) {
    *fault = "context: " + TakeErrorReason();
    return nullptr;
  }
  for (const Certificate& certificate : options.certificates) {
    if (UseCertificate(context, certificate) != nullptr) continue;
    *fault = "certificate: " + TakeErrorReason();
    return nullptr;
  }
  SSL_CTX_set_cert_cb(context, ChooseCertificate, nullptr);
  SSL_CTX_set_cert_verify_callback(context, PeerAuth::VerifyCallback, options.server_auth.get());
  KeepKeyLog(context);
  return client;
}

SslPtr ClientContext::NewSsl(const ServerIdentity& server, std::string* fault) const {
  ERR_clear_error();
  Bytes protocols;
  if (!EncodeProtocols(server.alpn_protocols, &protocols, fault)) return nullptr;
  if (!IsHostName(server.name)) {
    *fault = "server: want a host name or an address";
    return nullptr;
  }
  SslPtr ssl(SSL_new(context_.get()));
  // Unlike other calls, this one returns 0 when it has succeeded.
  const bool offers = ssl != nullptr && (protocols.empty() || SSL_set_alpn_protos(ssl.get(), protocols.data(), static_cast<unsigned int>(protocols.size())) == 0);
  if (!offers || !server_auth_->Apply(ssl.get()) || !Expect(ssl.get(), server.name, server.is_address)) {
    *fault = "server: " + TakeErrorReason();
    return nullptr;
  }
  SSL_set_connect_state(ssl.get());
  return ssl;
}

/// When a server has asked for one. In TLS 1.2 libssl looks at the current certificate alone, so the first that can sign as the
/// server wants it is made that; without one it shows none.
int ClientContext::ChooseCertificate(SSL* ssl, void*) {
  int algorithm = 0;
  for (int index = 0; SSL_get_shared_sigalgs(ssl, index, &algorithm, nullptr, nullptr, nullptr, nullptr) > 0; ++index) {
    for (long found = SSL_set_current_cert(ssl, SSL_CERT_SET_FIRST); found == 1; found = SSL_set_current_cert(ssl, SSL_CERT_SET_NEXT)) {
      if (SignsBy(SSL_get_certificate(ssl), algorithm)) return 1;
    }
  }
  return 1;
}

}  // namespace nest_hsm
