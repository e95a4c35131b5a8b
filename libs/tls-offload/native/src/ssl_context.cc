#include "ssl_context.h"

#include "certificate.h"
#include "provider.h"

namespace nest_hsm {
namespace {

// 112 bits: RSA from 2048, EC from 224.
constexpr int kSecurityLevel = 2;

}  // namespace

SslContextPtr NewSslContext(const SSL_METHOD* method, const Negotiation& negotiation) {
  SslContextPtr context(SSL_CTX_new_ex(LibraryContext(), kPreferDefaultProvider, method));
  if (context == nullptr) return nullptr;
  SSL_CTX* c = context.get();
  SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_security_level(c, kSecurityLevel);
  SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
  const bool complete = SSL_CTX_set_min_proto_version(c, negotiation.tls13_only ? TLS1_3_VERSION : TLS1_2_VERSION) == 1 &&
                        SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) == 1 &&
                        (negotiation.tls13_only || SSL_CTX_set_cipher_list(c, negotiation.ciphers_tls12.c_str()) == 1) &&
                        SSL_CTX_set_ciphersuites(c, negotiation.ciphers_tls13.c_str()) == 1 &&
                        SSL_CTX_set1_groups_list(c, negotiation.groups.c_str()) == 1 &&
                        SSL_CTX_set1_sigalgs_list(c, negotiation.signature_algorithms.c_str()) == 1;
  return complete ? std::move(context) : nullptr;
}

X509Ptr UseCertificate(SSL_CTX* context, const Certificate& certificate) {
  X509StackPtr issuers(sk_X509_new_null());
  X509Ptr leaf;
  for (const Bytes& der : certificate.chain) {
    X509Ptr parsed = ParseCertificate({der.data(), der.size()});
    if (parsed == nullptr || issuers == nullptr) return nullptr;
    if (leaf == nullptr) {
      leaf = std::move(parsed);
    } else if (sk_X509_push(issuers.get(), parsed.get()) > 0) {
      static_cast<void>(parsed.release());
    }
  }
  const EVP_PKEY* public_key = leaf == nullptr ? nullptr : X509_get0_pubkey(leaf.get());
  const KeyPtr key = public_key == nullptr ? nullptr : NewDelegatedKey(public_key, certificate.key_index);
  // Never overrides: a second certificate of the same kind of key is an error of the configuration.
  const bool used = key != nullptr && SSL_CTX_use_cert_and_key(context, leaf.get(), key.get(), issuers.get(), 0) == 1 &&
                    SSL_CTX_check_private_key(context) == 1;
  return used ? std::move(leaf) : nullptr;
}

bool EncodeProtocols(const std::vector<std::string>& protocols, Bytes* encoded, std::string* fault) {
  for (const std::string& protocol : protocols) {
    if (protocol.empty() || protocol.size() > 255) {
      *fault = "application protocol: want 1 to 255 bytes, got " + std::to_string(protocol.size());
      return false;
    }
    encoded->push_back(static_cast<uint8_t>(protocol.size()));
    encoded->insert(encoded->end(), protocol.begin(), protocol.end());
  }
  return true;
}

}  // namespace nest_hsm
