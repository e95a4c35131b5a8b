// What contexts of servers and of clients have in common: what may be negotiated, and certificates whose keys are delegated.
#pragma once

#include <string>
#include <vector>

#include "openssl.h"

namespace nest_hsm {

/// A chain, leaf first, in DER, and the number of the key that signs for its leaf.
struct Certificate {
  std::vector<Bytes> chain;
  uint32_t key_index = 0;
};

struct Negotiation {
  bool tls13_only = false;
  /// OpenSSL's lists, in order of preference: ciphers of TLS 1.2, cipher suites of TLS 1.3, groups, signature algorithms.
  std::string ciphers_tls12;
  std::string ciphers_tls13;
  std::string groups;
  std::string signature_algorithms;
};

/// TLS 1.2 and 1.3 without renegotiation, compression and any session that could be resumed.
/// @returns null when OpenSSL takes one of the lists not
SslContextPtr NewSslContext(const SSL_METHOD* method, const Negotiation& negotiation);

/// @returns the leaf, null when OpenSSL does not take the certificate
X509Ptr UseCertificate(SSL_CTX* context, const Certificate& certificate);

/// Length-prefixed, as on the wire (RFC 7301 §3.1). @returns false with the reason in `fault`
bool EncodeProtocols(const std::vector<std::string>& protocols, Bytes* encoded, std::string* fault);

}  // namespace nest_hsm
