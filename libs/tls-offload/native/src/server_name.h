// The name of the server that a client asks for, in the one spelling that everything here is looked up by.
#pragma once

#include <string>

#include "openssl.h"

namespace nest_hsm {

/// Of its ASCII letters.
std::string LowerCase(std::string text);

/// In lower case, and without dots at the end: `Example.org.` is example.org, and meets its rules (RFC 6066 §3 has none there).
std::string PlainServerName(std::string name);

/// The host name of the server_name extension as libssl will read it: one entry, a host name. Empty when there is none, or when
/// libssl is about to refuse it. Only while a ClientHello is looked at.
std::string OfferedServerName(SSL* ssl);

}  // namespace nest_hsm
