// Signatures of the provider `delegated`: hashes what is to be signed, then awaits the signature from outside.
#pragma once

#include <openssl/core.h>

namespace nest_hsm {

/// What the provider answers for OSSL_OP_SIGNATURE.
const OSSL_ALGORITHM* SignatureAlgorithms();

}  // namespace nest_hsm
