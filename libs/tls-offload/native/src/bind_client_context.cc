// `ClientContext` towards JavaScript, described in src/addon.ts.
#include "binding.h"
#include "read_context.h"
#include "read_value.h"

namespace nest_hsm {
namespace {

constexpr napi_type_tag kClientContextTag = {0x6e6573742d68736d, 0x746c732d636f6e6e};

/// Reads `ClientContextOptions` of src/addon.ts.
bool ReadOptions(const Napi::Value& value, ClientOptions* options) {
  if (!value.IsObject()) return false;
  const auto object = value.As<Napi::Object>();
  options->server_auth = PeerAuthOf(object.Get("serverAuth"));
  // No client without one, nor with what was made for clients' certificates.
  return options->server_auth != nullptr && options->server_auth->settings().peer == PeerAuth::Peer::kServer &&
         ReadNegotiation(object, &options->negotiation) && ReadList(object.Get("certificates"), &options->certificates, ReadCertificate);
}

class ClientContextObject : public Napi::ObjectWrap<ClientContextObject> {
 public:
  static Napi::Function Define(Napi::Env env) { return DefineClass(env, "ClientContext", {}); }

  explicit ClientContextObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    info.This().As<Napi::Object>().TypeTag(&kClientContextTag);
    ClientOptions options;
    std::string fault;
    if (!ReadOptions(info[0], &options)) {
      fault = info.Env().IsExceptionPending() ? "" : "ClientContext: want options as src/addon.ts declares them";
    } else {
      context_ = ClientContext::Create(options, &fault);
    }
    if (!fault.empty()) Throw(info.Env(), fault);
  }

  const std::shared_ptr<const ClientContext>& context() const { return context_; }

 private:
  std::shared_ptr<const ClientContext> context_;
};

}  // namespace

void BindClientContext(Napi::Env env, Napi::Object exports) { exports["ClientContext"] = ClientContextObject::Define(env); }

std::shared_ptr<const ClientContext> ClientContextOf(const Napi::Value& value) {
  const auto* object = Tagged<ClientContextObject>(value, &kClientContextTag);
  return object == nullptr ? nullptr : object->context();
}

}  // namespace nest_hsm
