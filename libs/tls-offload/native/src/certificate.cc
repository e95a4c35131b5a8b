#include "certificate.h"

#include "provider.h"

namespace nest_hsm {

X509Ptr ParseCertificate(ByteView der) {
  X509Ptr parsed(X509_new_ex(LibraryContext(), kPreferDefaultProvider));
  const unsigned char* position = der.data;
  X509* target = parsed.get();
  if (target == nullptr) return nullptr;
  if (d2i_X509(&target, &position, static_cast<long>(der.size)) == nullptr) {
    // d2i_X509 has freed what it was given.
    static_cast<void>(parsed.release());
    return nullptr;
  }
  return position == der.data + der.size ? std::move(parsed) : nullptr;
}

Bytes EncodeCertificate(const X509* certificate) {
  const int size = i2d_X509(certificate, nullptr);
  if (size <= 0) return {};
  Bytes der(static_cast<size_t>(size));
  unsigned char* position = der.data();
  return i2d_X509(certificate, &position) == size ? der : Bytes();
}

}  // namespace nest_hsm
