#include "staple.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>

#include <cstring>
#include <ctime>
#include <utility>

#include "provider.h"
#include "server_entry.h"

namespace nest_hsm {
namespace {

// What clocks may differ by.
constexpr long kSkewSeconds = 300;

using BasicResponsePtr = std::unique_ptr<OCSP_BASICRESP, Deleter<OCSP_BASICRESP_free>>;
using CertIdPtr = std::unique_ptr<OCSP_CERTID, Deleter<OCSP_CERTID_free>>;
using RequestPtr = std::unique_ptr<OCSP_REQUEST, Deleter<OCSP_REQUEST_free>>;
using ResponsePtr = std::unique_ptr<OCSP_RESPONSE, Deleter<OCSP_RESPONSE_free>>;

/// The issuer is the trust anchor: the response is its own, or of a certificate that it issued for that purpose.
bool IsSignedFor(OCSP_BASICRESP* response, X509* issuer) {
  const StorePtr store(X509_STORE_new());
  const X509StackPtr issuers(sk_X509_new_null());
  if (store == nullptr || issuers == nullptr || X509_STORE_add_cert(store.get(), issuer) != 1 || X509_up_ref(issuer) != 1) return false;
  if (sk_X509_push(issuers.get(), issuer) <= 0) {
    X509_free(issuer);
    return false;
  }
  X509_VERIFY_PARAM_set_flags(X509_STORE_get0_param(store.get()), X509_V_FLAG_PARTIAL_CHAIN);
  return OCSP_basic_verify(response, issuers.get(), store.get(), 0) == 1;
}

OcspVerdict Faulty(std::string fault) {
  ERR_clear_error();
  OcspVerdict verdict;
  verdict.fault = std::move(fault);
  return verdict;
}

}  // namespace

const Bytes* Staple::Current() const {
  return !response_.empty() && static_cast<int64_t>(std::time(nullptr)) < until_ ? &response_ : nullptr;
}

void Staple::Serve(SSL_CTX* context) { SSL_CTX_set_tlsext_status_cb(context, ServeCallback); }

int Staple::ServeCallback(SSL* ssl, void*) {
  const X509* leaf = SSL_get_certificate(ssl);
  for (const ServerEntry::Certificate& certificate : ServerEntry::Of(ssl)->certificates) {
    if (certificate.leaf.get() != leaf || certificate.staple == nullptr) continue;
    const Bytes* response = certificate.staple->Current();
    if (response == nullptr) return SSL_TLSEXT_ERR_NOACK;
    auto* copy = static_cast<unsigned char*>(OPENSSL_memdup(response->data(), response->size()));
    if (copy == nullptr) return SSL_TLSEXT_ERR_NOACK;
    // The connection owns the copy.
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, static_cast<long>(response->size()));
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_NOACK;
}

Bytes OcspRequest(const X509* leaf, const X509* issuer) {
  const RequestPtr request(OCSP_REQUEST_new());
  // SHA-1 is what every responder knows (RFC 5019 §2.1.1); it only names the certificate here.
  CertIdPtr id(OCSP_cert_to_id(nullptr, leaf, issuer));
  if (request == nullptr || id == nullptr || OCSP_request_add0_id(request.get(), id.get()) == nullptr) return {};
  static_cast<void>(id.release());
  const int size = i2d_OCSP_REQUEST(request.get(), nullptr);
  if (size <= 0) return {};
  Bytes der(static_cast<size_t>(size));
  unsigned char* position = der.data();
  i2d_OCSP_REQUEST(request.get(), &position);
  return der;
}

OcspVerdict VerifyOcspResponse(ByteView der, X509* leaf, X509* issuer) {
  ERR_clear_error();
  const unsigned char* position = der.data;
  const ResponsePtr response(d2i_OCSP_RESPONSE(nullptr, &position, static_cast<long>(der.size)));
  if (response == nullptr || position != der.data + der.size) return Faulty("want an OCSP response, got something else");
  const int outcome = OCSP_response_status(response.get());
  if (outcome != OCSP_RESPONSE_STATUS_SUCCESSFUL) return Faulty(std::string("want a successful response, got ") + OCSP_response_status_str(outcome));
  const BasicResponsePtr basic(OCSP_response_get1_basic(response.get()));
  if (basic == nullptr) return Faulty("want a basic response, got another kind");
  if (!IsSignedFor(basic.get(), issuer)) return Faulty("want one signed for the certificate's issuer, got: " + TakeErrorReason());
  // Responders may name certificates by another hash than we did, and answer for several.
  for (int index = 0; index < OCSP_resp_count(basic.get()); ++index) {
    OCSP_SINGLERESP* single = OCSP_resp_get0(basic.get(), index);
    ASN1_OBJECT* algorithm = nullptr;
    if (OCSP_id_get0_info(nullptr, &algorithm, nullptr, nullptr, const_cast<OCSP_CERTID*>(OCSP_SINGLERESP_get0_id(single))) != 1) continue;
    const EVP_MD* hash = EVP_get_digestbyobj(algorithm);
    const CertIdPtr id(hash == nullptr ? nullptr : OCSP_cert_to_id(hash, leaf, issuer));
    if (id == nullptr || OCSP_id_cmp(id.get(), OCSP_SINGLERESP_get0_id(single)) != 0) continue;
    ASN1_GENERALIZEDTIME* this_update = nullptr;
    ASN1_GENERALIZEDTIME* next_update = nullptr;
    const int certificate_status = OCSP_single_get0_status(single, nullptr, nullptr, &this_update, &next_update);
    if (this_update == nullptr || next_update == nullptr) return Faulty("want one with nextUpdate, got one that never ends");
    if (OCSP_check_validity(this_update, next_update, kSkewSeconds, -1) != 1 || SecondsOf(next_update) <= std::time(nullptr)) {
      return Faulty("want one in force now, got: " + TakeErrorReason());
    }
    if (certificate_status != V_OCSP_CERTSTATUS_GOOD) {
      OcspVerdict verdict = Faulty(std::string("want the status good, got ") + OCSP_cert_status_str(certificate_status));
      verdict.is_revoked = certificate_status == V_OCSP_CERTSTATUS_REVOKED;
      verdict.this_update = SecondsOf(this_update);
      return verdict;
    }
    ERR_clear_error();
    return {"", false, SecondsOf(this_update), SecondsOf(next_update)};
  }
  return Faulty("want one about this certificate, got one about others");
}

}  // namespace nest_hsm
