// What the faces towards JavaScript share. Each concept has a file `bind_*.cc` that adds its own to the exports.
#pragma once

#include <napi.h>

#include <memory>
#include <string>

#include "client_context.h"
#include "forwarding.h"
#include "server_context.h"
#include "session.h"

namespace nest_hsm {

/// The last session that was described, and how.
struct DescribedSession {
  SessionDescription description;
  Napi::ObjectReference object;
};

/// The last signature that was wanted, but for what is signed: for most handshakes the same.
struct WantedSignature {
  uint32_t key_index = 0;
  /// Static.
  const char* scheme = nullptr;
  SignatureRequest::Input input = SignatureRequest::Input::kDigest;
  Napi::ObjectReference object;
};

/// What one Node environment (main thread, each worker) holds.
struct Environment {
  const std::shared_ptr<SessionCounters> counters = std::make_shared<SessionCounters>();
  std::unique_ptr<Forwardings> forwardings;
  DescribedSession described;
  WantedSignature wanted;

  static Environment& Of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }
};

void BindClientContext(Napi::Env env, Napi::Object exports);
void BindPeerAuth(Napi::Env env, Napi::Object exports);
void BindServerContext(Napi::Env env, Napi::Object exports);
void BindSession(Napi::Env env, Napi::Object exports);
void BindStaple(Napi::Env env, Napi::Object exports);
void BindTicketKeys(Napi::Env env, Napi::Object exports);
void BindForwarding(Napi::Env env, Napi::Object exports);

/// @returns the context of a `ServerContext` object, null for any other value
std::shared_ptr<const ServerContext> ServerContextOf(const Napi::Value& value);

/// The same of a `ClientContext`.
std::shared_ptr<const ClientContext> ClientContextOf(const Napi::Value& value);

/// @returns the session of a `Session` object, null for any other value
std::shared_ptr<Session> SessionOf(const Napi::Value& value);

/// What such an object of JavaScript holds, null for any other value.
std::shared_ptr<PeerAuth> PeerAuthOf(const Napi::Value& value);
std::shared_ptr<Staple> StapleOf(const Napi::Value& value);
std::shared_ptr<TicketKeys> TicketKeysOf(const Napi::Value& value);

inline void Throw(Napi::Env env, const std::string& message) { Napi::TypeError::New(env, message).ThrowAsJavaScriptException(); }

inline bool IsBytes(const Napi::Value& value) {
  return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
}

/// Empty for undefined.
inline ByteView ViewOf(const Napi::Value& value) {
  if (!IsBytes(value)) return {};
  const auto array = value.As<Napi::Uint8Array>();
  return {array.Data(), array.ByteLength()};
}

}  // namespace nest_hsm
