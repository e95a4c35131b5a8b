#include "openssl.h"

#include <openssl/err.h>

namespace nest_hsm {

std::string TakeErrorReason() {
  const unsigned long error = ERR_peek_error();
  const char* reason = error == 0 ? nullptr : ERR_reason_error_string(error);
  std::string text = reason == nullptr ? "unknown reason" : reason;
  ERR_clear_error();
  return text;
}

}  // namespace nest_hsm
