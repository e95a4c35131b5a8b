// The face towards JavaScript, described in src/agent/child/addon.ts.
#include <napi.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "call.h"
#include "call_threads.h"
#include "orphan_watch.h"
#include "pkcs11_module.h"
#include "thread.h"

namespace nest_hsm {
namespace {

/// Above every result of the protocol.
constexpr uint32_t kMaximumOutputBytes = 1 << 20;

/// Numbers that JavaScript reads of each result: ticket, return value, stage, bytes of output.
constexpr size_t kResultFields = 4;

void Throw(Napi::Env env, const std::string& message) { Napi::TypeError::New(env, message).ThrowAsJavaScriptException(); }

bool ReadBytes(const Napi::Value& value, ByteView* bytes) {
  napi_typedarray_type type;
  size_t size;
  void* data;
  // One call; the wrapper's accessors make several.
  const napi_status status = napi_get_typedarray_info(value.Env(), value, &type, &size, &data, nullptr, nullptr);
  if (status != napi_ok || type != napi_uint8_array) return false;
  *bytes = {static_cast<const uint8_t*>(data), size};
  return true;
}

/// Handles are the bytes of a CK_ULONG, as the other binding has them.
bool ReadHandle(const Napi::Value& value, CK_ULONG* handle) {
  ByteView bytes;
  if (!ReadBytes(value, &bytes) || bytes.size != sizeof *handle) return false;
  std::memcpy(handle, bytes.data, sizeof *handle);
  return true;
}

bool ReadNumber(const Napi::Value& value, uint32_t* number) {
  return napi_get_value_uint32(value.Env(), value, number) == napi_ok;
}

bool ReadNumber(const Napi::Value& value, CK_ULONG* number) {
  uint32_t read;
  if (!ReadNumber(value, &read)) return false;
  *number = read;
  return true;
}

/// `new TokenCalls(modulePath, results, settled, outputs)`: a module to open, a Float64Array for the numbers of results, who is
/// told of them, and a Uint8Array for their outputs.
class TokenCalls : public Napi::ObjectWrap<TokenCalls> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "TokenCalls",
                       {InstanceMethod<&TokenCalls::Add>("add"), InstanceMethod<&TokenCalls::Begin>("begin"),
                        InstanceMethod<&TokenCalls::Close>("close")});
  }

  explicit TokenCalls(const Napi::CallbackInfo& info) : Napi::ObjectWrap<TokenCalls>(info), env_(info.Env()) {
    ByteView outputs;
    if (!info[0].IsString() || !info[1].IsTypedArray() || !info[2].IsFunction() || !ReadBytes(info[3], &outputs)) {
      Throw(env_, "TokenCalls: want a path, an array, a function and an array");
      return;
    }
    std::string failure;
    const CK_FUNCTION_LIST* functions = OpenModule(info[0].As<Napi::String>(), &failure);
    if (functions == nullptr) {
      Throw(env_, failure);
      return;
    }
    StayLoaded();

    results_ = Napi::Persistent(info[1].As<Napi::Float64Array>());
    outputs_ = Napi::Persistent(info[3].As<Napi::Uint8Array>());
    output_room_ = outputs.size;
    settled_ = Settled::New(env_, info[2].As<Napi::Function>(), "token calls", 0, 1, this);
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

  /// `settled_` ends with the environment, and may be gone when the destructor runs.
  static void EnvironmentEnds(void* self) { static_cast<TokenCalls*>(self)->Abandon(); }

  /// add(ticket, operation, session, key, mechanism, parameter | undefined, data, outputBytes)
  void Add(const Napi::CallbackInfo& info) {
    if (threads_ == nullptr) return Throw(env_, "add: closed");
    std::unique_ptr<Call> call = ReadCall(info);
    if (call == nullptr) return Throw(env_, "add: want arguments as declared");
    added_.push_back(std::move(call));
    if (under_way_++ > 0) return;
    Ref();
    settled_.Ref(env_);
  }

  void Begin(const Napi::CallbackInfo&) {
    if (threads_ != nullptr) threads_->Start(std::exchange(added_, {}), under_way_);
  }

  std::unique_ptr<Call> ReadCall(const Napi::CallbackInfo& info) {
    CallTerms terms{};
    uint32_t operation = 0, output_bytes = 0;
    if (!ReadNumber(info[0], &terms.ticket) || !ReadNumber(info[1], &operation) || operation > 2 ||
        !ReadHandle(info[2], &terms.session) || !ReadHandle(info[3], &terms.key) ||
        !ReadNumber(info[4], &terms.mechanism) || !ReadBytes(info[6], &terms.data) ||
        !ReadNumber(info[7], &output_bytes) || output_bytes > kMaximumOutputBytes) {
      return nullptr;
    }
    terms.operation = static_cast<Operation>(operation);
    terms.output_bytes = output_bytes;
    if (info[5].IsUndefined()) return std::make_unique<Call>(terms);
    if (!info[5].IsObject()) return nullptr;
    const auto parameter = info[5].As<Napi::Object>();
    return parameter.Has("nonce") ? ReadGcm(terms, parameter) : ReadPss(terms, parameter);
  }

  static std::unique_ptr<Call> ReadGcm(const CallTerms& terms, const Napi::Object& parameter) {
    GcmTerms gcm{};
    if (!ReadBytes(parameter.Get("nonce"), &gcm.nonce) || !ReadBytes(parameter.Get("aad"), &gcm.associated_data) ||
        !ReadNumber(parameter.Get("tagBits"), &gcm.tag_bits)) {
      return nullptr;
    }
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
    const CallThreads::Calls done = threads_->TakeDone(under_way_);
    const size_t most = results_.Value().ElementLength() / kResultFields;
    for (size_t first = 0, count = 0; first < done.size(); first += count) {
      // As many as there is room for, and one for which there never is.
      size_t bytes = done[first]->output().size;
      for (count = 1; first + count < done.size() && count < most; ++count) {
        const size_t more = done[first + count]->output().size;
        if (bytes + more > output_room_) break;
        bytes += more;
      }
      DeliverSome(settled, &done[first], count, bytes);
    }
  }

  void DeliverSome(const Napi::Function& settled, const std::unique_ptr<Call>* calls, size_t count, size_t bytes) {
    const bool has_room = bytes <= output_room_;
    Napi::Uint8Array outputs = has_room ? outputs_.Value() : Napi::Buffer<uint8_t>::New(env_, bytes);
    uint8_t* output = outputs.Data();
    double* result = results_.Value().Data();
    for (size_t i = 0; i < count; ++i, result += kResultFields) {
      const ByteView each = calls[i]->output();
      if (each.size > 0) output = std::copy(each.data, each.data + each.size, output);
      result[0] = calls[i]->ticket();
      result[1] = static_cast<double>(calls[i]->return_value());
      result[2] = static_cast<double>(calls[i]->stage());
      result[3] = static_cast<double>(each.size);
    }
    under_way_ -= static_cast<uint32_t>(count);
    if (under_way_ == 0) {
      settled_.Unref(env_);
      Unref();
    }
    settled.Call({Napi::Number::New(env_, static_cast<double>(count)), outputs});
  }

  void Close(const Napi::CallbackInfo&) {
    if (under_way_ > 0) return Throw(env_, "close: want no call under way");
    End();
  }

  void End() {
    if (threads_ == nullptr) return;
    napi_remove_env_cleanup_hook(env_, &TokenCalls::EnvironmentEnds, this);
    Abandon();
    // Not Release(), after which a wake-up that came late would still be delivered, perhaps to nobody.
    settled_.Abort();
  }

  void Abandon() {
    threads_->Close();
    threads_.reset();
  }

  const Napi::Env env_;
  Napi::Reference<Napi::Float64Array> results_;
  Napi::Reference<Napi::Uint8Array> outputs_;
  size_t output_room_ = 0;
  Settled settled_;
  std::shared_ptr<CallThreads> threads_;
  /// Not begun yet.
  CallThreads::Calls added_;
  uint32_t under_way_ = 0;
};

/// watchApplication(pid)
void Watch(const Napi::CallbackInfo& info) {
  uint32_t application = 0;
  if (!ReadNumber(info[0], &application)) return Throw(info.Env(), "watchApplication: want a process id");
  StayLoaded();
  if (!WatchApplication(static_cast<pid_t>(application))) Throw(info.Env(), "watchApplication: want a thread");
}

/// interruptNobody()
void StayBehind(const Napi::CallbackInfo&) { InterruptNobody(); }

Napi::Object Initialize(Napi::Env env, Napi::Object exports) {
  exports["TokenCalls"] = TokenCalls::Define(env);
  exports["watchApplication"] = Napi::Function::New<Watch>(env, "watchApplication");
  exports["interruptNobody"] = Napi::Function::New<StayBehind>(env, "interruptNobody");
  return exports;
}

NODE_API_MODULE(token_calls, Initialize)

}  // namespace
}  // namespace nest_hsm
