#include "openssl.h"

#include <openssl/err.h>

#include <ctime>

namespace nest_hsm {

int64_t SecondsOf(const ASN1_TIME* time) {
  std::tm fields{};
  return time != nullptr && ASN1_TIME_to_tm(time, &fields) == 1 ? static_cast<int64_t>(timegm(&fields)) : 0;
}

std::string TakeErrorReason() {
  const char* data = nullptr;
  int flags = 0;
  const unsigned long error = ERR_peek_error_all(nullptr, nullptr, nullptr, &data, &flags);
  const char* reason = error == 0 ? nullptr : ERR_reason_error_string(error);
  std::string text = reason == nullptr ? "unknown reason" : reason;
  if (data != nullptr && *data != '\0' && (flags & ERR_TXT_STRING) != 0) text.append(": ").append(data);
  ERR_clear_error();
  return text;
}

}  // namespace nest_hsm
