// `Forwarding` towards JavaScript, described in src/addon.ts.
#include <node_api.h>

#include <algorithm>
#include <utility>

#include "binding.h"

namespace nest_hsm {
namespace {

class ForwardingObject : public Napi::ObjectWrap<ForwardingObject> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "Forwarding",
                       {
                           InstanceMethod<&ForwardingObject::Statistics>("statistics"),
                           InstanceMethod<&ForwardingObject::Stop>("stop"),
                       });
  }

  explicit ForwardingObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    const std::shared_ptr<Session> session = SessionOf(info[0]);
    if (session == nullptr || !info[1].IsNumber() || !info[2].IsNumber() || !info[3].IsObject() || !info[4].IsFunction()) {
      Throw(info.Env(), "Forwarding: want a session, two descriptors, options and a function");
      return;
    }
    const auto options = info[3].As<Napi::Object>();
    const Napi::Value idle = options.Get("idleTimeoutMilliseconds");
    const Napi::Value lifetime = options.Get("lifetimeMilliseconds");
    if (!idle.IsNumber() || !lifetime.IsNumber() || !session->Keep(ViewOf(options.Get("received")))) {
      Throw(info.Env(), "Forwarding: want two time limits, and no more than one buffer received before");
      return;
    }
    const Forwarding::Limits limits = {Milliseconds(idle), Milliseconds(lifetime)};
    forwarding_ = Environment::Of(info.Env())
                      .forwardings->Add(session, info[1].As<Napi::Number>(), info[2].As<Napi::Number>(),
                                        ViewOf(options.Get("preamble")), limits,
                                        [this](Pump::End end, const Pump::Statistics& statistics) { OnEnd(end, statistics); });
    if (forwarding_ == nullptr) {
      Throw(info.Env(), "Forwarding: want two connected sockets and descriptors to duplicate them, got none");
      return;
    }
    on_end_ = Napi::Persistent(info[4].As<Napi::Function>());
    context_ = std::make_unique<Napi::AsyncContext>(info.Env(), "nest-hsm.Forwarding");
    // Nobody need hold what the loop works on.
    Ref();
  }

 private:
  static uint64_t Milliseconds(const Napi::Value& value) {
    return static_cast<uint64_t>(std::max<int64_t>(0, value.As<Napi::Number>().Int64Value()));
  }

  Napi::Value Statistics(const Napi::CallbackInfo& info) {
    const Pump::Statistics statistics = forwarding_ == nullptr ? final_ : forwarding_->statistics();
    auto object = Napi::Object::New(info.Env());
    object["fromClient"] = static_cast<double>(statistics.from_client);
    object["fromUpstream"] = static_cast<double>(statistics.from_upstream);
    return object;
  }

  void Stop(const Napi::CallbackInfo&) {
    if (forwarding_ != nullptr) forwarding_->Stop();
  }

  /// Called by the loop, or from Stop().
  void OnEnd(Pump::End end, const Pump::Statistics& statistics) {
    forwarding_ = nullptr;
    final_ = statistics;
    const Napi::Env env = Env();
    const Napi::HandleScope scope(env);
    napi_value argument = Napi::Number::New(env, static_cast<int>(end));
    // Not by way of Napi::Function: while an environment ends, no JavaScript can be run, and that is no fault.
    const napi_status status = napi_make_callback(env, *context_, Value(), on_end_.Value(), 1, &argument, nullptr);
    if (status == napi_pending_exception) {
      // As if it had been thrown in an event listener: nobody above us could catch it.
      napi_value exception = nullptr;
      if (napi_get_and_clear_last_exception(env, &exception) == napi_ok) napi_fatal_exception(env, exception);
    }
    on_end_.Reset();
    context_.reset();
    Unref();
  }

  /// Null once it has ended.
  Forwarding* forwarding_ = nullptr;
  Pump::Statistics final_;
  Napi::FunctionReference on_end_;
  std::unique_ptr<Napi::AsyncContext> context_;
};

/// The loop must hold nothing of ours when the environment ends, and gives its handles back only in turns of its own.
void CloseForwardings(napi_async_cleanup_hook_handle hook, void* environment) {
  static_cast<Environment*>(environment)->forwardings->CloseAll([hook] { napi_remove_async_cleanup_hook(hook); });
}

}  // namespace

void BindForwarding(Napi::Env env, Napi::Object exports) {
  uv_loop_t* loop = nullptr;
  Environment& environment = Environment::Of(env);
  if (napi_get_uv_event_loop(env, &loop) != napi_ok ||
      napi_add_async_cleanup_hook(env, CloseForwardings, &environment, nullptr) != napi_ok) {
    Throw(env, "Forwarding: want an event loop, got none");
    return;
  }
  environment.forwardings = std::make_unique<Forwardings>(loop);
  exports["Forwarding"] = ForwardingObject::Define(env);
}

}  // namespace nest_hsm
