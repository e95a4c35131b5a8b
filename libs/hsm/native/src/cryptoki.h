// What this addon needs of PKCS #11 v2.40 (OASIS, pkcs11t.h and pkcs11f.h), declared from the specification: the one-part
// functions and the parameters of the mechanisms that have one. Unix only: Windows packs these structures.
#pragma once

namespace nest_hsm {

using CK_BYTE = unsigned char;
using CK_ULONG = unsigned long;
using CK_RV = CK_ULONG;
using CK_SESSION_HANDLE = CK_ULONG;
using CK_OBJECT_HANDLE = CK_ULONG;

constexpr CK_RV CKR_OK = 0;
constexpr CK_RV CKR_HOST_MEMORY = 2;
constexpr CK_RV CKR_GENERAL_ERROR = 5;
constexpr CK_RV CKR_ARGUMENTS_BAD = 7;

struct CK_MECHANISM {
  CK_ULONG mechanism;
  void* pParameter;
  CK_ULONG ulParameterLen;
};

struct CK_RSA_PKCS_PSS_PARAMS {
  CK_ULONG hashAlg;
  CK_ULONG mgf;
  CK_ULONG sLen;
};

struct CK_GCM_PARAMS {
  CK_BYTE* pIv;
  CK_ULONG ulIvLen;
  CK_ULONG ulIvBits;
  CK_BYTE* pAAD;
  CK_ULONG ulAADLen;
  CK_ULONG ulTagBits;
};

using OnePartInit = CK_RV (*)(CK_SESSION_HANDLE, CK_MECHANISM*, CK_OBJECT_HANDLE);
using OnePart = CK_RV (*)(CK_SESSION_HANDLE, CK_BYTE* data, CK_ULONG dataLen, CK_BYTE* output, CK_ULONG* outputLen);
using NotUsedHere = void (*)();

/// CK_FUNCTION_LIST up to C_Sign, in the order of the specification.
struct CK_FUNCTION_LIST {
  struct {
    CK_BYTE major;
    CK_BYTE minor;
  } version;
  NotUsedHere fromInitializeToFindObjectsFinal[29];
  OnePartInit C_EncryptInit;
  OnePart C_Encrypt;
  NotUsedHere C_EncryptUpdate;
  NotUsedHere C_EncryptFinal;
  OnePartInit C_DecryptInit;
  OnePart C_Decrypt;
  NotUsedHere C_DecryptUpdate;
  NotUsedHere C_DecryptFinal;
  NotUsedHere fromDigestInitToDigestFinal[5];
  OnePartInit C_SignInit;
  OnePart C_Sign;
};

using GetFunctionList = CK_RV (*)(CK_FUNCTION_LIST**);

}  // namespace nest_hsm
