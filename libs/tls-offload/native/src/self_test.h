// A signature at load, so that a Node whose OpenSSL does not delegate is found before the first client.
#pragma once

#include <string>

namespace nest_hsm {

/// Signs through a delegated key as a handshake does (pausing, the answer coming from outside), verifies the signature,
/// and checks that the private half cannot be had. Done once per process.
/// @returns empty, or what is wrong with this Node
std::string SelfTest();

}  // namespace nest_hsm
