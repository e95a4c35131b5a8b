#include "self_test.h"

#include <openssl/crypto.h>
#include <openssl/err.h>

#include <mutex>

#include "provider.h"
#include "signature_request.h"

namespace nest_hsm {
namespace {

constexpr uint32_t kKeyIndex = 7;
constexpr uint8_t kMessage[] = {'n', 'e', 's', 't', '-', 'h', 's', 'm'};

struct Task {
  EVP_PKEY* key;
  Bytes signature;
};

/// Runs on a fibre.
int SignMessage(void* argument) {
  Task* task = *static_cast<Task**>(argument);
  const DigestContextPtr context(EVP_MD_CTX_new());
  size_t size = 0;
  if (context == nullptr ||
      EVP_DigestSignInit_ex(context.get(), nullptr, "SHA2-256", LibraryContext(), kPreferDefaultProvider, task->key, nullptr) != 1 ||
      EVP_DigestSign(context.get(), nullptr, &size, kMessage, sizeof kMessage) != 1) {
    return 0;
  }
  task->signature.resize(size);
  if (EVP_DigestSign(context.get(), task->signature.data(), &size, kMessage, sizeof kMessage) != 1) return 0;
  task->signature.resize(size);
  return 1;
}

/// What the HSM does in earnest: signs the digest with the private half.
bool Answer(EVP_PKEY* key, SignatureRequest* request) {
  const KeyContextPtr context(EVP_PKEY_CTX_new_from_pkey(LibraryContext(), key, kPreferDefaultProvider));
  size_t size = 0;
  if (context == nullptr || EVP_PKEY_sign_init(context.get()) != 1 ||
      EVP_PKEY_sign(context.get(), nullptr, &size, request->data.data(), request->data.size()) != 1) {
    return false;
  }
  request->signature.resize(size);
  if (EVP_PKEY_sign(context.get(), request->signature.data(), &size, request->data.data(), request->data.size()) != 1) return false;
  request->signature.resize(size);
  request->state = SignatureRequest::State::kDelivered;
  return true;
}

bool SignDelegated(EVP_PKEY* software_key, Task* task) {
  const AsyncWaitContextPtr waiting(ASYNC_WAIT_CTX_new());
  ASYNC_JOB* job = nullptr;
  SignatureRequest* pending = nullptr;
  int succeeded = 0;
  for (;;) {
    int state;
    {
      const SigningScope scope(&pending);
      state = ASYNC_start_job(&job, waiting.get(), &succeeded, SignMessage, &task, sizeof task);
    }
    if (state == ASYNC_FINISH) return succeeded == 1;
    if (state != ASYNC_PAUSE || pending == nullptr) return false;
    const bool expected = pending->key_index == kKeyIndex && pending->state == SignatureRequest::State::kPending;
    if (!expected || !Answer(software_key, pending)) pending->state = SignatureRequest::State::kFailed;
  }
}

bool Verifies(EVP_PKEY* key, const Bytes& signature) {
  const DigestContextPtr context(EVP_MD_CTX_new());
  return context != nullptr &&
         EVP_DigestVerifyInit_ex(context.get(), nullptr, "SHA2-256", LibraryContext(), kPreferDefaultProvider, key, nullptr) == 1 &&
         EVP_DigestVerify(context.get(), signature.data(), signature.size(), kMessage, sizeof kMessage) == 1;
}

bool GivesPrivateHalf(const EVP_PKEY* key) {
  OSSL_PARAM* exported = nullptr;
  const bool given = EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &exported) == 1;
  OSSL_PARAM_free(exported);
  return given;
}

std::string Run() {
  // 3.5 is the first with the hybrid key exchange; a library older than the headers would miss what it needs.
  if (OpenSSL_version_num() < 0x30500000L) return std::string("want OpenSSL 3.5 or later, got ") + OpenSSL_version(OPENSSL_VERSION_STRING);
  if (ASYNC_is_capable() != 1) return "want an OpenSSL with asynchronous jobs, got one without";
  if (LibraryContext() == nullptr) return "want an OpenSSL that takes a provider, got: " + TakeErrorReason();

  const KeyPtr software_key(EVP_PKEY_Q_keygen(LibraryContext(), "provider=default", "EC", "P-256"));
  const KeyPtr delegated_key = software_key == nullptr ? nullptr : NewDelegatedKey(software_key.get(), kKeyIndex);
  if (delegated_key == nullptr) return "want a delegated key, got: " + TakeErrorReason();
  if (GivesPrivateHalf(delegated_key.get())) return "want a private half that cannot be exported, got one that can";
  ERR_clear_error();

  Task task{delegated_key.get(), {}};
  if (!SignDelegated(software_key.get(), &task)) return "want a delegated signature, got: " + TakeErrorReason();
  if (!Verifies(software_key.get(), task.signature)) return "want a delegated signature that verifies, got one that does not";
  ERR_clear_error();
  return {};
}

}  // namespace

std::string SelfTest() {
  static std::once_flag once;
  static std::string& fault = *new std::string;
  std::call_once(once, [] { fault = Run(); });
  return fault;
}

}  // namespace nest_hsm
