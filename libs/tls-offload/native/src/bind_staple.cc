// `Staple` and what OCSP responses are asked for and verified with, towards JavaScript, described in src/addon.ts.
#include <memory>
#include <utility>

#include "binding.h"
#include "certificate.h"
#include "read_value.h"

namespace nest_hsm {
namespace {

constexpr napi_type_tag kStapleTag = {0x6e6573742d68736d, 0x746c732d73746170};

class StapleObject : public Napi::ObjectWrap<StapleObject> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "Staple", {InstanceMethod<&StapleObject::Set>("set")});
  }

  explicit StapleObject(const Napi::CallbackInfo& info) : ObjectWrap(info) { info.This().As<Napi::Object>().TypeTag(&kStapleTag); }

  const std::shared_ptr<Staple>& staple() const { return staple_; }

 private:
  void Set(const Napi::CallbackInfo& info) {
    Bytes response;
    int64_t until = 0;
    if (ReadBytes(info[0], &response) && ReadNumber(info[1], &until)) {
      staple_->Set(std::move(response), until);
    } else {
      Throw(info.Env(), "set: want a response and the second until which it is served");
    }
  }

  const std::shared_ptr<Staple> staple_ = std::make_shared<Staple>();
};

Napi::Value MakeOcspRequest(const Napi::CallbackInfo& info) {
  const X509Ptr leaf = ParseCertificate(ViewOf(info[0]));
  const X509Ptr issuer = ParseCertificate(ViewOf(info[1]));
  const Bytes request = leaf == nullptr || issuer == nullptr ? Bytes() : OcspRequest(leaf.get(), issuer.get());
  if (!request.empty()) return Napi::Buffer<uint8_t>::Copy(info.Env(), request.data(), request.size());
  TakeErrorReason();
  Throw(info.Env(), "ocspRequest: want two certificates");
  return info.Env().Undefined();
}

Napi::Value VerifyOcsp(const Napi::CallbackInfo& info) {
  const X509Ptr leaf = ParseCertificate(ViewOf(info[1]));
  const X509Ptr issuer = ParseCertificate(ViewOf(info[2]));
  if (!IsBytes(info[0]) || leaf == nullptr || issuer == nullptr) {
    TakeErrorReason();
    Throw(info.Env(), "verifyOcspResponse: want a response and two certificates");
    return info.Env().Undefined();
  }
  const OcspVerdict verdict = VerifyOcspResponse(ViewOf(info[0]), leaf.get(), issuer.get());
  auto object = Napi::Object::New(info.Env());
  object["fault"] = verdict.fault;
  object["isRevoked"] = verdict.is_revoked;
  object["thisUpdate"] = static_cast<double>(verdict.this_update);
  object["nextUpdate"] = static_cast<double>(verdict.next_update);
  return object;
}

}  // namespace

void BindStaple(Napi::Env env, Napi::Object exports) {
  exports["Staple"] = StapleObject::Define(env);
  exports["ocspRequest"] = Napi::Function::New<MakeOcspRequest>(env, "ocspRequest");
  exports["verifyOcspResponse"] = Napi::Function::New<VerifyOcsp>(env, "verifyOcspResponse");
}

std::shared_ptr<Staple> StapleOf(const Napi::Value& value) {
  const auto* object = Tagged<StapleObject>(value, &kStapleTag);
  return object == nullptr ? nullptr : object->staple();
}

}  // namespace nest_hsm
