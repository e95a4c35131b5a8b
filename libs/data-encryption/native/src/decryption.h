// Decrypts the cells of a result.
#pragma once

#include <node_api.h>

#include <cstdint>
#include <vector>

#include "batch.h"
#include "cell_key.h"
#include "javascript.h"
#include "secret_bytes.h"

namespace nest_hsm {

class Decryption {
 public:
  /// @param are_texts  by column, not 0 where the plaintext is to be a string instead of a Buffer
  /// @param batch  whose prefixes are, key after key, one for each column
  Decryption(napi_env env, const std::vector<CellKey*>& keys, const std::vector<uint8_t>& are_texts, Batch* batch)
      : env_(env), keys_(keys), are_texts_(are_texts), batch_(batch) {}

  /// Adds the plaintexts of a row's cells. @param failed  the first that does not decrypt
  bool DecryptRow(uint32_t row, Results* results, uint32_t* failed);

 private:
  bool DecryptCell(napi_value* value, uint32_t column);
  bool FindKey(size_t characters);
  bool CreatePlaintext(const uint8_t* bytes, size_t size, bool is_text, napi_value* value) const;

  const napi_env env_;
  const std::vector<CellKey*>& keys_;
  const std::vector<uint8_t>& are_texts_;
  Batch* const batch_;
  size_t key_ = 0;
  SecretBytes text_;
};

}  // namespace nest_hsm
