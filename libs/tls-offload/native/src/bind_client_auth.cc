// `ClientAuth` towards JavaScript, described in src/addon.ts.
#include <memory>
#include <utility>

#include "binding.h"
#include "read_value.h"

namespace nest_hsm {
namespace {

constexpr napi_type_tag kClientAuthTag = {0x6e6573742d68736d, 0x746c732d636c6e74};

bool ReadKind(const std::string& name, ClientRule::Kind* kind) {
  constexpr std::pair<const char*, ClientRule::Kind> kinds[] = {
      {"dns", ClientRule::Kind::kDns},       {"email", ClientRule::Kind::kEmail},     {"uri", ClientRule::Kind::kUri},
      {"spiffe", ClientRule::Kind::kSpiffe}, {"subject", ClientRule::Kind::kSubject},
  };
  for (const auto& [each, value] : kinds) {
    if (name != each) continue;
    *kind = value;
    return true;
  }
  return false;
}

bool ReadRule(const Napi::Value& value, ClientRule* rule) {
  if (!value.IsObject()) return false;
  const auto object = value.As<Napi::Object>();
  std::string kind;
  return ReadText(object.Get("kind"), &kind) && ReadKind(kind, &rule->kind) && ReadText(object.Get("pattern"), &rule->pattern);
}

bool ReadSettings(const Napi::Value& value, ClientAuth::Settings* settings) {
  if (!value.IsObject()) return false;
  const auto object = value.As<Napi::Object>();
  int64_t intermediates = 0;
  int64_t chain_bytes = 0;
  if (!ReadNumber(object.Get("maximumIntermediates"), &intermediates) || !ReadNumber(object.Get("maximumChainBytes"), &chain_bytes)) return false;
  settings->maximum_intermediates = static_cast<int>(intermediates);
  settings->maximum_chain_bytes = static_cast<size_t>(chain_bytes);
  return ReadFlag(object.Get("required"), &settings->required) && ReadFlag(object.Get("checkCrls"), &settings->check_crls) &&
         ReadList(object.Get("rules"), &settings->rules, ReadRule);
}

bool ReadAuthorities(const Napi::Value& value, ClientAuthOptions* options) {
  if (!value.IsObject()) return false;
  const auto object = value.As<Napi::Object>();
  return ReadList(object.Get("authorities"), &options->authorities, ReadBytes) && ReadList(object.Get("crls"), &options->crls, ReadBytes);
}

class ClientAuthObject : public Napi::ObjectWrap<ClientAuthObject> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "ClientAuth",
                       {
                           InstanceMethod<&ClientAuthObject::Update>("update"),
                           InstanceMethod<&ClientAuthObject::Crls>("crls"),
                           InstanceMethod<&ClientAuthObject::Refusals>("refusals"),
                       });
  }

  explicit ClientAuthObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    info.This().As<Napi::Object>().TypeTag(&kClientAuthTag);
    ClientAuth::Settings settings;
    if (!ReadSettings(info[0], &settings)) {
      Throw(info.Env(), "ClientAuth: want settings as src/addon.ts declares them");
      return;
    }
    client_auth_ = std::make_shared<ClientAuth>(std::move(settings));
  }

  const std::shared_ptr<ClientAuth>& client_auth() const { return client_auth_; }

 private:
  Napi::Value Update(const Napi::CallbackInfo& info) {
    ClientAuthOptions options;
    std::vector<std::string> faults;
    std::string fault;
    if (!ReadAuthorities(info[0], &options)) {
      fault = "update: want { authorities, crls }";
    } else if (client_auth_->Update(options, &faults, &fault)) {
      fault.clear();
    }
    if (!fault.empty()) {
      Throw(info.Env(), fault);
      return info.Env().Undefined();
    }
    auto list = Napi::Array::New(info.Env(), faults.size());
    for (uint32_t index = 0; index < faults.size(); ++index) list[index] = faults[index];
    return list;
  }

  Napi::Value Crls(const Napi::CallbackInfo& info) {
    auto list = Napi::Array::New(info.Env());
    for (const CrlDescription& description : client_auth_->crls()) {
      auto object = Napi::Object::New(info.Env());
      object["issuer"] = description.issuer;
      object["thisUpdate"] = static_cast<double>(description.this_update);
      object["nextUpdate"] = static_cast<double>(description.next_update);
      list[list.Length()] = object;
    }
    return list;
  }

  Napi::Value Refusals(const Napi::CallbackInfo& info) {
    auto object = Napi::Object::New(info.Env());
    for (const auto& [reason, count] : client_auth_->refusals()) object[reason] = static_cast<double>(count);
    return object;
  }

  std::shared_ptr<ClientAuth> client_auth_;
};

}  // namespace

void BindClientAuth(Napi::Env env, Napi::Object exports) { exports["ClientAuth"] = ClientAuthObject::Define(env); }

std::shared_ptr<ClientAuth> ClientAuthOf(const Napi::Value& value) {
  const auto* object = Tagged<ClientAuthObject>(value, &kClientAuthTag);
  return object == nullptr ? nullptr : object->client_auth();
}

}  // namespace nest_hsm
