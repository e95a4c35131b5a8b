// The face towards JavaScript, described in src/agent/child/pkcs11/token-calls.ts.
#include <napi.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "call.h"
#include "call_threads.h"
#include "pkcs11_module.h"

namespace nest_hsm {
namespace {

void Throw(Napi::Env env, const std::string& message) { Napi::TypeError::New(env, message).ThrowAsJavaScriptException(); }

bool IsBytes(const Napi::Value& value) {
  return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
}

ByteView ViewOf(const Napi::Value& value) {
  const auto array = value.As<Napi::Uint8Array>();
  return {array.Data(), array.ByteLength()};
}

/// Handles are the bytes of a CK_ULONG, as the other binding has them.
bool ReadHandle(const Napi::Value& value, CK_ULONG* handle) {
  if (!IsBytes(value)) return false;
  const ByteView bytes = ViewOf(value);
  if (bytes.size != sizeof *handle) return false;
  std::memcpy(handle, bytes.data, sizeof *handle);
  return true;
}

bool ReadNumber(const Napi::Value& value, CK_ULONG* number) {
  if (!value.IsNumber()) return false;
  const int64_t read = value.As<Napi::Number>().Int64Value();
  *number = static_cast<CK_ULONG>(read);
  return read >= 0;
}

/// `new TokenCalls(modulePath, settled)`: a module that is loaded and initialised, and who is told of results.
class TokenCalls : public Napi::ObjectWrap<TokenCalls> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "TokenCalls",
                       {InstanceMethod<&TokenCalls::Start>("start"), InstanceMethod<&TokenCalls::Close>("close")});
  }

  explicit TokenCalls(const Napi::CallbackInfo& info) : Napi::ObjectWrap<TokenCalls>(info), env_(info.Env()) {
    if (!info[0].IsString() || !info[1].IsFunction()) {
      Throw(env_, "TokenCalls: want a path and a function");
      return;
    }
    std::string failure;
    const CK_FUNCTION_LIST* functions = FunctionsOf(info[0].As<Napi::String>(), &failure);
    if (functions == nullptr) {
      Throw(env_, failure);
      return;
    }
    StayLoaded();

    settled_ = Settled::New(env_, info[1].As<Napi::Function>(), "token calls", 0, 1, this);
    // Only calls under way keep the event loop alive.
    settled_.Unref(env_);
    threads_ = CallThreads::Create(functions, [settled = settled_] { settled.NonBlockingCall(); });
    // Registered after `settled_` was made, so it runs before that is torn down with the environment.
    napi_add_env_cleanup_hook(env_, &TokenCalls::EnvironmentEnds, this);
  }

  ~TokenCalls() override { End(); }

 private:
  static void Settle(Napi::Env env, Napi::Function settled, TokenCalls* self, void*) {
    if (env != nullptr && self->threads_ != nullptr) self->Deliver(settled);
  }
  using Settled = Napi::TypedThreadSafeFunction<TokenCalls, void, &TokenCalls::Settle>;

  static void EnvironmentEnds(void* self) { static_cast<TokenCalls*>(self)->threads_->Close(); }

  /// start(ticket, operation, session, key, mechanism, parameter | undefined, data, outputBytes)
  void Start(const Napi::CallbackInfo& info) {
    if (threads_ == nullptr) return Throw(env_, "TokenCalls: closed");
    std::unique_ptr<Call> call = ReadCall(info);
    if (call == nullptr) return Throw(env_, "start: want arguments as declared");
    if (!threads_->Start(std::move(call))) return Throw(env_, "start: the system has no thread left");
    if (under_way_++ > 0) return;
    Ref();
    settled_.Ref(env_);
  }

  std::unique_ptr<Call> ReadCall(const Napi::CallbackInfo& info) {
    CallTerms terms{};
    CK_ULONG ticket = 0, operation = 0, output_bytes = 0;
    if (!ReadNumber(info[0], &ticket) || !ReadNumber(info[1], &operation) || operation > 2 ||
        !ReadHandle(info[2], &terms.session) || !ReadHandle(info[3], &terms.key) ||
        !ReadNumber(info[4], &terms.mechanism) || !IsBytes(info[6]) || !ReadNumber(info[7], &output_bytes)) {
      return nullptr;
    }
    terms.ticket = static_cast<uint32_t>(ticket);
    terms.operation = static_cast<Operation>(operation);
    terms.data = ViewOf(info[6]);
    terms.output_bytes = output_bytes;
    if (output_bytes > kMaximumOutputBytes) return nullptr;
    if (info[5].IsUndefined()) return std::make_unique<Call>(terms);
    if (!info[5].IsObject()) return nullptr;
    const auto parameter = info[5].As<Napi::Object>();
    return parameter.Has("nonce") ? ReadGcm(terms, parameter) : ReadPss(terms, parameter);
  }

  static std::unique_ptr<Call> ReadGcm(const CallTerms& terms, const Napi::Object& parameter) {
    GcmTerms gcm{};
    const Napi::Value nonce = parameter.Get("nonce"), associated_data = parameter.Get("aad");
    if (!IsBytes(nonce) || !IsBytes(associated_data) || !ReadNumber(parameter.Get("tagBits"), &gcm.tag_bits)) return nullptr;
    gcm.nonce = ViewOf(nonce);
    gcm.associated_data = ViewOf(associated_data);
    return std::make_unique<Call>(terms, gcm);
  }

  static std::unique_ptr<Call> ReadPss(const CallTerms& terms, const Napi::Object& parameter) {
    CK_RSA_PKCS_PSS_PARAMS pss{};
    if (!ReadNumber(parameter.Get("hashAlg"), &pss.hashAlg) || !ReadNumber(parameter.Get("mgf"), &pss.mgf) ||
        !ReadNumber(parameter.Get("saltBytes"), &pss.sLen)) {
      return nullptr;
    }
    return std::make_unique<Call>(terms, pss);
  }

  void Deliver(const Napi::Function& settled) {
    for (const std::unique_ptr<Call>& call : threads_->TakeDone(under_way_)) {
      const ByteView output = call->output();
      settled.Call({Napi::Number::New(env_, call->ticket()),
                    Napi::Number::New(env_, static_cast<double>(call->return_value())),
                    Napi::Number::New(env_, static_cast<double>(call->stage())),
                    Napi::Buffer<uint8_t>::Copy(env_, output.data, output.size)});
      if (--under_way_ > 0) continue;
      settled_.Unref(env_);
      Unref();
    }
  }

  void Close(const Napi::CallbackInfo&) {
    if (under_way_ > 0) return Throw(env_, "close: want no call under way");
    End();
  }

  void End() {
    if (threads_ == nullptr) return;
    napi_remove_env_cleanup_hook(env_, &TokenCalls::EnvironmentEnds, this);
    threads_->Close();
    threads_.reset();
    settled_.Release();
  }

  /// Above every result of the protocol.
  static constexpr CK_ULONG kMaximumOutputBytes = 1 << 20;

  const Napi::Env env_;
  Settled settled_;
  std::shared_ptr<CallThreads> threads_;
  uint32_t under_way_ = 0;
};

Napi::Object Initialize(Napi::Env env, Napi::Object exports) {
  exports.Set("TokenCalls", TokenCalls::Define(env));
  return exports;
}

NODE_API_MODULE(token_calls, Initialize)

}  // namespace
}  // namespace nest_hsm
