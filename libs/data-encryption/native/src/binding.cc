// The face towards JavaScript, described in src/cells/native-cells.ts. One instance per Node environment (main thread, each worker).
#include <napi.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "batch.h"
#include "cell_key.h"
#include "decryption.h"
#include "encryption.h"
#include "index_key.h"
#include "javascript.h"

namespace nest_hsm {
namespace {

constexpr napi_type_tag kCellKeyTag = {0x6e6573742d68736d, 0x63656c6c2d6b6579};

/// Above what any database has.
constexpr size_t kMaximumColumns = 1 << 14;

/// About how many cells are added to the results at once, as arguments of one call, and their handles freed together.
constexpr uint32_t kCellsAtOnce = 128;

struct Environment {
  CipherPtr aes_256_gcm;
  MacPtr hmac;
};

void Throw(Napi::Env env, const char* message) {
  if (!env.IsExceptionPending()) Napi::TypeError::New(env, message).ThrowAsJavaScriptException();
}

/// `new CellKey(header, key)`: 28 characters and 32 bytes, which stay the caller's to overwrite.
class CellKeyObject : public Napi::ObjectWrap<CellKeyObject> {
 public:
  static Napi::Function Define(Napi::Env env) { return DefineClass(env, "CellKey", {}); }

  explicit CellKeyObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    const Napi::Env env = info.Env();
    ByteView header, key;
    if (!ReadBytes(env, info[0], &header) || header.size != kHeaderCharacters || !ReadBytes(env, info[1], &key) ||
        key.size != kKeyBytes) {
      Throw(env, "CellKey: want a header of 28 characters and a key of 32 bytes");
      return;
    }
    CellHeader characters;
    std::copy_n(header.data, kHeaderCharacters, characters.begin());
    key_ = CellKey::Create(env.GetInstanceData<Environment>()->aes_256_gcm.get(), key.data, characters);
    if (key_ == nullptr) {
      Throw(env, "CellKey: want AES-256-GCM of OpenSSL, got none");
      return;
    }
    info.This().As<Napi::Object>().TypeTag(&kCellKeyTag);
  }

  /// @returns nothing when the value is no key
  static CellKey* Of(napi_env env, napi_value value) {
    const Napi::Value object(env, value);
    if (!object.IsObject() || !object.As<Napi::Object>().CheckTypeTag(&kCellKeyTag)) return nullptr;
    return Unwrap(object.As<Napi::Object>())->key_.get();
  }

 private:
  std::unique_ptr<CellKey> key_;
};

/// `new IndexKey(tag, key)`: 8 characters and 32 bytes, which stay the caller's to overwrite.
class IndexKeyObject : public Napi::ObjectWrap<IndexKeyObject> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "IndexKey", {InstanceMethod<&IndexKeyObject::Text>("text")});
  }

  explicit IndexKeyObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    const Napi::Env env = info.Env();
    ByteView tag, key;
    if (!ReadBytes(env, info[0], &tag) || tag.size != kIndexTagCharacters || !ReadBytes(env, info[1], &key) ||
        key.size != kIndexKeyBytes) {
      Throw(env, "IndexKey: want a tag of 8 characters and a key of 32 bytes");
      return;
    }
    IndexTag characters;
    std::copy_n(tag.data, kIndexTagCharacters, characters.begin());
    key_ = IndexKey::Create(env.GetInstanceData<Environment>()->hmac.get(), key.data, characters);
    if (key_ == nullptr) Throw(env, "IndexKey: want HMAC-SHA-256 of OpenSSL, got none");
  }

 private:
  /// text(type, plaintext). V8 refuses to call it of anything that the constructor has not made.
  Napi::Value Text(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    uint32_t type;
    SecretBytes memory;
    ByteView plaintext;
    IndexText text;
    napi_value value;
    if (napi_get_value_uint32(env, info[0], &type) != napi_ok || type > std::numeric_limits<uint8_t>::max() ||
        !ReadPlaintext(env, info[1], &memory, &plaintext) ||
        !key_->Text(static_cast<uint8_t>(type), plaintext, &text) ||
        napi_create_string_latin1(env, text.data(), text.size(), &value) != napi_ok) {
      Throw(env, "IndexKey.text: want the byte of a type, a plaintext and memory for it");
      return env.Undefined();
    }
    return {env, value};
  }

  /// @param memory  for that of a string; bytes stay where they are
  static bool ReadPlaintext(napi_env env, napi_value value, SecretBytes* memory, ByteView* plaintext) {
    size_t size;
    if (!ReadText(env, value, memory, 0, &size)) return ReadBytes(env, value, plaintext);
    *plaintext = {memory->data(), size};
    return true;
  }

  std::unique_ptr<IndexKey> key_;
};

/// Adds the results of each row, until one fails.
template <typename Each>
bool EachRow(napi_env env, const Batch& batch, Results* results, Each each) {
  const uint32_t rows = batch.rows();
  const uint32_t rows_at_once = std::max(1u, kCellsAtOnce / batch.columns());
  for (uint32_t row = 0; row < rows;) {
    const HandleScope scope(env);
    for (const uint32_t end = std::min(rows, row + rows_at_once); row < end; ++row) {
      if (!each(row)) return false;
    }
    if (!results->Flush()) return false;
  }
  return true;
}

/// encryptCells(key, prefixes, rowKeys, keyTexts, cells)
Napi::Value EncryptCells(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  CellKey* const key = CellKeyObject::Of(env, info[0]);
  Batch batch(env);
  uint32_t columns = 0;
  Results results(env);
  if (key == nullptr || !ReadLength(env, info[1], &columns) ||
      !batch.Read(info[1], info[2], info[3], info[4], columns) || !results.Create()) {
    Throw(env, "encryptCells: want arguments as declared");
    return env.Undefined();
  }
  Encryption encryption(env, key, &batch);
  const auto encrypt = [&](uint32_t row) { return encryption.EncryptRow(row, &results); };
  if (EachRow(env, batch, &results, encrypt)) return {env, results.array()};
  Throw(env, "encryptCells: want plaintexts, memory for them and randomness");
  return env.Undefined();
}

bool ReadKeys(Napi::Env env, napi_value value, std::vector<CellKey*>* keys) {
  uint32_t count;
  if (!ReadLength(env, value, &count)) return false;
  for (uint32_t index = 0; index < count; ++index) {
    napi_value element;
    if (napi_get_element(env, value, index, &element) != napi_ok) return false;
    // The handle keeps the object alive until the call returns.
    CellKey* const key = CellKeyObject::Of(env, element);
    if (key == nullptr) return false;
    keys->push_back(key);
  }
  return true;
}

/// Copies the bytes: reading other arguments may run JavaScript, which may take the memory of the array away.
bool ReadKinds(Napi::Env env, napi_value value, std::vector<uint8_t>* are_texts) {
  ByteView bytes;
  if (!ReadBytes(env, value, &bytes) || bytes.size > kMaximumColumns) return false;
  are_texts->assign(bytes.data, bytes.data + bytes.size);
  return true;
}

/// decryptCells(keys, prefixes, areTexts, rowKeys, keyTexts, cells). @returns the number of the cell that does not decrypt instead
Napi::Value DecryptCells(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::vector<CellKey*> keys;
  std::vector<uint8_t> are_texts;
  Batch batch(env);
  Results results(env);
  if (!ReadKeys(env, info[0], &keys) || !ReadKinds(env, info[2], &are_texts) ||
      !batch.Read(info[1], info[3], info[4], info[5], static_cast<uint32_t>(are_texts.size())) ||
      batch.prefixes() != keys.size() * are_texts.size() || !results.Create()) {
    Throw(env, "decryptCells: want arguments as declared");
    return env.Undefined();
  }
  Decryption decryption(env, keys, are_texts, &batch);
  uint32_t failed = 0;
  const auto decrypt = [&](uint32_t row) { return decryption.DecryptRow(row, &results, &failed); };
  if (EachRow(env, batch, &results, decrypt)) return {env, results.array()};
  return Napi::Number::New(env, failed);
}

Napi::Object Initialize(Napi::Env env, Napi::Object exports) {
  CipherPtr aes_256_gcm(EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr));
  MacPtr hmac(EVP_MAC_fetch(nullptr, "HMAC", nullptr));
  if (aes_256_gcm == nullptr || hmac == nullptr) {
    Throw(env, "data encryption addon: want AES-256-GCM and HMAC of OpenSSL, got none");
    return exports;
  }
  env.SetInstanceData(new Environment{std::move(aes_256_gcm), std::move(hmac)});
  exports["CellKey"] = CellKeyObject::Define(env);
  exports["IndexKey"] = IndexKeyObject::Define(env);
  exports["encryptCells"] = Napi::Function::New<EncryptCells>(env, "encryptCells");
  exports["decryptCells"] = Napi::Function::New<DecryptCells>(env, "decryptCells");
  return exports;
}

NODE_API_MODULE(data_encryption, Initialize)

}  // namespace
}  // namespace nest_hsm
