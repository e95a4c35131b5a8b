// What the options of both kinds of context have in common, as src/addon.ts declares it.
#pragma once

#include "read_value.h"
#include "ssl_context.h"

namespace nest_hsm {

inline bool ReadCertificate(const Napi::Value& value, Certificate* certificate) {
  if (!value.IsObject()) return false;
  const auto object = value.As<Napi::Object>();
  int64_t key_index = 0;
  if (!ReadNumber(object.Get("keyIndex"), &key_index)) return false;
  certificate->key_index = static_cast<uint32_t>(key_index);
  return ReadList(object.Get("chain"), &certificate->chain, ReadBytes);
}

inline bool ReadNegotiation(const Napi::Object& object, Negotiation* negotiation) {
  return ReadFlag(object.Get("tls13Only"), &negotiation->tls13_only) &&
         ReadText(object.Get("ciphersTls12"), &negotiation->ciphers_tls12) &&
         ReadText(object.Get("ciphersTls13"), &negotiation->ciphers_tls13) && ReadText(object.Get("groups"), &negotiation->groups) &&
         ReadText(object.Get("signatureAlgorithms"), &negotiation->signature_algorithms);
}

}  // namespace nest_hsm
