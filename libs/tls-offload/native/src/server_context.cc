#include "server_context.h"

#include <openssl/err.h>

#include <algorithm>
#include <cctype>

#include "provider.h"

namespace nest_hsm {
namespace {

// AEAD with forward secrecy only. Signatures with the hashes the HSM provider has; P-256 for peers without X25519.
constexpr char kCiphersTls12[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr char kCiphersTls13[] = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";
constexpr char kGroups[] = "X25519MLKEM768:X25519:P-256";
constexpr char kSignatureAlgorithms[] =
    "ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ecdsa_secp521r1_sha512:ed25519:"
    "rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:"
    "rsa_pkcs1_sha256:rsa_pkcs1_sha384:rsa_pkcs1_sha512";
// 112 bits: RSA from 2048, EC from 224.
constexpr int kSecurityLevel = 2;

SslContextPtr NewSslContext(const ServerOptions& options) {
  SslContextPtr context(SSL_CTX_new_ex(LibraryContext(), kPreferDefaultProvider, TLS_server_method()));
  if (context == nullptr) return nullptr;
  SSL_CTX* c = context.get();
  SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                             SSL_OP_PRIORITIZE_CHACHA | SSL_OP_NO_TICKET);
  // No resumption of any kind: TLS 1.2 sessions are not cached, TLS 1.3 tickets are not sent, so neither is early data.
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_security_level(c, kSecurityLevel);
  SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
  const bool complete = SSL_CTX_set_num_tickets(c, 0) == 1 && SSL_CTX_set_max_early_data(c, 0) == 1 &&
                        SSL_CTX_set_min_proto_version(c, options.tls13_only ? TLS1_3_VERSION : TLS1_2_VERSION) == 1 &&
                        SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) == 1 &&
                        SSL_CTX_set_cipher_list(c, kCiphersTls12) == 1 && SSL_CTX_set_ciphersuites(c, kCiphersTls13) == 1 &&
                        SSL_CTX_set1_groups_list(c, kGroups) == 1 && SSL_CTX_set1_sigalgs_list(c, kSignatureAlgorithms) == 1;
  return complete ? std::move(context) : nullptr;
}

X509Ptr ParseCertificate(const Bytes& der) {
  X509Ptr parsed(X509_new_ex(LibraryContext(), kPreferDefaultProvider));
  const unsigned char* position = der.data();
  X509* target = parsed.get();
  if (target == nullptr) return nullptr;
  if (d2i_X509(&target, &position, static_cast<long>(der.size())) == nullptr) {
    // d2i_X509 has freed what it was given.
    static_cast<void>(parsed.release());
    return nullptr;
  }
  return position == der.data() + der.size() ? std::move(parsed) : nullptr;
}

bool UseCertificate(SSL_CTX* context, const Certificate& certificate) {
  X509StackPtr issuers(sk_X509_new_null());
  X509Ptr leaf;
  for (const Bytes& der : certificate.chain) {
    X509Ptr parsed = ParseCertificate(der);
    if (parsed == nullptr || issuers == nullptr) return false;
    if (leaf == nullptr) {
      leaf = std::move(parsed);
    } else if (sk_X509_push(issuers.get(), parsed.get()) > 0) {
      static_cast<void>(parsed.release());
    }
  }
  const EVP_PKEY* public_key = leaf == nullptr ? nullptr : X509_get0_pubkey(leaf.get());
  const KeyPtr key = public_key == nullptr ? nullptr : NewDelegatedKey(public_key, certificate.key_index);
  // Never overrides: a second certificate of the same kind of key is an error of the configuration.
  return key != nullptr && SSL_CTX_use_cert_and_key(context, leaf.get(), key.get(), issuers.get(), 0) == 1 &&
         SSL_CTX_check_private_key(context) == 1;
}

std::string LowerCase(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

}  // namespace

std::shared_ptr<const ServerContext> ServerContext::Create(const ServerOptions& options, std::string* fault) {
  ERR_clear_error();
  std::shared_ptr<ServerContext> context(new ServerContext);
  for (const std::string& protocol : options.alpn_protocols) {
    if (protocol.empty() || protocol.size() > 255) {
      *fault = "application protocol: want 1 to 255 bytes, got " + std::to_string(protocol.size());
      return nullptr;
    }
    context->alpn_protocols_.push_back(static_cast<uint8_t>(protocol.size()));
    context->alpn_protocols_.insert(context->alpn_protocols_.end(), protocol.begin(), protocol.end());
  }
  for (const Credentials& credentials : options.credentials) {
    if (!context->Add(credentials, options, fault)) return nullptr;
  }
  if (context->default_ == nullptr) {
    *fault = "credentials: want a default, got none";
    return nullptr;
  }
  return context;
}

bool ServerContext::Add(const Credentials& credentials, const ServerOptions& options, std::string* fault) {
  if (credentials.certificates.empty()) {
    *fault = "certificates: want at least one, got none";
    return false;
  }
  SslContextPtr context = NewSslContext(options);
  if (context == nullptr) {
    *fault = "context: " + TakeErrorReason();
    return false;
  }
  for (const Certificate& certificate : credentials.certificates) {
    if (UseCertificate(context.get(), certificate)) continue;
    *fault = "certificate: " + TakeErrorReason();
    return false;
  }
  if (!alpn_protocols_.empty()) SSL_CTX_set_alpn_select_cb(context.get(), ChooseProtocol, this);
  if (credentials.server_names.empty()) {
    SSL_CTX_set_tlsext_servername_callback(context.get(), ChooseByServerName);
    SSL_CTX_set_tlsext_servername_arg(context.get(), this);
    default_ = std::move(context);
    return true;
  }
  for (const std::string& name : credentials.server_names) {
    SSL_CTX_up_ref(context.get());
    by_server_name_[LowerCase(name)].reset(context.get());
  }
  return true;
}

SSL_CTX* ServerContext::Find(const char* server_name) const {
  std::string name = LowerCase(server_name);
  auto found = by_server_name_.find(name);
  if (found == by_server_name_.end()) {
    const size_t dot = name.find('.');
    if (dot == std::string::npos) return nullptr;
    found = by_server_name_.find("*" + name.substr(dot));
  }
  return found == by_server_name_.end() ? nullptr : found->second.get();
}

int ServerContext::ChooseByServerName(SSL* ssl, int*, void* self) {
  const char* server_name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  SSL_CTX* context = server_name == nullptr ? nullptr : static_cast<const ServerContext*>(self)->Find(server_name);
  if (context == nullptr) return SSL_TLSEXT_ERR_NOACK;
  return SSL_set_SSL_CTX(ssl, context) == nullptr ? SSL_TLSEXT_ERR_ALERT_FATAL : SSL_TLSEXT_ERR_OK;
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
