// Certificates as they come from JavaScript: DER.
#pragma once

#include "openssl.h"

namespace nest_hsm {

/// @returns null when it is not one certificate and nothing else
X509Ptr ParseCertificate(ByteView der);
/// @returns empty when out of memory
Bytes EncodeCertificate(const X509* certificate);

}  // namespace nest_hsm
