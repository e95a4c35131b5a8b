// `ServerContext` towards JavaScript, described in src/addon.ts.
#include <utility>

#include "binding.h"
#include "read_context.h"
#include "read_value.h"

namespace nest_hsm {
namespace {

constexpr napi_type_tag kServerContextTag = {0x6e6573742d68736d, 0x746c732d636f6e74};

bool ReadServerCertificate(const Napi::Value& value, ServerCertificate* certificate) {
  if (!ReadCertificate(value, certificate)) return false;
  const Napi::Value staple = value.As<Napi::Object>().Get("staple");
  certificate->staple = StapleOf(staple);
  return staple.IsUndefined() || certificate->staple != nullptr;
}

bool ReadCredentials(const Napi::Value& value, Credentials* credentials) {
  if (!value.IsObject()) return false;
  const auto object = value.As<Napi::Object>();
  const Napi::Value client_auth = object.Get("clientAuth");
  credentials->client_auth = PeerAuthOf(client_auth);
  // Never none in the place of one that could not be read.
  return (client_auth.IsUndefined() || credentials->client_auth != nullptr) &&
         ReadList(object.Get("serverNames"), &credentials->server_names, ReadText) &&
         ReadList(object.Get("certificates"), &credentials->certificates, ReadServerCertificate);
}

/// Reads `ServerContextOptions` of src/addon.ts.
bool ReadOptions(const Napi::Value& value, ServerOptions* options) {
  if (!value.IsObject()) return false;
  const auto object = value.As<Napi::Object>();
  const Napi::Value ticket_keys = object.Get("ticketKeys");
  options->ticket_keys = TicketKeysOf(ticket_keys);
  const Napi::Value ticket_scope = object.Get("ticketScope");
  return (ticket_keys.IsUndefined() || options->ticket_keys != nullptr) &&
         (ticket_scope.IsUndefined() || ReadText(ticket_scope, &options->ticket_scope)) &&
         ReadNegotiation(object, &options->negotiation) &&
         ReadFlag(object.Get("refuseUnknownNames"), &options->refuse_unknown_names) &&
         ReadList(object.Get("alpnProtocols"), &options->alpn_protocols, ReadText) &&
         ReadList(object.Get("credentials"), &options->credentials, ReadCredentials);
}

class ServerContextObject : public Napi::ObjectWrap<ServerContextObject> {
 public:
  static Napi::Function Define(Napi::Env env) { return DefineClass(env, "ServerContext", {}); }

  explicit ServerContextObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    info.This().As<Napi::Object>().TypeTag(&kServerContextTag);
    ServerOptions options;
    std::string fault;
    if (!ReadOptions(info[0], &options)) {
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
  const auto* object = Tagged<ServerContextObject>(value, &kServerContextTag);
  return object == nullptr ? nullptr : object->context();
}

}  // namespace nest_hsm
