// What every use of OpenSSL here has in common.
#pragma once

#include <openssl/err.h>

namespace nest_hsm {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};

/// What OpenSSL noted is of no use to a caller who is told nothing, and must not be found by Node's next failure.
inline bool WithoutTrace(bool is_success) {
  if (!is_success) ERR_clear_error();
  return is_success;
}

}  // namespace nest_hsm
