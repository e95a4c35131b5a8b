#include "base64.h"

#include <array>

namespace nest_hsm {
namespace {

constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Above every value of six bits, and kept by a bitwise or.
constexpr uint8_t kInvalid = 0x80;

constexpr std::array<uint8_t, 256> DecodingTable() {
  std::array<uint8_t, 256> table{};
  for (auto& each : table) each = kInvalid;
  for (uint8_t value = 0; value < 64; ++value) table[static_cast<uint8_t>(kAlphabet[value])] = value;
  return table;
}

constexpr std::array<uint8_t, 256> kDecoding = DecodingTable();

char Digit(uint32_t group, int shift) { return kAlphabet[group >> shift & 63]; }

}  // namespace

void EncodeBase64(const uint8_t* bytes, size_t size, char* text) {
  const uint8_t* const end = bytes + size / 3 * 3;
  for (; bytes != end; bytes += 3, text += 4) {
    const uint32_t group = bytes[0] << 16 | bytes[1] << 8 | bytes[2];
    text[0] = Digit(group, 18);
    text[1] = Digit(group, 12);
    text[2] = Digit(group, 6);
    text[3] = Digit(group, 0);
  }
  const size_t rest = size % 3;
  if (rest == 0) return;
  const uint32_t group = bytes[0] << 16 | (rest == 2 ? bytes[1] << 8 : 0);
  text[0] = Digit(group, 18);
  text[1] = Digit(group, 12);
  text[2] = rest == 2 ? Digit(group, 6) : '=';
  text[3] = '=';
}

bool DecodeBase64(uint8_t* text, size_t characters, size_t* size) {
  if (characters % 4 != 0) return false;
  size_t padding = 0;
  while (padding < 2 && padding < characters && text[characters - 1 - padding] == '=') ++padding;

  const uint8_t* from = text;
  const uint8_t* const end = text + characters - (padding > 0 ? 4 : 0);
  uint8_t* to = text;
  uint8_t seen = 0;
  for (; from != end; from += 4, to += 3) {
    const uint8_t a = kDecoding[from[0]], b = kDecoding[from[1]], c = kDecoding[from[2]], d = kDecoding[from[3]];
    seen |= a | b | c | d;
    const uint32_t group = a << 18 | b << 12 | c << 6 | d;
    to[0] = static_cast<uint8_t>(group >> 16);
    to[1] = static_cast<uint8_t>(group >> 8);
    to[2] = static_cast<uint8_t>(group);
  }
  if (padding > 0) {
    const uint8_t a = kDecoding[from[0]], b = kDecoding[from[1]], c = padding == 1 ? kDecoding[from[2]] : 0;
    seen |= a | b | c;
    // The bits that no byte takes are zero in the one form.
    if ((padding == 2 ? b & 15 : c & 3) != 0) return false;
    *to++ = static_cast<uint8_t>(a << 2 | b >> 4);
    if (padding == 1) *to++ = static_cast<uint8_t>(b << 4 | c >> 2);
  }
  *size = static_cast<size_t>(to - text);
  return (seen & kInvalid) == 0;
}

}  // namespace nest_hsm
