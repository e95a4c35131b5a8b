// Entries of a provider's dispatch tables, each checked against the function type that OpenSSL declares for its number.
#pragma once

#include <openssl/core_dispatch.h>

#define NEST_HSM_DISPATCH(NUMBER, TYPE, FUNCTION) \
  { NUMBER, reinterpret_cast<void (*)()>(static_cast<OSSL_FUNC_##TYPE##_fn*>(FUNCTION)) }
#define NEST_HSM_DISPATCH_END \
  { 0, nullptr }
