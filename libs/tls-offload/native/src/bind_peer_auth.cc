// `PeerAuth` towards JavaScript, described in src/addon.ts.
#include <memory>
#include <utility>

#include "binding.h"
#include "read_value.h"

namespace nest_hsm {
namespace {

constexpr napi_type_tag kPeerAuthTag = {0x6e6573742d68736d, 0x746c732d636c6e74};

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

bool ReadSettings(const Napi::Value& value, PeerAuth::Settings* settings) {
  if (!value.IsObject()) return false;
  const auto object = value.As<Napi::Object>();
  std::string peer;
  int64_t intermediates = 0;
  int64_t chain_bytes = 0;
  if (!ReadNumber(object.Get("maximumIntermediates"), &intermediates) || !ReadNumber(object.Get("maximumChainBytes"), &chain_bytes)) return false;
  if (!ReadText(object.Get("peer"), &peer) || (peer != "client" && peer != "server")) return false;
  settings->peer = peer == "server" ? PeerAuth::Peer::kServer : PeerAuth::Peer::kClient;
  settings->maximum_intermediates = static_cast<int>(intermediates);
  settings->maximum_chain_bytes = static_cast<size_t>(chain_bytes);
  return ReadFlag(object.Get("required"), &settings->required) && ReadFlag(object.Get("checkCrls"), &settings->check_crls) &&
         ReadList(object.Get("rules"), &settings->rules, ReadRule);
}

bool ReadAuthorities(const Napi::Value& value, PeerAuthorities* options) {
  if (!value.IsObject()) return false;
  const auto object = value.As<Napi::Object>();
  return ReadList(object.Get("authorities"), &options->authorities, ReadBytes) && ReadList(object.Get("crls"), &options->crls, ReadBytes);
}

class PeerAuthObject : public Napi::ObjectWrap<PeerAuthObject> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "PeerAuth",
                       {
                           InstanceMethod<&PeerAuthObject::Update>("update"),
                           InstanceMethod<&PeerAuthObject::Crls>("crls"),
                           InstanceMethod<&PeerAuthObject::EncodedCrls>("encodedCrls"),
                           InstanceMethod<&PeerAuthObject::Refusals>("refusals"),
                       });
  }

  explicit PeerAuthObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    info.This().As<Napi::Object>().TypeTag(&kPeerAuthTag);
    PeerAuth::Settings settings;
    if (!ReadSettings(info[0], &settings)) {
      Throw(info.Env(), "PeerAuth: want settings as src/addon.ts declares them");
      return;
    }
    peer_auth_ = std::make_shared<PeerAuth>(std::move(settings));
  }

  const std::shared_ptr<PeerAuth>& peer_auth() const { return peer_auth_; }

 private:
  Napi::Value Update(const Napi::CallbackInfo& info) {
    PeerAuthorities options;
    std::vector<std::string> faults;
    std::string fault;
    if (!ReadAuthorities(info[0], &options)) {
      fault = "update: want { authorities, crls }";
    } else if (peer_auth_->Update(options, &faults, &fault)) {
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
    for (const CrlDescription& description : peer_auth_->crls()) {
      auto object = Napi::Object::New(info.Env());
      object["issuer"] = description.issuer;
      object["thisUpdate"] = static_cast<double>(description.this_update);
      object["nextUpdate"] = static_cast<double>(description.next_update);
      list[list.Length()] = object;
    }
    return list;
  }

  Napi::Value EncodedCrls(const Napi::CallbackInfo& info) {
    auto list = Napi::Array::New(info.Env());
    for (const Bytes& der : peer_auth_->EncodedCrls()) {
      list[list.Length()] = Napi::Buffer<uint8_t>::Copy(info.Env(), der.data(), der.size());
    }
    return list;
  }

  Napi::Value Refusals(const Napi::CallbackInfo& info) {
    auto object = Napi::Object::New(info.Env());
    for (const auto& [reason, count] : peer_auth_->refusals()) object[reason] = static_cast<double>(count);
    return object;
  }

  std::shared_ptr<PeerAuth> peer_auth_;
};

}  // namespace

void BindPeerAuth(Napi::Env env, Napi::Object exports) { exports["PeerAuth"] = PeerAuthObject::Define(env); }

std::shared_ptr<PeerAuth> PeerAuthOf(const Napi::Value& value) {
  const auto* object = Tagged<PeerAuthObject>(value, &kPeerAuthTag);
  return object == nullptr ? nullptr : object->peer_auth();
}

}  // namespace nest_hsm
