// `ServerContext` towards JavaScript, described in src/addon.ts.
#include <utility>

#include "binding.h"

namespace nest_hsm {
namespace {

constexpr napi_type_tag kServerContextTag = {0x6e6573742d68736d, 0x746c732d636f6e74};

/// Reads `ServerContextOptions` of src/addon.ts.
class OptionsReader {
 public:
  bool Read(const Napi::Value& value, ServerOptions* options) {
    if (!value.IsObject()) return false;
    const auto object = value.As<Napi::Object>();
    return ReadFlag(object.Get("tls13Only"), &options->tls13_only) &&
           ReadFlag(object.Get("refuseUnknownNames"), &options->refuse_unknown_names) &&
           ReadText(object.Get("ciphersTls12"), &options->ciphers_tls12) &&
           ReadText(object.Get("ciphersTls13"), &options->ciphers_tls13) &&
           ReadText(object.Get("groups"), &options->groups) &&
           ReadText(object.Get("signatureAlgorithms"), &options->signature_algorithms) &&
           ReadTexts(object.Get("alpnProtocols"), &options->alpn_protocols) &&
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

  static bool ReadFlag(const Napi::Value& value, bool* flag) {
    if (!value.IsBoolean()) return false;
    *flag = value.As<Napi::Boolean>();
    return true;
  }

  static bool ReadText(const Napi::Value& value, std::string* text) {
    if (!value.IsString()) return false;
    *text = value.As<Napi::String>();
    return true;
  }

  static bool ReadTexts(const Napi::Value& value, std::vector<std::string>* texts) {
    return ReadEach(value, [texts](const Napi::Value& each) {
      texts->emplace_back();
      return ReadText(each, &texts->back());
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
      fault = info.Env().IsExceptionPending() ? "" : "ServerContext: want options as src/addon.ts declares them";
    } else {
      context_ = ServerContext::Create(options, &fault);
    }
    if (!fault.empty()) Throw(info.Env(), fault);
  }

  const std::shared_ptr<const ServerContext>& context() const { return context_; }

 private:
  std::shared_ptr<const ServerContext> context_;
};

}  // namespace

void BindServerContext(Napi::Env env, Napi::Object exports) { exports["ServerContext"] = ServerContextObject::Define(env); }

std::shared_ptr<const ServerContext> ServerContextOf(const Napi::Value& value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kServerContextTag)) return nullptr;
  return ServerContextObject::Unwrap(value.As<Napi::Object>())->context();
}

}  // namespace nest_hsm
