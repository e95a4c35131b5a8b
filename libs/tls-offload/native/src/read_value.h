// Values of JavaScript as C++: each function returns false when the value is of another kind.
#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "binding.h"

namespace nest_hsm {

inline bool ReadFlag(const Napi::Value& value, bool* flag) {
  if (!value.IsBoolean()) return false;
  *flag = value.As<Napi::Boolean>();
  return true;
}

inline bool ReadNumber(const Napi::Value& value, int64_t* number) {
  if (!value.IsNumber()) return false;
  *number = value.As<Napi::Number>().Int64Value();
  return true;
}

inline bool ReadText(const Napi::Value& value, std::string* text) {
  if (!value.IsString()) return false;
  *text = value.As<Napi::String>();
  return true;
}

inline bool ReadBytes(const Napi::Value& value, Bytes* bytes) {
  if (!IsBytes(value)) return false;
  const ByteView view = ViewOf(value);
  bytes->assign(view.data, view.data + view.size);
  return true;
}

template <typename Item>
bool ReadEach(const Napi::Value& value, Item item) {
  if (!value.IsArray()) return false;
  const auto array = value.As<Napi::Array>();
  for (uint32_t index = 0; index < array.Length(); ++index) {
    if (!item(array.Get(index))) return false;
  }
  return true;
}

template <typename Item>
bool ReadList(const Napi::Value& value, std::vector<Item>* list, bool (*read)(const Napi::Value&, Item*)) {
  return ReadEach(value, [&](const Napi::Value& each) {
    list->emplace_back();
    return read(each, &list->back());
  });
}

/// An object of the addon's own class, known by its tag.
template <typename Object>
Object* Tagged(const Napi::Value& value, const napi_type_tag* tag) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(tag)) return nullptr;
  return Object::Unwrap(value.As<Napi::Object>());
}

}  // namespace nest_hsm
