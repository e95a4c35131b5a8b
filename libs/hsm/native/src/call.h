// One operation of the token on data that is given whole: C_SignInit + C_Sign, and the same for encrypt and decrypt.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "cryptoki.h"

namespace nest_hsm {

struct ByteView {
  const uint8_t* data = nullptr;
  size_t size = 0;
};

/// Numbered as in src/agent/child/pkcs11/token-calls.ts.
enum class Operation : uint32_t { kSign = 0, kEncrypt = 1, kDecrypt = 2 };

/// Numbered likewise: the function that returned what the call returned.
enum class Stage : uint32_t { kInit = 0, kFinish = 1 };

struct CallTerms {
  uint32_t ticket;
  Operation operation;
  CK_SESSION_HANDLE session;
  CK_OBJECT_HANDLE key;
  CK_ULONG mechanism;
  ByteView data;
  /// Room for the result.
  size_t output_bytes;
};

struct GcmTerms {
  /// None where the token draws it.
  ByteView nonce;
  ByteView associated_data;
  CK_ULONG tag_bits;
};

/// Owns copies of everything it works on, so that nothing of its caller is touched once it was made: a call that hangs may
/// outlive all of that. They are wiped when it ends.
class Call {
 public:
  explicit Call(const CallTerms& terms) : Call(terms, {}, {}) {}
  Call(const CallTerms& terms, const CK_RSA_PKCS_PSS_PARAMS& pss);
  Call(const CallTerms& terms, const GcmTerms& gcm);
  ~Call();
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  /// Blocks as long as the token does.
  void Run(const CK_FUNCTION_LIST& functions);
  /// It will not be run.
  void Fail(CK_RV return_value) { return_value_ = return_value; }

  uint32_t ticket() const { return ticket_; }
  CK_RV return_value() const { return return_value_; }
  Stage stage() const { return stage_; }
  /// Empty unless the token returned CKR_OK.
  ByteView output() const;

 private:
  enum class Parameter { kNone, kPss, kGcm };

  Call(const CallTerms& terms, ByteView nonce, ByteView associated_data);

  const uint32_t ticket_;
  const Operation operation_;
  const CK_SESSION_HANDLE session_;
  const CK_OBJECT_HANDLE key_;
  CK_MECHANISM mechanism_;
  Parameter parameter_ = Parameter::kNone;
  CK_RSA_PKCS_PSS_PARAMS pss_{};
  CK_GCM_PARAMS gcm_{};

  const CK_ULONG data_bytes_;
  CK_ULONG output_bytes_;
  const size_t storage_bytes_;
  /// data ‖ output ‖ nonce ‖ associated data; never empty, since modules refuse a null pointer even to nothing.
  const std::unique_ptr<uint8_t[]> storage_;

  CK_RV return_value_ = CKR_OK;
  Stage stage_ = Stage::kInit;
};

}  // namespace nest_hsm
