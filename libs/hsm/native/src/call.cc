#include "call.h"

#include <cstring>

namespace nest_hsm {
namespace {

uint8_t* CopyTo(uint8_t* target, ByteView source) {
  if (source.size > 0) std::memcpy(target, source.data, source.size);
  return target + source.size;
}

/// A memset that the compiler may not leave out.
void Wipe(uint8_t* bytes, size_t size) {
  std::memset(bytes, 0, size);
  __asm__ __volatile__("" : : "r"(bytes) : "memory");
}

}  // namespace

Call::Call(const CallTerms& terms, ByteView nonce, ByteView associated_data)
    : ticket_(terms.ticket),
      operation_(terms.operation),
      session_(terms.session),
      key_(terms.key),
      mechanism_{terms.mechanism, nullptr, 0},
      data_bytes_(terms.data.size),
      output_bytes_(terms.output_bytes),
      storage_bytes_(terms.data.size + terms.output_bytes + nonce.size + associated_data.size + 1),
      storage_(new uint8_t[storage_bytes_]) {
  uint8_t* after_data = CopyTo(storage_.get(), terms.data);
  uint8_t* after_nonce = CopyTo(after_data + terms.output_bytes, nonce);
  CopyTo(after_nonce, associated_data);
}

Call::Call(const CallTerms& terms, const CK_RSA_PKCS_PSS_PARAMS& pss) : Call(terms, {}, {}) {
  parameter_ = Parameter::kPss;
  pss_ = pss;
}

Call::Call(const CallTerms& terms, const GcmTerms& gcm) : Call(terms, gcm.nonce, gcm.associated_data) {
  uint8_t* nonce = storage_.get() + data_bytes_ + output_bytes_;
  parameter_ = Parameter::kGcm;
  gcm_.pIv = gcm.nonce.size == 0 ? nullptr : nonce;
  gcm_.ulIvLen = gcm.nonce.size;
  gcm_.ulIvBits = gcm.nonce.size * 8;
  gcm_.pAAD = gcm.associated_data.size == 0 ? nullptr : nonce + gcm.nonce.size;
  gcm_.ulAADLen = gcm.associated_data.size;
  gcm_.ulTagBits = gcm.tag_bits;
}

Call::~Call() { Wipe(storage_.get(), storage_bytes_); }

void Call::Run(const CK_FUNCTION_LIST& functions) {
  if (parameter_ == Parameter::kPss) mechanism_ = {mechanism_.mechanism, &pss_, sizeof pss_};
  if (parameter_ == Parameter::kGcm) mechanism_ = {mechanism_.mechanism, &gcm_, sizeof gcm_};

  OnePartInit init = functions.C_SignInit;
  OnePart finish = functions.C_Sign;
  if (operation_ == Operation::kEncrypt) {
    init = functions.C_EncryptInit;
    finish = functions.C_Encrypt;
  } else if (operation_ == Operation::kDecrypt) {
    init = functions.C_DecryptInit;
    finish = functions.C_Decrypt;
  }

  return_value_ = init(session_, &mechanism_, key_);
  if (return_value_ != CKR_OK) return;
  stage_ = Stage::kFinish;
  const CK_ULONG room = output_bytes_;
  return_value_ = finish(session_, storage_.get(), data_bytes_, storage_.get() + data_bytes_, &output_bytes_);
  // A module that claims to have written more than there was room for has broken its promise already: read no further.
  if (output_bytes_ > room) output_bytes_ = 0;
}

ByteView Call::output() const {
  if (return_value_ != CKR_OK) return {};
  return {storage_.get() + data_bytes_, output_bytes_};
}

}  // namespace nest_hsm
