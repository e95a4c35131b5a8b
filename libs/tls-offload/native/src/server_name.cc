#include "server_name.h"

#include <algorithm>
#include <utility>

namespace nest_hsm {

std::string LowerCase(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return 'A' <= c && c <= 'Z' ? c + ('a' - 'A') : c; });
  return text;
}

std::string PlainServerName(std::string name) {
  name = LowerCase(std::move(name));
  while (!name.empty() && name.back() == '.') name.pop_back();
  return name;
}

std::string OfferedServerName(SSL* ssl) {
  const unsigned char* data = nullptr;
  size_t size = 0;
  // list length (2 bytes), type (1), name length (2)
  constexpr size_t kHeader = 5;
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &size) != 1 || size <= kHeader) return {};
  const size_t list = static_cast<size_t>(data[0]) << 8 | data[1];
  const size_t name = static_cast<size_t>(data[3]) << 8 | data[4];
  const bool single = list == size - 2 && data[2] == TLSEXT_NAMETYPE_host_name && name == size - kHeader;
  return single ? PlainServerName(std::string(reinterpret_cast<const char*>(data + kHeader), name)) : std::string();
}

}  // namespace nest_hsm
