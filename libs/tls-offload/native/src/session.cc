#include "session.h"

#include <openssl/err.h>

#include <algorithm>
#include <utility>

#include "server_name.h"
#include "ticket_keys.h"

namespace nest_hsm {
namespace {

// What 16 KiB of plaintext grows by: header, content type, nonce and tag (RFC 8446 §5.2), and the record's share of more.
constexpr size_t kRecordBytes = 16 * 1024;
constexpr size_t kRecordOverhead = 64;
// An AES-GCM key is good for 2^24.5 full records (RFC 8446 §5.5).
constexpr uint64_t kRecordsPerKey = NEST_HSM_RECORDS_PER_KEY;

std::string Text(const char* text) { return text == nullptr ? std::string() : std::string(text); }

}  // namespace

Session::Session(SslPtr ssl, std::shared_ptr<const void> context, std::shared_ptr<SessionCounters> counters)
    : context_(std::move(context)), counters_(std::move(counters)), ssl_(std::move(ssl)) {
  ++counters_->live_sessions;
  BIO* bio = ssl_ == nullptr ? nullptr : bio_.NewBio();
  if (bio == nullptr) {
    Fail(TakeErrorReason());
    return;
  }
  SSL_set_bio(ssl_.get(), bio, bio);
  // An idle connection holds no record buffers, of 16 KiB each.
  SSL_set_mode(ssl_.get(), SSL_MODE_ASYNC | SSL_MODE_RELEASE_BUFFERS);
}

Session::Progress Session::Handshake(ByteView input) {
  if (failed_) return Progress::kFailed;
  bio_.Feed(input);
  const bool is_done = secure_ && !holds_back();
  Progress progress = is_done ? Progress::kSecure : PendingRequest() != nullptr ? Progress::kWantSignature : Advance();
  if (!bio_.KeepLeftOver()) {
    Fail("too much data during the handshake");
    progress = Progress::kFailed;
  }
  return progress;
}

const SignatureRequest* Session::PendingRequest() const {
  return pending_ != nullptr && pending_->state == SignatureRequest::State::kPending ? pending_ : nullptr;
}

bool Session::Deliver(ByteView signature) {
  if (PendingRequest() == nullptr) return false;
  pending_->signature.assign(signature.data, signature.data + signature.size);
  pending_->state = signature.size == 0 ? SignatureRequest::State::kFailed : SignatureRequest::State::kDelivered;
  return true;
}

/// Runs the handshake until it wants something, on a fibre of its own as long as SSL_MODE_ASYNC is set.
Session::Progress Session::Advance() {
  ERR_clear_error();
  if (std::exchange(pending_, nullptr) != nullptr) --counters_->paused_jobs;
  int result;
  {
    const SigningScope scope(&pending_);
    result = SSL_do_handshake(ssl_.get());
  }
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_NONE:
      secure_ = true;
      // Reading and writing need no fibre.
      SSL_clear_mode(ssl_.get(), SSL_MODE_ASYNC);
      return Progress::kSecure;
    case SSL_ERROR_WANT_READ:
      return Progress::kWantInput;
    case SSL_ERROR_WANT_ASYNC:
      ++counters_->paused_jobs;
      return Progress::kWantSignature;
    default:
      Fail(TakeErrorReason());
      return Progress::kFailed;
  }
}

bool Session::Keep(ByteView input) {
  bio_.Feed(input);
  return bio_.KeepLeftOver();
}

Session::ReadResult Session::Read(ByteView input, uint8_t* plaintext, size_t capacity) {
  if (!secure_ || failed_) return {ReadState::kFailed, 0};
  bio_.Feed(input);
  ERR_clear_error();
  ReadState state = ReadState::kOpen;
  size_t total = 0;
  while (total < capacity) {
    size_t bytes = 0;
    const int result = SSL_read_ex(ssl_.get(), plaintext + total, capacity - total, &bytes);
    total += bytes;
    if (result == 1) continue;
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_ZERO_RETURN && holds_back()) {
      Fail("close_notify in the middle of a handshake message");
      state = ReadState::kFailed;
    } else if (error == SSL_ERROR_ZERO_RETURN) {
      state = ReadState::kClosed;
    } else if (error != SSL_ERROR_WANT_READ) {
      Fail(TakeErrorReason());
      state = ReadState::kFailed;
    }
    break;
  }
  if (!bio_.KeepLeftOver()) {
    Fail("too much data unread");
    state = ReadState::kFailed;
  }
  // What was decrypted before the end is delivered first; the end is met again by the next call.
  return {total > 0 ? ReadState::kOpen : state, total};
}

bool Session::Write(ByteView plaintext) {
  if (!secure_ || failed_) return false;
  bio_.ReserveOutput(plaintext.size + (plaintext.size / kRecordBytes + 1) * kRecordOverhead);
  ERR_clear_error();
  while (plaintext.size > 0) {
    // A record at a time, so that the last one is known: output that goes out at once is cut into segments after it.
    const size_t size = std::min(plaintext.size, kRecordBytes);
    bio_.ExpectMore(size < plaintext.size);
    size_t written = 0;
    if (!RenewWornKey() || SSL_write_ex(ssl_.get(), plaintext.data, size, &written) != 1 || written != size) {
      Fail(TakeErrorReason());
      return false;
    }
    plaintext = {plaintext.data + size, plaintext.size - size};
  }
  return true;
}

/// Before each record. TLS 1.2 has no way to.
bool Session::RenewWornKey() {
  if (++records_of_key_ <= kRecordsPerKey || SSL_version(ssl_.get()) != TLS1_3_VERSION) return true;
  records_of_key_ = 1;
  return SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED) == 1;
}

bool Session::Shutdown() {
  if (!secure_ || failed_) return false;
  ERR_clear_error();
  if (SSL_shutdown(ssl_.get()) >= 0) return true;
  Fail(TakeErrorReason());
  return false;
}

SessionDescription Session::Describe() const {
  SessionDescription description;
  if (ssl_ == nullptr) return description;
  const SSL_CIPHER* cipher = SSL_get_current_cipher(ssl_.get());
  const unsigned char* protocol = nullptr;
  unsigned int protocol_size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &protocol, &protocol_size);
  description.protocol = Text(SSL_get_version(ssl_.get()));
  if (cipher != nullptr) {
    description.cipher = Text(SSL_CIPHER_get_name(cipher));
    description.cipher_standard_name = Text(SSL_CIPHER_standard_name(cipher));
    description.cipher_version = Text(SSL_CIPHER_get_version(cipher));
  }
  description.group = Text(SSL_get0_group_name(ssl_.get()));
  if (protocol_size > 0) description.alpn_protocol.assign(reinterpret_cast<const char*>(protocol), protocol_size);
  description.resumed = SSL_session_reused(ssl_.get()) == 1;
  description.peer_certificates = VerifiedChain(ssl_.get());
  description.server_name = PlainServerName(Text(SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name)));
  return description;
}

void Session::Fail(std::string reason) {
  failed_ = true;
  if (failure_.empty()) failure_ = std::move(reason);
}

void Session::Close() {
  if (std::exchange(closed_, true)) return;
  while (pending_ != nullptr) {
    pending_->state = SignatureRequest::State::kFailed;
    Advance();
  }
  ssl_.reset();
  Fail("closed");
  --counters_->live_sessions;
}

}  // namespace nest_hsm
