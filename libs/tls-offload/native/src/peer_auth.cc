#include "peer_auth.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <utility>

#include "certificate.h"
#include "crl.h"
#include "provider.h"

namespace nest_hsm {
namespace {

// 112 bits: no SHA-1 in a chain, RSA from 2048, EC from 224.
constexpr int kAuthenticationLevel = 2;

bool HasRoot(const std::vector<X509Ptr>& certificates) {
  return std::any_of(certificates.begin(), certificates.end(),
                     [](const X509Ptr& each) { return X509_self_signed(each.get(), 0) == 1; });
}

NamesPtr SubjectsOf(const std::vector<X509Ptr>& certificates) {
  NamesPtr names(sk_X509_NAME_new_null());
  for (const X509Ptr& certificate : certificates) {
    NamePtr name(X509_NAME_dup(X509_get_subject_name(certificate.get())));
    if (names == nullptr || name == nullptr || sk_X509_NAME_push(names.get(), name.get()) <= 0) return nullptr;
    static_cast<void>(name.release());
  }
  return names;
}

Bytes DigestOf(const std::vector<Bytes>& parts) {
  const DigestContextPtr context(EVP_MD_CTX_new());
  Bytes digest(SHA256_DIGEST_LENGTH);
  bool complete = context != nullptr && EVP_DigestInit_ex2(context.get(), EVP_sha256(), nullptr) == 1;
  for (const Bytes& part : parts) {
    const uint64_t size = part.size();
    complete = complete && EVP_DigestUpdate(context.get(), &size, sizeof size) == 1 &&
               EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1;
  }
  return complete && EVP_DigestFinal_ex(context.get(), digest.data(), nullptr) == 1 ? digest : Bytes();
}

StorePtr NewStore(const std::vector<X509Ptr>& authorities) {
  StorePtr store(X509_STORE_new());
  for (const X509Ptr& authority : authorities) {
    if (store == nullptr || X509_STORE_add_cert(store.get(), authority.get()) != 1) return nullptr;
  }
  return store;
}

}  // namespace

bool PeerAuth::Update(const PeerAuthorities& options, std::vector<std::string>* faults, std::string* fault) {
  ERR_clear_error();
  std::vector<X509Ptr> authorities;
  for (const Bytes& der : options.authorities) {
    authorities.push_back(ParseCertificate({der.data(), der.size()}));
    if (authorities.back() == nullptr) {
      *fault = "authorities: want X.509 certificates, got certificate " + std::to_string(authorities.size()) + " that is none";
      return false;
    }
  }
  if (!HasRoot(authorities)) {
    *fault = "authorities: want a self-signed certificate at least, got none";
    return false;
  }
  std::vector<Crl> crls;
  // What was taken before goes first, and stays while its issuer is trusted.
  for (const Crl& before : crls_) {
    if (CrlIssuer(before.crl.get(), authorities) != nullptr) crls.push_back(before);
  }
  size_t position = 0;
  for (const Bytes& der : options.crls) {
    CrlReading reading = ReadCrl({der.data(), der.size()}, authorities);
    ++position;
    if (reading.fault.empty()) {
      const auto before = std::find_if(crls.begin(), crls.end(), [&](const Crl& each) { return each.scope == reading.scope; });
      if (before == crls.end()) {
        crls.push_back({std::move(reading.crl), std::move(reading.scope), std::move(reading.number)});
        continue;
      }
      if (!IsOlder(reading.crl.get(), reading.number.get(), before->crl.get(), before->number.get())) {
        *before = {std::move(reading.crl), std::move(reading.scope), std::move(reading.number)};
        continue;
      }
      reading.fault = "want one no older than the one in force, got an older one";
    }
    faults->push_back("CRL " + std::to_string(position) + ": " + reading.fault);
  }
  StorePtr store = NewStore(authorities);
  NamesPtr names = SubjectsOf(authorities);
  Bytes version = DigestOf(options.authorities);
  bool complete = store != nullptr && names != nullptr && !version.empty();
  for (const Crl& each : crls) complete = complete && each.crl != nullptr && X509_STORE_add_crl(store.get(), each.crl.get()) == 1;
  if (!complete) {
    *fault = "authorities: " + TakeErrorReason();
    return false;
  }
  authorities_ = std::move(authorities);
  crls_ = std::move(crls);
  store_ = std::move(store);
  names_ = std::move(names);
  version_ = std::move(version);
  ERR_clear_error();
  return true;
}

std::vector<CrlDescription> PeerAuth::crls() const {
  std::vector<CrlDescription> descriptions;
  for (const Crl& each : crls_) descriptions.push_back(DescribeCrl(each.crl.get()));
  return descriptions;
}

std::vector<Bytes> PeerAuth::EncodedCrls() const {
  std::vector<Bytes> encoded;
  for (const Crl& each : crls_) encoded.push_back(EncodeCrl(each.crl.get()));
  return encoded;
}

bool PeerAuth::Apply(SSL* ssl) const {
  SSL_set_verify(ssl, SSL_VERIFY_PEER | (settings_.required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
  SSL_set_max_cert_list(ssl, static_cast<long>(settings_.maximum_chain_bytes));
  if (settings_.peer == Peer::kServer) return true;
  STACK_OF(X509_NAME)* names = SSL_dup_CA_list(names_.get());
  if (names == nullptr) return false;
  SSL_set_client_CA_list(ssl, names);
  return true;
}

PeerAuth::Verdict PeerAuth::Verify(X509* leaf, STACK_OF(X509) * untrusted, const X509_VERIFY_PARAM* asked) {
  ERR_set_mark();
  Verdict verdict = Validate(leaf, untrusted, asked);
  // What went wrong is told by the verdict.
  ERR_pop_to_mark();
  if (verdict.error == X509_V_OK && !IsAllowed(leaf)) verdict = {X509_V_ERR_CERT_REJECTED, nullptr};
  if (verdict.error != X509_V_OK) ++refusals_[X509_verify_cert_error_string(verdict.error)];
  return verdict;
}

PeerAuth::Verdict PeerAuth::Validate(X509* leaf, STACK_OF(X509) * untrusted, const X509_VERIFY_PARAM* asked) const {
  const bool of_client = settings_.peer == Peer::kClient;
  // A CA's certificate names no client. A server may have one that it made itself, and that is trusted as it is.
  if (of_client && (X509_get_extension_flags(leaf) & EXFLAG_CA) != 0) return {X509_V_ERR_INVALID_PURPOSE, nullptr};
  const StoreContextPtr context(X509_STORE_CTX_new_ex(LibraryContext(), kPreferDefaultProvider));
  if (context == nullptr || store_ == nullptr || X509_STORE_CTX_init(context.get(), store_.get(), leaf, untrusted) != 1) {
    return {X509_V_ERR_OUT_OF_MEM, nullptr};
  }
  X509_VERIFY_PARAM* parameters = X509_STORE_CTX_get0_param(context.get());
  if (asked != nullptr && X509_VERIFY_PARAM_set1(parameters, asked) != 1) return {};
  if (X509_STORE_CTX_set_purpose(context.get(), of_client ? X509_PURPOSE_SSL_CLIENT : X509_PURPOSE_SSL_SERVER) != 1) return {};
  X509_VERIFY_PARAM_set_depth(parameters, settings_.maximum_intermediates);
  X509_VERIFY_PARAM_set_auth_level(parameters, kAuthenticationLevel);
  const unsigned long flags = settings_.check_crls ? X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL : 0;
  if (X509_VERIFY_PARAM_set_flags(parameters, flags) != 1) return {};
  if (X509_verify_cert(context.get()) == 1) return {X509_V_OK, X509StackPtr(X509_STORE_CTX_get1_chain(context.get()))};
  const int error = X509_STORE_CTX_get_error(context.get());
  return {error == X509_V_OK ? X509_V_ERR_UNSPECIFIED : error, nullptr};
}

bool PeerAuth::IsAllowed(const X509* leaf) const {
  return settings_.rules.empty() ||
         std::any_of(settings_.rules.begin(), settings_.rules.end(), [leaf](const ClientRule& rule) { return rule.Matches(leaf); });
}

int PeerAuth::VerifyCallback(X509_STORE_CTX* context, void* self) {
  auto* auth = static_cast<PeerAuth*>(self);
  const X509_VERIFY_PARAM* asked = auth->settings_.peer == Peer::kServer ? X509_STORE_CTX_get0_param(context) : nullptr;
  Verdict verdict = auth->Verify(X509_STORE_CTX_get0_cert(context), X509_STORE_CTX_get0_untrusted(context), asked);
  X509_STORE_CTX_set_error(context, verdict.error);
  if (verdict.error == X509_V_OK) {
    X509_STORE_CTX_set0_verified_chain(context, verdict.chain.release());
    return 1;
  }
  // First in the queue, it is the reason that the session tells of.
  ERR_raise_data(ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED, "%s", X509_verify_cert_error_string(verdict.error));
  return 0;
}

}  // namespace nest_hsm
