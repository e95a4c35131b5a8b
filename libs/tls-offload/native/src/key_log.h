// The secrets of each connection in a file, for debugging with a protocol analyser. Not in any binary that is shipped.
#pragma once

#include "openssl.h"

namespace nest_hsm {

/// In a binary compiled with `-Dkey_log=1`: appends to the file that SSLKEYLOGFILE names, in the form of
/// draft-ietf-tls-keylogfile. In any other: nothing.
#ifdef NEST_HSM_KEY_LOG
void KeepKeyLog(SSL_CTX* context);
#else
inline void KeepKeyLog(SSL_CTX*) {}
#endif

}  // namespace nest_hsm
