#include "crl.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <utility>

#include "provider.h"

namespace nest_hsm {
namespace {

void Append(Bytes* bytes, const unsigned char* data, size_t size) { bytes->insert(bytes->end(), data, data + size); }

/// The issuer's name as in its certificates, and the issuingDistributionPoint (RFC 5280 §5.2.5) as it is written.
Bytes ScopeOf(const X509_CRL* crl, const X509* issuer) {
  Bytes scope(SHA256_DIGEST_LENGTH);
  unsigned int size = 0;
  if (X509_pubkey_digest(issuer, EVP_sha256(), scope.data(), &size) != 1) return {};
  const unsigned char* name = nullptr;
  size_t name_size = 0;
  if (X509_NAME_get0_der(X509_CRL_get_issuer(crl), &name, &name_size) != 1) return {};
  Append(&scope, name, name_size);
  const int index = X509_CRL_get_ext_by_NID(crl, NID_issuing_distribution_point, -1);
  if (index >= 0) {
    const ASN1_OCTET_STRING* value = X509_EXTENSION_get_data(X509_CRL_get_ext(crl, index));
    Append(&scope, ASN1_STRING_get0_data(value), static_cast<size_t>(ASN1_STRING_length(value)));
  }
  return scope;
}

}  // namespace

CrlReading ReadCrl(ByteView der, const std::vector<X509Ptr>& authorities) {
  CrlReading reading;
  CrlPtr crl(X509_CRL_new_ex(LibraryContext(), kPreferDefaultProvider));
  const unsigned char* position = der.data;
  X509_CRL* target = crl.get();
  if (target == nullptr || d2i_X509_CRL(&target, &position, static_cast<long>(der.size)) == nullptr) {
    // d2i_X509_CRL has freed what it was given.
    static_cast<void>(crl.release());
  }
  ERR_clear_error();
  if (crl == nullptr || position != der.data + der.size) {
    reading.fault = "want a CRL (RFC 5280), got something else";
    return reading;
  }
  if (X509_CRL_get_ext_by_NID(crl.get(), NID_delta_crl, -1) >= 0) {
    reading.fault = "want a full CRL, got a delta";
    return reading;
  }
  const X509* issuer = CrlIssuer(crl.get(), authorities);
  if (issuer == nullptr) {
    reading.fault = "want one signed by an authority of the bundle, got one that none of them signed";
    return reading;
  }
  if (X509_CRL_get0_nextUpdate(crl.get()) == nullptr) {
    reading.fault = "want one with nextUpdate, got one that never ends";
    return reading;
  }
  reading.scope = ScopeOf(crl.get(), issuer);
  reading.number.reset(static_cast<ASN1_INTEGER*>(X509_CRL_get_ext_d2i(crl.get(), NID_crl_number, nullptr, nullptr)));
  reading.crl = std::move(crl);
  return reading;
}

const X509* CrlIssuer(X509_CRL* crl, const std::vector<X509Ptr>& authorities) {
  for (const X509Ptr& authority : authorities) {
    if (X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(authority.get())) != 0) continue;
    if (X509_CRL_verify(crl, X509_get0_pubkey(authority.get())) == 1) return authority.get();
  }
  ERR_clear_error();
  return nullptr;
}

bool IsOlder(const X509_CRL* crl, const ASN1_INTEGER* number, const X509_CRL* other, const ASN1_INTEGER* other_number) {
  // Once numbered, a CRL without a number cannot be told from an old one.
  if (number == nullptr && other_number != nullptr) return true;
  if (number != nullptr && other_number != nullptr && ASN1_INTEGER_cmp(number, other_number) < 0) return true;
  return ASN1_TIME_compare(X509_CRL_get0_lastUpdate(crl), X509_CRL_get0_lastUpdate(other)) < 0;
}

Bytes EncodeCrl(const X509_CRL* crl) {
  const int size = i2d_X509_CRL(crl, nullptr);
  if (size <= 0) return {};
  Bytes der(static_cast<size_t>(size));
  unsigned char* position = der.data();
  return i2d_X509_CRL(crl, &position) == size ? der : Bytes();
}

CrlDescription DescribeCrl(const X509_CRL* crl) {
  char issuer[256];
  X509_NAME_oneline(X509_CRL_get_issuer(crl), issuer, sizeof issuer);
  return {issuer, SecondsOf(X509_CRL_get0_lastUpdate(crl)), SecondsOf(X509_CRL_get0_nextUpdate(crl))};
}

}  // namespace nest_hsm
