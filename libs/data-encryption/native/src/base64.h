// Base64 with padding (RFC 4648 §4), in one form only: what decodes is exactly what would be encoded.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nest_hsm {

constexpr size_t Base64Characters(size_t bytes) { return (bytes + 2) / 3 * 4; }

/// Writes `Base64Characters(size)` characters.
void EncodeBase64(const uint8_t* bytes, size_t size, char* text);

/// Decodes in place: the bytes replace the text they came from.
/// @returns false when the text is not the base64 of any bytes
bool DecodeBase64(uint8_t* text, size_t characters, size_t* size);

}  // namespace nest_hsm
