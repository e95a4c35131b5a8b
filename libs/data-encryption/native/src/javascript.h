// Reading what JavaScript passes: every function says whether the value is of the kind wanted, and never trusts a length.
#pragma once

#include <node_api.h>

#include <cstdint>
#include <vector>

#include "cell_key.h"
#include "secret_bytes.h"

namespace nest_hsm {

/// The bytes stay those of the array: they are to be used before JavaScript runs again.
bool ReadBytes(napi_env env, napi_value value, ByteView* bytes);

/// Reads a string as UTF-8 into `target` from `offset` on, and keeps what is before it.
bool ReadText(napi_env env, napi_value value, SecretBytes* target, size_t offset, size_t* size);

bool ReadLength(napi_env env, napi_value array, uint32_t* length);

bool IsMissing(napi_env env, napi_value value);

/// A JavaScript array that is filled many values at a time: setting an element costs more than encrypting a short cell.
class Results {
 public:
  explicit Results(napi_env env) : env_(env) {}

  bool Create();
  /// Handles must live until the next `Flush`.
  void Add(napi_value value) { added_.push_back(value); }
  bool Flush();
  napi_value array() const { return array_; }

 private:
  const napi_env env_;
  napi_value array_ = nullptr;
  napi_value push_ = nullptr;
  std::vector<napi_value> added_;
};

/// Frees the handles of a stretch of cells, on every way out.
class HandleScope {
 public:
  explicit HandleScope(napi_env env) : env_(env) { napi_open_handle_scope(env_, &scope_); }
  ~HandleScope() { napi_close_handle_scope(env_, scope_); }
  HandleScope(const HandleScope&) = delete;
  HandleScope& operator=(const HandleScope&) = delete;

 private:
  const napi_env env_;
  napi_handle_scope scope_ = nullptr;
};

}  // namespace nest_hsm
