#include "ticket_keys.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>
#include <ctime>

#include "certificate.h"
#include "provider.h"
#include "server_entry.h"
#include "server_name.h"

namespace nest_hsm {
namespace {

// RFC 8446 §C.4: a client uses each ticket once.
constexpr size_t kTicketsPerHandshake = 2;
// A longer chain is not put into tickets; its clients authenticate anew each time. With the leaf, which the session has besides, the
// ticket fits one record (RFC 8446 §5.1): OpenSSL's clients, for one, can write nothing between the two halves of a message.
constexpr size_t kMaximumTicketChain = 8 * 1024;
constexpr size_t kLengthBytes = 3;
// What the clocks of replicas may differ by.
constexpr int64_t kSkewSeconds = 300;

int64_t Now() { return static_cast<int64_t>(std::time(nullptr)); }

/// RFC 8446 §4.2.1: no other version comes out of the negotiation when both sides have it.
bool OffersTls13(SSL* ssl) {
  const unsigned char* data = nullptr;
  size_t size = 0;
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_supported_versions, &data, &size) != 1) return false;
  for (size_t position = 1; position + 1 < size; position += 2) {
    if ((data[position] << 8 | data[position + 1]) == TLS1_3_VERSION) return true;
  }
  return false;
}

/// Each certificate behind its length, as in TLS's own Certificate message.
Bytes EncodeChain(const std::vector<Bytes>& chain) {
  Bytes encoded;
  for (const Bytes& der : chain) {
    for (size_t shift = kLengthBytes; shift-- > 0;) encoded.push_back(static_cast<uint8_t>(der.size() >> (8 * shift)));
    encoded.insert(encoded.end(), der.begin(), der.end());
  }
  return encoded;
}

std::vector<Bytes> DecodeChain(ByteView encoded) {
  std::vector<Bytes> chain;
  size_t position = 0;
  while (encoded.size - position >= kLengthBytes) {
    size_t size = 0;
    for (size_t index = 0; index < kLengthBytes; ++index) size = size << 8 | encoded.data[position++];
    if (size > encoded.size - position) return {};
    chain.emplace_back(encoded.data + position, encoded.data + position + size);
    position += size;
  }
  return chain;
}

/// Of our own in a ticket: the second of the full handshake, then the chain that its client was verified with.
ByteView TicketData(SSL_SESSION* session) {
  void* data = nullptr;
  size_t size = 0;
  if (session == nullptr || SSL_SESSION_get0_ticket_appdata(session, &data, &size) != 1 || size < sizeof(int64_t)) return {};
  return {static_cast<const uint8_t*>(data), size};
}

std::vector<Bytes> ChainOf(SSL_SESSION* session) {
  const ByteView data = TicketData(session);
  if (data.size == 0) return {};
  return DecodeChain({data.data + sizeof(int64_t), data.size - sizeof(int64_t)});
}

/// Each ticket is sealed anew, and OpenSSL counts its lifetime from then.
bool HasProvedItselfWithin(int64_t seconds, SSL_SESSION* session) {
  const ByteView data = TicketData(session);
  if (data.size == 0) return false;
  uint64_t second = 0;
  for (size_t index = 0; index < sizeof second; ++index) second = second << 8 | data.data[index];
  const auto proved_at = static_cast<int64_t>(second);
  const int64_t now = Now();
  return proved_at <= now + kSkewSeconds && now - seconds < proved_at;
}

using SessionContext = std::array<uint8_t, SSL_MAX_SID_CTX_LENGTH>;

/// A session of another context is not resumed: what a client proved for one name, or to other authorities, counts for nothing
/// here, and neither does what a server of another scope has proved to it.
bool MakeSessionContext(const ServerEntry& entry, const std::string& server_name, SessionContext* context) {
  static_assert(SSL_MAX_SID_CTX_LENGTH == 32, "a SHA-256 digest fits");
  const DigestContextPtr hash(EVP_MD_CTX_new());
  const Bytes none;
  const Bytes& version = entry.client_auth == nullptr ? none : entry.client_auth->version();
  return hash != nullptr && EVP_DigestInit_ex2(hash.get(), EVP_sha256(), nullptr) == 1 &&
         EVP_DigestUpdate(hash.get(), entry.ticket_scope.c_str(), entry.ticket_scope.size() + 1) == 1 &&
         EVP_DigestUpdate(hash.get(), server_name.c_str(), server_name.size() + 1) == 1 &&
         EVP_DigestUpdate(hash.get(), version.data(), version.size()) == 1 &&
         EVP_DigestFinal_ex(hash.get(), context->data(), nullptr) == 1;
}

/// OpenSSL looks at this too, but only after it has asked us.
bool IsOfThisContext(SSL* ssl, SSL_SESSION* session) {
  SessionContext context{};
  unsigned int size = 0;
  const unsigned char* other = SSL_SESSION_get0_id_context(session, &size);
  return MakeSessionContext(*ServerEntry::Of(ssl), OfferedServerName(ssl), &context) && size == context.size() &&
         std::memcmp(other, context.data(), size) == 0;
}

bool IsStillAccepted(PeerAuth* client_auth, SSL_SESSION* session) {
  X509* leaf = SSL_SESSION_get0_peer(session);
  if (leaf == nullptr) return !client_auth->settings().required;
  const std::vector<Bytes> chain = ChainOf(session);
  const X509StackPtr untrusted(sk_X509_new_null());
  if (untrusted == nullptr || chain.empty()) return false;
  for (const Bytes& der : chain) {
    X509Ptr certificate = ParseCertificate({der.data(), der.size()});
    if (certificate == nullptr || sk_X509_push(untrusted.get(), certificate.get()) <= 0) return false;
    static_cast<void>(certificate.release());
  }
  return client_auth->Verify(leaf, untrusted.get()).error == X509_V_OK;
}

}  // namespace

TicketKey::~TicketKey() {
  OPENSSL_cleanse(encryption.data(), encryption.size());
  OPENSSL_cleanse(authentication.data(), authentication.size());
}

const TicketKey* TicketKeys::Issuing() const {
  const int64_t now = Now();
  const auto found = std::find_if(keys_.begin(), keys_.end(), [now](const auto& key) { return key->issue_from <= now && now < key->issue_until; });
  return found == keys_.end() ? nullptr : found->get();
}

const TicketKey* TicketKeys::Named(const unsigned char* name) const {
  const int64_t now = Now();
  const auto found = std::find_if(keys_.begin(), keys_.end(), [now, name](const auto& key) {
    return now < key->accept_until && std::memcmp(key->name.data(), name, key->name.size()) == 0;
  });
  return found == keys_.end() ? nullptr : found->get();
}

void TicketKeys::Serve(SSL_CTX* context) {
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, Seal);
  SSL_CTX_set_session_ticket_cb(context, Issue, Accept, nullptr);
}

bool TicketKeys::Apply(SSL* ssl, const std::string& server_name) {
  const ServerEntry* entry = ServerEntry::Of(ssl);
  const TicketKeys* keys = entry->ticket_keys.get();
  const bool offered = keys != nullptr && !keys->keys_.empty() && OffersTls13(ssl);
  // TLS 1.2 would send a ticket that later connections share their secrets with.
  if (offered) {
    SSL_clear_options(ssl, SSL_OP_NO_TICKET);
  } else {
    SSL_set_options(ssl, SSL_OP_NO_TICKET);
  }
  if (SSL_set_num_tickets(ssl, offered && keys->Issuing() != nullptr ? kTicketsPerHandshake : 0) != 1) return false;
  SessionContext context{};
  return MakeSessionContext(*entry, server_name, &context) && SSL_set_session_id_context(ssl, context.data(), context.size()) == 1;
}

/// AES-256-CBC, then HMAC-SHA-256 (RFC 5077 §4), both done by OpenSSL. @returns as SSL_CTX_set_tlsext_ticket_key_evp_cb(3) says
int TicketKeys::Seal(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int encrypt) {
  const TicketKeys* keys = ServerEntry::Of(ssl)->ticket_keys.get();
  const TicketKey* key = keys == nullptr ? nullptr : encrypt == 1 ? keys->Issuing() : keys->Named(name);
  // There may have been one when the handshake began: it goes on without a ticket.
  if (key == nullptr) return 0;
  if (encrypt == 1) {
    std::memcpy(name, key->name.data(), key->name.size());
    if (RAND_bytes_ex(LibraryContext(), iv, 16, 0) != 1) return -1;
  }
  char digest[] = OSSL_DIGEST_NAME_SHA2_256;
  const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
  const bool ready = EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key->encryption.data(), iv, encrypt) == 1 &&
                     EVP_MAC_init(mac, key->authentication.data(), key->authentication.size(), parameters) == 1;
  return ready ? 1 : -1;
}

/// Before a ticket is sealed: it takes along when its client proved itself, and with what. One that came with a ticket has that
/// of the ticket's, which its session holds already.
int TicketKeys::Issue(SSL* ssl, void*) {
  if (SSL_session_reused(ssl) == 1) return 1;
  Bytes data;
  for (size_t shift = sizeof(int64_t); shift-- > 0;) data.push_back(static_cast<uint8_t>(Now() >> (8 * shift)));
  const Bytes chain = EncodeChain(VerifiedChain(ssl));
  if (chain.size() <= kMaximumTicketChain) data.insert(data.end(), chain.begin(), chain.end());
  return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), data.data(), data.size());
}

/// The client's certificate is judged as if it had just been shown, by the authorities, CRLs and rules of now.
SSL_TICKET_RETURN TicketKeys::Accept(SSL* ssl, SSL_SESSION* session, const unsigned char*, size_t, SSL_TICKET_STATUS status, void*) {
  // Whoever is refused gets new tickets after its full handshake.
  if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) return SSL_TICKET_RETURN_IGNORE_RENEW;
  const ServerEntry* entry = ServerEntry::Of(ssl);
  // Before any certificate is verified: a client may offer tickets by the dozen.
  const bool ours = entry->ticket_keys != nullptr && HasProvedItselfWithin(entry->ticket_keys->session_seconds_, session) &&
                    IsOfThisContext(ssl, session);
  if (!ours) return SSL_TICKET_RETURN_IGNORE_RENEW;
  PeerAuth* client_auth = entry->client_auth.get();
  const bool accepted = client_auth == nullptr ? SSL_SESSION_get0_peer(session) == nullptr : IsStillAccepted(client_auth, session);
  // Renewed, since each is to be used once.
  return accepted ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_IGNORE_RENEW;
}

std::vector<Bytes> VerifiedChain(SSL* ssl) {
  if (SSL_session_reused(ssl) == 1) return ChainOf(SSL_get_session(ssl));
  const STACK_OF(X509)* chain = SSL_get0_verified_chain(ssl);
  std::vector<Bytes> encoded;
  for (int index = 0; chain != nullptr && index < sk_X509_num(chain); ++index) {
    encoded.push_back(EncodeCertificate(sk_X509_value(chain, index)));
  }
  return encoded;
}

}  // namespace nest_hsm
