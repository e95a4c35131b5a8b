// A signature that OpenSSL wants and somebody else makes: the meeting point of the fibre that runs a handshake and the
// thread that drives it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "openssl.h"

namespace nest_hsm {

/// Made on the fibre, which waits in AwaitSignature() for as long as the request is pending. It dies when the fibre
/// goes on, so whatever leaves the driving thread is copied.
struct SignatureRequest {
  enum class State { kPending, kDelivered, kFailed };
  enum class Input { kDigest, kMessage };

  /// Which of the application's keys signs.
  uint32_t key_index = 0;
  /// The name under which the HSM provider knows the scheme, e.g. `rsa-pss-sha256`. Static.
  const char* scheme = nullptr;
  Input input = Input::kDigest;
  /// A digest, or for Ed25519 what TLS signs: 146 bytes at most in TLS 1.3 (RFC 8446 §4.4.3); in TLS 1.2 two randoms and the
  /// ECDHE parameters of a server, and all messages of the handshake before it of a client (RFC 5246 §7.4.8).
  Bytes data;

  State state = State::kPending;
  Bytes signature;
};

/// While it lives, a signature wanted by a libssl call on this thread is announced in the slot. The slot's owner resumes
/// the call once it has set the request's state. Nothing of Node-API may be called on the fibre.
class SigningScope {
 public:
  explicit SigningScope(SignatureRequest** slot);
  ~SigningScope();
  SigningScope(const SigningScope&) = delete;
  SigningScope& operator=(const SigningScope&) = delete;
};

/// On the fibre: announces the request and pauses until it is no longer pending.
/// @returns false when it failed, or when nobody drives this thread
bool AwaitSignature(SignatureRequest& request);

}  // namespace nest_hsm
