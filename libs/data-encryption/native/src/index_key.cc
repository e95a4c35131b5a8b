#include "index_key.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <algorithm>
#include <utility>

#include "base64.h"

namespace nest_hsm {
namespace {

constexpr size_t kHashBytes = 32;
constexpr size_t kMacBytes = 18;
static_assert(kIndexTagCharacters + Base64Characters(kMacBytes) == kIndexCharacters);

}  // namespace

std::unique_ptr<IndexKey> IndexKey::Create(EVP_MAC* hmac, const uint8_t* key, const IndexTag& tag) {
  MacContextPtr mac(EVP_MAC_CTX_new(hmac));
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                   OSSL_PARAM_construct_end()};
  const bool is_ready = mac != nullptr && EVP_MAC_init(mac.get(), key, kIndexKeyBytes, parameters) == 1;
  if (!WithoutTrace(is_ready)) return nullptr;
  return std::unique_ptr<IndexKey>(new IndexKey(std::move(mac), tag));
}

IndexKey::IndexKey(MacContextPtr mac, const IndexTag& tag) : mac_(std::move(mac)), tag_(tag) {}

bool IndexKey::Text(uint8_t type, ByteView plaintext, IndexText* text) {
  EVP_MAC_CTX* const mac = mac_.get();
  std::array<uint8_t, kHashBytes> hash;
  size_t written = 0;
  // Without a key it begins anew with the one that it has.
  const bool is_made = EVP_MAC_init(mac, nullptr, 0, nullptr) == 1 && EVP_MAC_update(mac, &type, 1) == 1 &&
                       EVP_MAC_update(mac, plaintext.data, plaintext.size) == 1 &&
                       EVP_MAC_final(mac, hash.data(), &written, hash.size()) == 1;
  if (!WithoutTrace(is_made)) return false;
  std::copy(tag_.begin(), tag_.end(), text->begin());
  EncodeBase64(hash.data(), kMacBytes, text->data() + tag_.size());
  return true;
}

}  // namespace nest_hsm
