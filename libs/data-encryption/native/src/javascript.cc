#include "javascript.h"

namespace nest_hsm {
namespace {

/// The longest UTF-8 sequence and the zero that Node-API writes: with less room left a text may have been cut off.
constexpr size_t kRoomOfDoubt = 5;

}  // namespace

bool ReadBytes(napi_env env, napi_value value, ByteView* bytes) {
  napi_typedarray_type type;
  size_t size;
  void* data;
  const napi_status status = napi_get_typedarray_info(env, value, &type, &size, &data, nullptr, nullptr);
  if (status != napi_ok || type != napi_uint8_array) return false;
  *bytes = {static_cast<const uint8_t*>(data), size};
  return true;
}

bool ReadText(napi_env env, napi_value value, SecretBytes* target, size_t offset, size_t* size) {
  if (!target->Reserve(offset + kRoomOfDoubt, offset)) return false;
  size_t room = target->capacity() - offset;
  char* text = reinterpret_cast<char*>(target->data() + offset);
  if (napi_get_value_string_utf8(env, value, text, room, size) != napi_ok) return false;
  if (*size + kRoomOfDoubt <= room) return true;

  size_t whole;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &whole) != napi_ok) return false;
  if (!target->Reserve(offset + whole + 1, offset)) return false;
  room = target->capacity() - offset;
  text = reinterpret_cast<char*>(target->data() + offset);
  return napi_get_value_string_utf8(env, value, text, room, size) == napi_ok && *size == whole;
}

bool ReadLength(napi_env env, napi_value array, uint32_t* length) {
  return napi_get_array_length(env, array, length) == napi_ok;
}

bool IsMissing(napi_env env, napi_value value) {
  napi_valuetype type;
  return napi_typeof(env, value, &type) == napi_ok && (type == napi_null || type == napi_undefined);
}

bool Results::Create() {
  return napi_create_array(env_, &array_) == napi_ok &&
         napi_get_named_property(env_, array_, "push", &push_) == napi_ok;
}

bool Results::Flush() {
  const bool is_added =
      napi_call_function(env_, array_, push_, added_.size(), added_.data(), nullptr) == napi_ok;
  added_.clear();
  return is_added;
}

}  // namespace nest_hsm
