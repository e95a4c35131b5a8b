// Encrypts the cells of a statement.
#pragma once

#include <node_api.h>

#include <array>
#include <cstdint>

#include "batch.h"
#include "cell_key.h"
#include "javascript.h"
#include "secret_bytes.h"

namespace nest_hsm {

/// Random nonces (NIST SP 800-38D §8.2.2), many drawn at a time.
class Nonces {
 public:
  /// @param most  how many will be asked for at most
  explicit Nonces(size_t most) : left_to_draw_(most) {}

  /// Writes `kNonceBytes`. @returns false when OpenSSL has no randomness to give
  bool Next(uint8_t* nonce);

 private:
  bool Draw();

  std::array<uint8_t, kNonceBytes * 256> pool_;
  size_t left_to_draw_;
  size_t drawn_ = 0;
  size_t next_ = 0;
};

class Encryption {
 public:
  Encryption(napi_env env, CellKey* key, Batch* batch)
      : env_(env), key_(key), batch_(batch), nonces_(size_t{batch->rows()} * batch->columns()) {}

  /// Adds the texts of a row's cells.
  bool EncryptRow(uint32_t row, Results* results);

 private:
  bool EncryptCell(napi_value* value, uint32_t column);
  bool ReadPlaintext(napi_value value, size_t* size);

  const napi_env env_;
  CellKey* const key_;
  Batch* const batch_;
  Nonces nonces_;
  SecretBytes body_;
  SecretBytes text_;
};

}  // namespace nest_hsm
