// Registers what JavaScript sees of the addon. One instance per Node environment (main thread, each worker).
#include "binding.h"

#include "self_test.h"

namespace nest_hsm {
namespace {

Napi::Object Initialize(Napi::Env env, Napi::Object exports) {
  const std::string fault = SelfTest();
  if (!fault.empty()) {
    Throw(env, fault);
    return exports;
  }
  env.SetInstanceData(new Environment);
  BindClientContext(env, exports);
  BindPeerAuth(env, exports);
  BindServerContext(env, exports);
  BindSession(env, exports);
  BindStaple(env, exports);
  BindTicketKeys(env, exports);
  BindForwarding(env, exports);
  return exports;
}

NODE_API_MODULE(tls_offload, Initialize)

}  // namespace
}  // namespace nest_hsm
