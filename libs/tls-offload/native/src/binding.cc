// The face towards JavaScript, described in src/addon.ts. One instance per Node environment (main thread, each worker).
#include <napi.h>

#include <memory>
#include <utility>

#include "self_test.h"
#include "server_context.h"
#include "session.h"

namespace nest_hsm {
namespace {

// Smaller output is copied: an external buffer costs more than the copy.
constexpr size_t kExternalBufferBytes = 16 * 1024;

constexpr napi_type_tag kServerContextTag = {0x6e6573742d68736d, 0x746c732d636f6e74};

struct Environment {
  const std::shared_ptr<SessionCounters> counters = std::make_shared<SessionCounters>();
};

void Throw(Napi::Env env, const std::string& message) { Napi::TypeError::New(env, message).ThrowAsJavaScriptException(); }

bool IsBytes(const Napi::Value& value) {
  return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
}

/// Empty for undefined.
ByteView ViewOf(const Napi::Value& value) {
  if (!IsBytes(value)) return {};
  const auto array = value.As<Napi::Uint8Array>();
  return {array.Data(), array.ByteLength()};
}

/// Reads `{ credentials: [{ serverNames, certificates: [{ chain, keyIndex }] }], alpnProtocols, tls13Only }`.
class OptionsReader {
 public:
  bool Read(const Napi::Value& value, ServerOptions* options) {
    if (!value.IsObject()) return false;
    const auto object = value.As<Napi::Object>();
    const Napi::Value tls13_only = object.Get("tls13Only");
    if (!tls13_only.IsBoolean()) return false;
    options->tls13_only = tls13_only.As<Napi::Boolean>();
    return ReadTexts(object.Get("alpnProtocols"), &options->alpn_protocols) &&
           ReadEach(object.Get("credentials"), [options](const Napi::Value& each) {
             options->credentials.emplace_back();
             return ReadCredentials(each, &options->credentials.back());
           });
  }

 private:
  template <typename Item>
  static bool ReadEach(const Napi::Value& value, Item item) {
    if (!value.IsArray()) return false;
    const auto array = value.As<Napi::Array>();
    for (uint32_t index = 0; index < array.Length(); ++index) {
      if (!item(array.Get(index))) return false;
    }
    return true;
  }

  static bool ReadTexts(const Napi::Value& value, std::vector<std::string>* texts) {
    return ReadEach(value, [texts](const Napi::Value& each) {
      if (!each.IsString()) return false;
      texts->push_back(each.As<Napi::String>());
      return true;
    });
  }

  static bool ReadCredentials(const Napi::Value& value, Credentials* credentials) {
    if (!value.IsObject()) return false;
    const auto object = value.As<Napi::Object>();
    return ReadTexts(object.Get("serverNames"), &credentials->server_names) &&
           ReadEach(object.Get("certificates"), [credentials](const Napi::Value& each) {
             credentials->certificates.emplace_back();
             return ReadCertificate(each, &credentials->certificates.back());
           });
  }

  static bool ReadCertificate(const Napi::Value& value, Certificate* certificate) {
    if (!value.IsObject()) return false;
    const auto object = value.As<Napi::Object>();
    const Napi::Value key_index = object.Get("keyIndex");
    if (!key_index.IsNumber()) return false;
    certificate->key_index = key_index.As<Napi::Number>();
    return ReadEach(object.Get("chain"), [certificate](const Napi::Value& each) {
      if (!IsBytes(each)) return false;
      const ByteView view = ViewOf(each);
      certificate->chain.emplace_back(view.data, view.data + view.size);
      return true;
    });
  }
};

class ServerContextObject : public Napi::ObjectWrap<ServerContextObject> {
 public:
  static Napi::Function Define(Napi::Env env) { return DefineClass(env, "ServerContext", {}); }

  explicit ServerContextObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    info.This().As<Napi::Object>().TypeTag(&kServerContextTag);
    ServerOptions options;
    std::string fault;
    if (!OptionsReader().Read(info[0], &options)) {
      fault = info.Env().IsExceptionPending() ? "" : "ServerContext: want { credentials, alpnProtocols, tls13Only }";
    } else {
      context_ = ServerContext::Create(options, &fault);
    }
    if (!fault.empty()) Throw(info.Env(), fault);
  }

  const std::shared_ptr<const ServerContext>& context() const { return context_; }

 private:
  std::shared_ptr<const ServerContext> context_;
};

class SessionObject : public Napi::ObjectWrap<SessionObject> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "Session",
                       {
                           InstanceMethod<&SessionObject::Handshake>("handshake"),
                           InstanceMethod<&SessionObject::SignatureWanted>("signatureWanted"),
                           InstanceMethod<&SessionObject::Deliver>("deliver"),
                           InstanceMethod<&SessionObject::Read>("read"),
                           InstanceMethod<&SessionObject::Write>("write"),
                           InstanceMethod<&SessionObject::Shutdown>("shutdown"),
                           InstanceMethod<&SessionObject::TakeOutput>("takeOutput"),
                           InstanceMethod<&SessionObject::Describe>("describe"),
                           InstanceMethod<&SessionObject::Failure>("failure"),
                           InstanceMethod<&SessionObject::Close>("close"),
                       });
  }

  explicit SessionObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    const bool tagged = info[0].IsObject() && info[0].As<Napi::Object>().CheckTypeTag(&kServerContextTag);
    const auto* context = tagged ? ServerContextObject::Unwrap(info[0].As<Napi::Object>()) : nullptr;
    if (context == nullptr || context->context() == nullptr) {
      Throw(info.Env(), "Session: want a ServerContext");
      return;
    }
    session_ = std::make_unique<Session>(context->context(), info.Env().GetInstanceData<Environment>()->counters);
  }

 private:
  Napi::Value Handshake(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<int>(session_->Handshake(ViewOf(info[0]))));
  }

  Napi::Value SignatureWanted(const Napi::CallbackInfo& info) {
    const SignatureRequest* request = session_->PendingRequest();
    if (request == nullptr) return info.Env().Undefined();
    auto wanted = Napi::Object::New(info.Env());
    wanted["keyIndex"] = request->key_index;
    wanted["scheme"] = request->scheme;
    wanted["input"] = request->input == SignatureRequest::Input::kDigest ? "digest" : "message";
    wanted["data"] = Napi::Buffer<uint8_t>::Copy(info.Env(), request->data.data(), request->data_size);
    return wanted;
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

  Napi::Value Describe(const Napi::CallbackInfo& info) {
    const SessionDescription description = session_->Describe();
    auto object = Napi::Object::New(info.Env());
    object["protocol"] = description.protocol;
    object["cipher"] = description.cipher;
    object["cipherStandardName"] = description.cipher_standard_name;
    object["cipherVersion"] = description.cipher_version;
    object["group"] = description.group;
    object["alpnProtocol"] = description.alpn_protocol;
    object["serverName"] = description.server_name;
    return object;
  }

  Napi::Value Failure(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), session_->failure()); }

  void Close(const Napi::CallbackInfo&) { session_->Close(); }

  std::unique_ptr<Session> session_;
};

Napi::Value Counters(const Napi::CallbackInfo& info) {
  const SessionCounters& counters = *info.Env().GetInstanceData<Environment>()->counters;
  auto object = Napi::Object::New(info.Env());
  object["liveSessions"] = counters.live_sessions;
  object["pausedJobs"] = counters.paused_jobs;
  return object;
}

Napi::Object Initialize(Napi::Env env, Napi::Object exports) {
  const std::string fault = SelfTest();
  if (!fault.empty()) {
    Throw(env, fault);
    return exports;
  }
  env.SetInstanceData(new Environment);
  exports["ServerContext"] = ServerContextObject::Define(env);
  exports["Session"] = SessionObject::Define(env);
  exports["counters"] = Napi::Function::New<Counters>(env, "counters");
  return exports;
}

NODE_API_MODULE(tls_offload, Initialize)

}  // namespace
}  // namespace nest_hsm
