// The cells of some rows, each with the associated data that binds it to its column and its row.
#pragma once

#include <node_api.h>

#include <cstdint>
#include <vector>

#include "cell_key.h"
#include "secret_bytes.h"

namespace nest_hsm {

class Batch {
 public:
  explicit Batch(napi_env env) : env_(env) {}

  /// @param prefixes  Uint8Array[]: associated data up to the row
  /// @param row_keys  string[]: the texts of each row's primary key, row after row
  /// @param key_texts  number: how many texts each row has
  /// @param cells  unknown[]: row after row, each of `columns`
  /// @returns false when they are not so, or do not fit each other
  bool Read(napi_value prefixes, napi_value row_keys, napi_value key_texts, napi_value cells, uint32_t columns);

  uint32_t rows() const { return rows_; }
  uint32_t columns() const { return columns_; }
  size_t prefixes() const { return prefixes_.size(); }

  /// Reads the row's primary key, for what follows. @returns false when it is not of texts
  bool EnterRow(uint32_t row);

  bool Cell(uint32_t index, napi_value* cell) const;

  /// The associated data of a cell of the row that was entered, until the next call.
  ByteView AssociatedData(uint32_t prefix);

 private:
  bool ReadPrefixes(napi_value prefixes);

  const napi_env env_;
  napi_value row_keys_ = nullptr;
  napi_value cells_ = nullptr;
  uint32_t rows_ = 0;
  uint32_t columns_ = 0;
  uint32_t key_texts_ = 0;
  std::vector<std::vector<uint8_t>> prefixes_;
  size_t longest_prefix_ = 0;
  /// Room for the longest prefix, then the row: so a prefix is put before the row without moving it.
  SecretBytes associated_data_;
  size_t row_bytes_ = 0;
};

}  // namespace nest_hsm
