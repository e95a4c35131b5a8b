// OCSP stapling (RFC 6066 §8): what is sent with a certificate, and the request and response of RFC 6960 behind it.
#pragma once

#include <string>

#include "openssl.h"

namespace nest_hsm {

/// The response that goes with one certificate, replaced between handshakes.
class Staple {
 public:
  /// @param until  seconds since the epoch after which it is served no more, whatever happens here
  void Set(Bytes response, int64_t until) {
    response_ = std::move(response);
    until_ = until;
  }
  /// Null when there is none to serve now.
  const Bytes* Current() const;

  /// Sends the staple of the certificate that the handshake uses, to a client that asks for one.
  static void Serve(SSL_CTX* context);

 private:
  static int ServeCallback(SSL* ssl, void*);

  Bytes response_;
  int64_t until_ = 0;
};

/// A request for the status of one certificate (RFC 6960 §4.1), without a nonce: responders answer from a cache.
/// @returns empty when the certificates cannot be used
Bytes OcspRequest(const X509* leaf, const X509* issuer);

struct OcspVerdict {
  /// Empty, or why it must not be stapled.
  std::string fault;
  /// The responder says that the certificate is revoked.
  bool is_revoked = false;
  /// Seconds since the epoch; of a response that is good or revoked.
  int64_t this_update = 0;
  int64_t next_update = 0;
};

/// Whether the response says, in force now and signed by the issuer or whom it delegated to (RFC 6960 §4.2.2.2), that the
/// certificate is good.
OcspVerdict VerifyOcspResponse(ByteView der, X509* leaf, X509* issuer);

}  // namespace nest_hsm
