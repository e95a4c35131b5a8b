// Whose certificates peers may show: trust anchors, CRLs, and rules about the names in them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "openssl.h"

namespace nest_hsm {

/// A name that a client's certificate may have; one that matches suffices.
struct ClientRule {
  enum class Kind { kDns, kEmail, kUri, kSpiffe, kSubject };
  Kind kind = Kind::kDns;
  /// kDns: a host name, `*.` in front for one label. kEmail: a mailbox, or `@` and a domain. kUri: a URI, or one that ends in
  /// `/*` for all below. kSpiffe: the same, of a certificate with exactly one URI (SPIFFE X.509-SVID §2). kSubject: the whole
  /// subject as RFC 2253 writes it.
  std::string pattern;

  bool Matches(const X509* certificate) const;
};

struct PeerAuthorities {
  /// Roots, and intermediates that peers leave out, in DER.
  std::vector<Bytes> authorities;
  /// In DER. Those taken before stay unless newer ones are among these.
  std::vector<Bytes> crls;
};

/// What is in force of one issuer.
struct CrlDescription {
  std::string issuer;
  /// Seconds since the epoch.
  int64_t this_update = 0;
  int64_t next_update = 0;
};

/// What a server asks of clients' certificates, or a client of servers'. Used by the thread of one environment; its authorities and CRLs are replaced
/// between handshakes.
class PeerAuth {
 public:
  enum class Peer { kClient, kServer };
  struct Settings {
    /// Whose certificates: each has a purpose of its own (RFC 5280 §4.2.1.12).
    Peer peer = Peer::kClient;
    /// Else a client may show none; one that is shown must be right all the same. A server always shows one.
    bool required = true;
    /// Every certificate of a chain needs a CRL in force, of an issuer among the authorities.
    bool check_crls = false;
    /// Between the peer's certificate and the root.
    int maximum_intermediates = 4;
    size_t maximum_chain_bytes = 32 * 1024;
    /// Of clients. Empty: every one that an authority certifies.
    std::vector<ClientRule> rules;
  };

  explicit PeerAuth(Settings settings) : settings_(std::move(settings)) {}
  PeerAuth(const PeerAuth&) = delete;
  PeerAuth& operator=(const PeerAuth&) = delete;

  /// Takes what is sound of it. A CRL is not taken when it is malformed, a delta, of an issuer that is not among the
  /// authorities, or older than the one in force.
  /// @param faults  of CRLs that were not taken, `CRL n: want …, got …`
  /// @returns false with the reason in `fault` where the authorities cannot be used: then nothing has changed
  bool Update(const PeerAuthorities& options, std::vector<std::string>* faults, std::string* fault);

  const Settings& settings() const { return settings_; }
  std::vector<CrlDescription> crls() const;
  /// Those in force, in DER.
  std::vector<Bytes> EncodedCrls() const;
  /// 32 bytes that change with the authorities: what a resumption must not cross.
  const Bytes& version() const { return version_; }
  /// Certificates refused so far, by reason.
  const std::map<std::string, uint64_t>& refusals() const { return refusals_; }

  /// Makes one connection ask a client for its certificate, or hold a server to its own.
  bool Apply(SSL* ssl) const;

  struct Verdict {
    /// One of X509_V_*.
    int error = X509_V_ERR_UNSPECIFIED;
    /// Leaf first; empty unless accepted.
    X509StackPtr chain;
  };
  /// Path validation (RFC 5280 §6), revocation, and the rules, at this moment.
  /// @param asked  the name that a server's certificate has to have; null: none
  Verdict Verify(X509* leaf, STACK_OF(X509) * untrusted, const X509_VERIFY_PARAM* asked = nullptr);

  /// For SSL_CTX_set_cert_verify_callback: the same of what the peer has sent, and of the name that the connection is for. @param self  a PeerAuth
  static int VerifyCallback(X509_STORE_CTX* context, void* self);

 private:
  struct Crl {
    std::shared_ptr<X509_CRL> crl;
    /// Which CRLs it replaces: those of the same issuer and of the same distribution point.
    Bytes scope;
    /// Null where it has none.
    std::shared_ptr<ASN1_INTEGER> number;
  };

  Verdict Validate(X509* leaf, STACK_OF(X509) * untrusted, const X509_VERIFY_PARAM* asked) const;
  bool IsAllowed(const X509* leaf) const;

  const Settings settings_;
  std::vector<X509Ptr> authorities_;
  std::vector<Crl> crls_;
  StorePtr store_;
  NamesPtr names_;
  Bytes version_;
  std::map<std::string, uint64_t> refusals_;
};

}  // namespace nest_hsm
