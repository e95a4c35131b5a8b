#include "batch.h"

#include <algorithm>

#include "javascript.h"

namespace nest_hsm {
namespace {

/// A table has fewer columns, and a result names fewer keys.
constexpr uint32_t kMaximumPrefixes = 1 << 16;
constexpr size_t kMaximumPrefixBytes = 1 << 16;
constexpr uint32_t kMaximumKeyTexts = 64;
constexpr size_t kMaximumRowBytes = 1 << 24;
constexpr size_t kLengthBytes = 4;

void WriteLength(uint8_t* target, size_t length) {
  for (size_t index = 0; index < kLengthBytes; ++index) {
    target[index] = static_cast<uint8_t>(length >> (8 * (kLengthBytes - 1 - index)));
  }
}

}  // namespace

bool Batch::Read(napi_value prefixes, napi_value row_keys, napi_value key_texts, napi_value cells, uint32_t columns) {
  uint32_t texts, cell_count;
  if (!ReadPrefixes(prefixes) || columns == 0 || napi_get_value_uint32(env_, key_texts, &key_texts_) != napi_ok ||
      key_texts_ == 0 || key_texts_ > kMaximumKeyTexts || !ReadLength(env_, row_keys, &texts) ||
      texts % key_texts_ != 0 || !ReadLength(env_, cells, &cell_count)) {
    return false;
  }
  row_keys_ = row_keys;
  cells_ = cells;
  columns_ = columns;
  rows_ = texts / key_texts_;
  return uint64_t{rows_} * columns_ == cell_count;
}

bool Batch::ReadPrefixes(napi_value prefixes) {
  uint32_t count;
  if (!ReadLength(env_, prefixes, &count) || count > kMaximumPrefixes) return false;
  prefixes_.reserve(count);
  for (uint32_t index = 0; index < count; ++index) {
    napi_value element;
    ByteView bytes;
    if (napi_get_element(env_, prefixes, index, &element) != napi_ok || !ReadBytes(env_, element, &bytes) ||
        bytes.size > kMaximumPrefixBytes) {
      return false;
    }
    prefixes_.emplace_back(bytes.data, bytes.data + bytes.size);
    longest_prefix_ = std::max(longest_prefix_, bytes.size);
  }
  return true;
}

bool Batch::EnterRow(uint32_t row) {
  size_t end = longest_prefix_;
  for (uint32_t index = 0; index < key_texts_; ++index) {
    napi_value text;
    size_t size;
    if (napi_get_element(env_, row_keys_, row * key_texts_ + index, &text) != napi_ok ||
        !ReadText(env_, text, &associated_data_, end + kLengthBytes, &size) || size > kMaximumRowBytes) {
      return false;
    }
    WriteLength(associated_data_.data() + end, size);
    end += kLengthBytes + size;
  }
  row_bytes_ = end - longest_prefix_;
  return true;
}

bool Batch::Cell(uint32_t index, napi_value* cell) const {
  return napi_get_element(env_, cells_, index, cell) == napi_ok;
}

ByteView Batch::AssociatedData(uint32_t prefix) {
  const std::vector<uint8_t>& bytes = prefixes_[prefix];
  uint8_t* const start = associated_data_.data() + longest_prefix_ - bytes.size();
  std::copy(bytes.begin(), bytes.end(), start);
  return {start, bytes.size() + row_bytes_};
}

}  // namespace nest_hsm
