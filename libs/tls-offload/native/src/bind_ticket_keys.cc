// `TicketKeys` towards JavaScript, described in src/addon.ts.
#include <memory>
#include <utility>

#include "binding.h"
#include "read_value.h"

namespace nest_hsm {
namespace {

constexpr napi_type_tag kTicketKeysTag = {0x6e6573742d68736d, 0x746c732d74636b74};

template <size_t size>
bool ReadExactly(const Napi::Value& value, std::array<uint8_t, size>* bytes) {
  const ByteView view = ViewOf(value);
  if (view.size != size) return false;
  std::copy(view.data, view.data + size, bytes->begin());
  return true;
}

bool ReadKey(const Napi::Value& value, TicketKey* key) {
  if (!value.IsObject()) return false;
  const auto object = value.As<Napi::Object>();
  return ReadExactly(object.Get("name"), &key->name) && ReadExactly(object.Get("encryption"), &key->encryption) &&
         ReadExactly(object.Get("authentication"), &key->authentication) && ReadNumber(object.Get("issueFrom"), &key->issue_from) &&
         ReadNumber(object.Get("issueUntil"), &key->issue_until) && ReadNumber(object.Get("acceptUntil"), &key->accept_until);
}

class TicketKeysObject : public Napi::ObjectWrap<TicketKeysObject> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "TicketKeys", {InstanceMethod<&TicketKeysObject::Set>("set")});
  }

  explicit TicketKeysObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    info.This().As<Napi::Object>().TypeTag(&kTicketKeysTag);
    int64_t lifetime_seconds = 0;
    int64_t session_seconds = 0;
    if (!ReadNumber(info[0], &lifetime_seconds) || !ReadNumber(info[1], &session_seconds)) {
      Throw(info.Env(), "TicketKeys: want the lifetime of a ticket and that of a session, in seconds");
      return;
    }
    keys_ = std::make_shared<TicketKeys>(lifetime_seconds, session_seconds);
  }

  const std::shared_ptr<TicketKeys>& keys() const { return keys_; }

 private:
  void Set(const Napi::CallbackInfo& info) {
    std::vector<std::unique_ptr<TicketKey>> keys;
    const bool complete = ReadEach(info[0], [&keys](const Napi::Value& each) {
      keys.push_back(std::make_unique<TicketKey>());
      return ReadKey(each, keys.back().get());
    });
    if (complete) {
      keys_->Set(std::move(keys));
    } else {
      Throw(info.Env(), "set: want keys as src/addon.ts declares them");
    }
  }

  std::shared_ptr<TicketKeys> keys_;
};

}  // namespace

void BindTicketKeys(Napi::Env env, Napi::Object exports) { exports["TicketKeys"] = TicketKeysObject::Define(env); }

std::shared_ptr<TicketKeys> TicketKeysOf(const Napi::Value& value) {
  const auto* object = Tagged<TicketKeysObject>(value, &kTicketKeysTag);
  return object == nullptr ? nullptr : object->keys();
}

}  // namespace nest_hsm
