// `Session` and `counters` towards JavaScript, described in src/addon.ts.
#include <utility>

#include "binding.h"
#include "read_value.h"

namespace nest_hsm {
namespace {

// Smaller output is copied: an external buffer costs more than the copy.
constexpr size_t kExternalBufferBytes = 16 * 1024;

constexpr napi_type_tag kSessionTag = {0x6e6573742d68736d, 0x746c732d73657373};

/// Reads `ServerIdentity` of src/addon.ts.
bool ReadServer(const Napi::Value& value, ServerIdentity* server) {
  if (!value.IsObject()) return false;
  const auto object = value.As<Napi::Object>();
  return ReadText(object.Get("name"), &server->name) && ReadFlag(object.Get("isAddress"), &server->is_address) &&
         ReadList(object.Get("alpnProtocols"), &server->alpn_protocols, ReadText);
}

class SessionObject : public Napi::ObjectWrap<SessionObject> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "Session",
                       {
                           InstanceMethod<&SessionObject::Handshake>("handshake"),
                           InstanceMethod<&SessionObject::SignatureWanted>("signatureWanted"),
                           InstanceMethod<&SessionObject::SignatureInput>("signatureInput"),
                           InstanceMethod<&SessionObject::Deliver>("deliver"),
                           InstanceMethod<&SessionObject::Read>("read"),
                           InstanceMethod<&SessionObject::HoldsBack>("holdsBack"),
                           InstanceMethod<&SessionObject::Write>("write"),
                           InstanceMethod<&SessionObject::Shutdown>("shutdown"),
                           InstanceMethod<&SessionObject::TakeOutput>("takeOutput"),
                           InstanceMethod<&SessionObject::Describe>("describe"),
                           InstanceMethod<&SessionObject::Failure>("failure"),
                           InstanceMethod<&SessionObject::VerifyResult>("verifyResult"),
                           InstanceMethod<&SessionObject::Close>("close"),
                       });
  }

  explicit SessionObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    info.This().As<Napi::Object>().TypeTag(&kSessionTag);
    auto counters = Environment::Of(info.Env()).counters;
    ServerIdentity server;
    std::string fault;
    if (const auto accepting = ServerContextOf(info[0])) {
      session_ = std::make_shared<Session>(accepting->NewSsl(), accepting, std::move(counters));
    } else if (const auto connecting = ClientContextOf(info[0]); connecting == nullptr || !ReadServer(info[1], &server)) {
      fault = "Session: want a ServerContext, or a ClientContext and a server";
    } else if (SslPtr ssl = connecting->NewSsl(server, &fault)) {
      session_ = std::make_shared<Session>(std::move(ssl), connecting, std::move(counters));
    }
    if (session_ == nullptr) Throw(info.Env(), fault);
  }

  const std::shared_ptr<Session>& session() const { return session_; }

 private:
  Napi::Value Handshake(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<int>(session_->Handshake(ViewOf(info[0]))));
  }

  Napi::Value SignatureWanted(const Napi::CallbackInfo& info) {
    const SignatureRequest* request = session_->PendingRequest();
    if (request == nullptr) return info.Env().Undefined();
    WantedSignature& last = Environment::Of(info.Env()).wanted;
    const bool known = !last.object.IsEmpty() && last.key_index == request->key_index && last.scheme == request->scheme &&
                       last.input == request->input;
    if (known) return last.object.Value();
    auto wanted = Napi::Object::New(info.Env());
    wanted["keyIndex"] = request->key_index;
    wanted["scheme"] = request->scheme;
    wanted["input"] = request->input == SignatureRequest::Input::kDigest ? "digest" : "message";
    wanted.Freeze();
    last = {request->key_index, request->scheme, request->input, Napi::Persistent(wanted)};
    return wanted;
  }

  Napi::Value SignatureInput(const Napi::CallbackInfo& info) {
    const SignatureRequest* request = session_->PendingRequest();
    if (request == nullptr) return info.Env().Undefined();
    return Napi::Buffer<uint8_t>::Copy(info.Env(), request->data.data(), request->data.size());
  }

  Napi::Value Deliver(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), session_->Deliver(ViewOf(info[0])));
  }

  Napi::Value Read(const Napi::CallbackInfo& info) {
    if (!IsBytes(info[1])) {
      Throw(info.Env(), "read: want a Uint8Array to read into");
      return info.Env().Undefined();
    }
    auto target = info[1].As<Napi::Uint8Array>();
    const Session::ReadResult result = session_->Read(ViewOf(info[0]), target.Data(), target.ByteLength());
    switch (result.state) {
      case Session::ReadState::kOpen:
        return Napi::Number::New(info.Env(), static_cast<double>(result.bytes));
      case Session::ReadState::kClosed:
        return Napi::Number::New(info.Env(), -1);
      case Session::ReadState::kFailed:
        return Napi::Number::New(info.Env(), -2);
    }
    return info.Env().Undefined();
  }

  Napi::Value HoldsBack(const Napi::CallbackInfo& info) { return Napi::Boolean::New(info.Env(), session_->holds_back()); }

  Napi::Value Write(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), session_->Write(ViewOf(info[0])));
  }

  Napi::Value Shutdown(const Napi::CallbackInfo& info) { return Napi::Boolean::New(info.Env(), session_->Shutdown()); }

  Napi::Value TakeOutput(const Napi::CallbackInfo& info) {
    Bytes output = session_->TakeOutput();
    if (output.empty()) return info.Env().Undefined();
    if (output.size() < kExternalBufferBytes) {
      return Napi::Buffer<uint8_t>::Copy(info.Env(), output.data(), output.size());
    }
    auto* owned = new Bytes(std::move(output));
    return Napi::Buffer<uint8_t>::NewOrCopy(
        info.Env(), owned->data(), owned->size(), [](Napi::Env, uint8_t*, Bytes* bytes) { delete bytes; }, owned);
  }

  /// Most connections negotiate the same, and share what says so.
  Napi::Value Describe(const Napi::CallbackInfo& info) {
    SessionDescription description = session_->Describe();
    DescribedSession& last = Environment::Of(info.Env()).described;
    if (!last.object.IsEmpty() && last.description == description) return last.object.Value();
    auto object = Napi::Object::New(info.Env());
    object["protocol"] = description.protocol;
    object["cipher"] = description.cipher;
    object["cipherStandardName"] = description.cipher_standard_name;
    object["cipherVersion"] = description.cipher_version;
    object["group"] = description.group;
    object["alpnProtocol"] = description.alpn_protocol;
    object["serverName"] = description.server_name;
    object["resumed"] = description.resumed;
    auto chain = Napi::Array::New(info.Env());
    for (const Bytes& der : description.peer_certificates) {
      chain[chain.Length()] = Napi::Buffer<uint8_t>::Copy(info.Env(), der.data(), der.size());
    }
    object["peerCertificates"] = chain;
    object.Freeze();
    chain.Freeze();
    if (description.peer_certificates.empty()) last = {std::move(description), Napi::Persistent(object)};
    return object;
  }

  Napi::Value Failure(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), session_->failure()); }

  Napi::Value VerifyResult(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), session_->verify_result()); }

  void Close(const Napi::CallbackInfo&) { session_->Close(); }

  std::shared_ptr<Session> session_;
};

Napi::Value Counters(const Napi::CallbackInfo& info) {
  const SessionCounters& counters = *Environment::Of(info.Env()).counters;
  auto object = Napi::Object::New(info.Env());
  object["liveSessions"] = counters.live_sessions;
  object["pausedJobs"] = counters.paused_jobs;
  return object;
}

}  // namespace

std::shared_ptr<Session> SessionOf(const Napi::Value& value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kSessionTag)) return nullptr;
  return SessionObject::Unwrap(value.As<Napi::Object>())->session();
}

void BindSession(Napi::Env env, Napi::Object exports) {
  exports["Session"] = SessionObject::Define(env);
  exports["counters"] = Napi::Function::New<Counters>(env, "counters");
}

}  // namespace nest_hsm
