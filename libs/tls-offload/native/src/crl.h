// CRLs (RFC 5280 §5) before they are trusted: whose they are, and which of two is the older.
#pragma once

#include <string>
#include <vector>

#include "peer_auth.h"
#include "openssl.h"

namespace nest_hsm {

struct CrlReading {
  CrlPtr crl;
  /// Issuer and distribution point: CRLs of one scope replace each other.
  Bytes scope;
  /// Null where it has none.
  IntegerPtr number;
  /// Empty unless it is not to be taken.
  std::string fault;
};

/// Reads a full CRL and verifies that one of the certificates signed it.
CrlReading ReadCrl(ByteView der, const std::vector<X509Ptr>& authorities);

/// @returns the certificate that signed it, null when none did
const X509* CrlIssuer(X509_CRL* crl, const std::vector<X509Ptr>& authorities);

/// By CRL number (RFC 5280 §5.2.3) where both have one, else and besides by thisUpdate.
bool IsOlder(const X509_CRL* crl, const ASN1_INTEGER* number, const X509_CRL* other, const ASN1_INTEGER* other_number);

/// @returns empty when out of memory
Bytes EncodeCrl(const X509_CRL* crl);

CrlDescription DescribeCrl(const X509_CRL* crl);

}  // namespace nest_hsm
