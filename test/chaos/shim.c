/*
 * A PKCS#11 module that stands in front of another one and misbehaves on demand. Loaded by the token agent in place of the
 * real module; NEST_HSM_CHAOS_MODULE names the real one, NEST_HSM_CHAOS_CONTROL the control file (control.h) through which
 * a test steers it while it runs. Functions that are not in the table below pass straight through. It touches no token but
 * one that a test made: the control file must lie beside SoftHSM's configuration, which must name no other directory's tokens.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CK_PTR *
#define CK_DEFINE_FUNCTION(returnType, name) returnType name
#define CK_DECLARE_FUNCTION(returnType, name) returnType name
#define CK_DECLARE_FUNCTION_POINTER(returnType, name) returnType(*name)
#define CK_CALLBACK_FUNCTION(returnType, name) returnType(*name)
#ifndef NULL_PTR
#define NULL_PTR NULL
#endif
#include <pkcs11/pkcs11.h>

#include "control.h"

#define SESSION CK_SESSION_HANDLE s
#define BYTES(p, n) CK_BYTE_PTR p, CK_ULONG n
#define OUT(p, n) CK_BYTE_PTR p, CK_ULONG_PTR n

/* X(name, parameters, arguments, output, length of output): the output is what "corrupt" flips a bit of. */
#define FUNCTIONS(X)                                                                                                   \
  X(C_Initialize, (CK_VOID_PTR a), (a), NULL, NULL)                                                                    \
  X(C_Finalize, (CK_VOID_PTR a), (a), NULL, NULL)                                                                      \
  X(C_GetInfo, (CK_INFO_PTR i), (i), NULL, NULL)                                                                       \
  X(C_GetSlotList, (CK_BBOOL t, CK_SLOT_ID_PTR l, CK_ULONG_PTR n), (t, l, n), NULL, NULL)                              \
  X(C_GetSlotInfo, (CK_SLOT_ID l, CK_SLOT_INFO_PTR i), (l, i), NULL, NULL)                                             \
  X(C_GetTokenInfo, (CK_SLOT_ID l, CK_TOKEN_INFO_PTR i), (l, i), NULL, NULL)                                           \
  X(C_GetMechanismList, (CK_SLOT_ID l, CK_MECHANISM_TYPE_PTR m, CK_ULONG_PTR n), (l, m, n), NULL, NULL)                \
  X(C_GetMechanismInfo, (CK_SLOT_ID l, CK_MECHANISM_TYPE m, CK_MECHANISM_INFO_PTR i), (l, m, i), NULL, NULL)           \
  X(C_InitToken, (CK_SLOT_ID l, CK_UTF8CHAR_PTR p, CK_ULONG n, CK_UTF8CHAR_PTR t), (l, p, n, t), NULL, NULL)           \
  X(C_InitPIN, (SESSION, CK_UTF8CHAR_PTR p, CK_ULONG n), (s, p, n), NULL, NULL)                                        \
  X(C_SetPIN, (SESSION, CK_UTF8CHAR_PTR o, CK_ULONG on, CK_UTF8CHAR_PTR p, CK_ULONG n), (s, o, on, p, n), NULL, NULL)  \
  X(C_OpenSession, (CK_SLOT_ID l, CK_FLAGS f, CK_VOID_PTR a, CK_NOTIFY n, CK_SESSION_HANDLE_PTR s), (l, f, a, n, s),   \
    NULL, NULL)                                                                                                        \
  X(C_CloseSession, (SESSION), (s), NULL, NULL)                                                                        \
  X(C_CloseAllSessions, (CK_SLOT_ID l), (l), NULL, NULL)                                                               \
  X(C_GetSessionInfo, (SESSION, CK_SESSION_INFO_PTR i), (s, i), NULL, NULL)                                            \
  X(C_Login, (SESSION, CK_USER_TYPE u, CK_UTF8CHAR_PTR p, CK_ULONG n), (s, u, p, n), NULL, NULL)                       \
  X(C_Logout, (SESSION), (s), NULL, NULL)                                                                              \
  X(C_CreateObject, (SESSION, CK_ATTRIBUTE_PTR t, CK_ULONG n, CK_OBJECT_HANDLE_PTR o), (s, t, n, o), NULL, NULL)       \
  X(C_DestroyObject, (SESSION, CK_OBJECT_HANDLE o), (s, o), NULL, NULL)                                                \
  X(C_GetAttributeValue, (SESSION, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_PTR t, CK_ULONG n), (s, o, t, n), NULL, NULL)      \
  X(C_SetAttributeValue, (SESSION, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_PTR t, CK_ULONG n), (s, o, t, n), NULL, NULL)      \
  X(C_FindObjectsInit, (SESSION, CK_ATTRIBUTE_PTR t, CK_ULONG n), (s, t, n), NULL, NULL)                               \
  X(C_FindObjects, (SESSION, CK_OBJECT_HANDLE_PTR o, CK_ULONG m, CK_ULONG_PTR n), (s, o, m, n), NULL, NULL)            \
  X(C_FindObjectsFinal, (SESSION), (s), NULL, NULL)                                                                    \
  X(C_EncryptInit, (SESSION, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k), (s, m, k), NULL, NULL)                           \
  X(C_Encrypt, (SESSION, BYTES(d, dn), OUT(e, en)), (s, d, dn, e, en), e, en)                                          \
  X(C_DecryptInit, (SESSION, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k), (s, m, k), NULL, NULL)                           \
  X(C_Decrypt, (SESSION, BYTES(e, en), OUT(d, dn)), (s, e, en, d, dn), d, dn)                                          \
  X(C_DigestInit, (SESSION, CK_MECHANISM_PTR m), (s, m), NULL, NULL)                                                   \
  X(C_Digest, (SESSION, BYTES(d, dn), OUT(h, hn)), (s, d, dn, h, hn), h, hn)                                           \
  X(C_SignInit, (SESSION, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k), (s, m, k), NULL, NULL)                              \
  X(C_Sign, (SESSION, BYTES(d, dn), OUT(g, gn)), (s, d, dn, g, gn), g, gn)                                             \
  X(C_SignUpdate, (SESSION, BYTES(d, dn)), (s, d, dn), NULL, NULL)                                                     \
  X(C_SignFinal, (SESSION, OUT(g, gn)), (s, g, gn), g, gn)                                                             \
  X(C_VerifyInit, (SESSION, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k), (s, m, k), NULL, NULL)                            \
  X(C_Verify, (SESSION, BYTES(d, dn), BYTES(g, gn)), (s, d, dn, g, gn), NULL, NULL)                                    \
  X(C_GenerateKey, (SESSION, CK_MECHANISM_PTR m, CK_ATTRIBUTE_PTR t, CK_ULONG n, CK_OBJECT_HANDLE_PTR k),              \
    (s, m, t, n, k), NULL, NULL)                                                                                       \
  X(C_GenerateKeyPair,                                                                                                 \
    (SESSION, CK_MECHANISM_PTR m, CK_ATTRIBUTE_PTR pt, CK_ULONG pn, CK_ATTRIBUTE_PTR vt, CK_ULONG vn,                  \
     CK_OBJECT_HANDLE_PTR p, CK_OBJECT_HANDLE_PTR v),                                                                  \
    (s, m, pt, pn, vt, vn, p, v), NULL, NULL)                                                                          \
  X(C_WrapKey, (SESSION, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE w, CK_OBJECT_HANDLE k, OUT(o, n)), (s, m, w, k, o, n),   \
    o, n)                                                                                                              \
  X(C_UnwrapKey,                                                                                                       \
    (SESSION, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE u, BYTES(w, wn), CK_ATTRIBUTE_PTR t, CK_ULONG n,                    \
     CK_OBJECT_HANDLE_PTR k),                                                                                          \
    (s, m, u, w, wn, t, n, k), NULL, NULL)                                                                             \
  X(C_SeedRandom, (SESSION, BYTES(d, n)), (s, d, n), NULL, NULL)                                                       \
  X(C_GenerateRandom, (SESSION, BYTES(d, n)), (s, d, n), d, &n)

#define INDEX(name, ...) INDEX_##name,
enum { FUNCTIONS(INDEX) FUNCTION_COUNT };

#define NAME(name, ...) #name,
static const char *const names[FUNCTION_COUNT] = {FUNCTIONS(NAME)};

static CK_FUNCTION_LIST_PTR module;
static struct control_header *control;
static struct control_record *records[FUNCTION_COUNT]; /* NULL: not steered by this control file */

static CK_RV before(int function, int *corrupt);
static void flip_a_bit(CK_BYTE_PTR output, const CK_ULONG *output_bytes);

#define WRAPPER(name, parameters, arguments, output, output_bytes)                                                     \
  static CK_RV steered_##name parameters {                                                                             \
    int corrupt = 0;                                                                                                   \
    CK_RV result = before(INDEX_##name, &corrupt);                                                                     \
    if (result != CKR_OK) return result;                                                                               \
    result = module->name arguments;                                                                                   \
    if (corrupt && result == CKR_OK) flip_a_bit(output, output_bytes);                                                 \
    return result;                                                                                                     \
  }
FUNCTIONS(WRAPPER)

static CK_RV slots_of_a_missing_device(CK_BBOOL token_present, CK_SLOT_ID_PTR list, CK_ULONG_PTR count);
static int open_control(void);
static int token_is_ours(void);

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  static CK_FUNCTION_LIST steered;
  if (module == NULL) {
    const char *path = getenv("NEST_HSM_CHAOS_MODULE");
    void *library = path == NULL ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList real = library == NULL ? NULL : (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList");
    if (real == NULL || !open_control() || real(&module) != CKR_OK) {
      fprintf(stderr, "chaos shim: want NEST_HSM_CHAOS_MODULE and NEST_HSM_CHAOS_CONTROL, got one that is unusable\n");
      return CKR_GENERAL_ERROR;
    }
    if (!token_is_ours()) {
      fprintf(stderr, "chaos shim: want a token that was made beside NEST_HSM_CHAOS_CONTROL, got SOFTHSM2_CONF of another\n");
      return CKR_GENERAL_ERROR;
    }
    steered = *module;
#define INSTALL(name, ...) steered.name = steered_##name;
    FUNCTIONS(INSTALL)
    steered.C_GetSlotList = slots_of_a_missing_device;
    steered.C_GetFunctionList = C_GetFunctionList;
  }
  *list = &steered;
  return CKR_OK;
}

static int open_control(void) {
  const char *path = getenv("NEST_HSM_CHAOS_CONTROL");
  int file = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
  struct stat status;
  if (file < 0 || fstat(file, &status) != 0 || status.st_size < (off_t)sizeof(struct control_header)) return 0;
  control = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (control == MAP_FAILED || control->magic != CONTROL_MAGIC) return 0;
  if ((size_t)status.st_size < sizeof *control + control->record_count * sizeof(struct control_record)) return 0;

  struct control_record *each = (struct control_record *)(control + 1);
  for (uint32_t i = 0; i < control->record_count; i++, each++) {
    int function = 0;
    while (function < FUNCTION_COUNT && strncmp(names[function], each->name, sizeof each->name) != 0) function++;
    if (function == FUNCTION_COUNT) return 0;
    records[function] = each;
  }
  return 1;
}

static size_t directory_length(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash == NULL ? 0 : (size_t)(slash - path) + 1;
}

/* The tokens, their configuration and the control file are in one directory: the one that the test made for them. */
static int token_is_ours(void) {
  const char *conf = getenv("SOFTHSM2_CONF"), *path = getenv("NEST_HSM_CHAOS_CONTROL");
  size_t length = directory_length(path);
  if (conf == NULL || length == 0 || directory_length(conf) != length || strncmp(conf, path, length) != 0) return 0;
  FILE *file = fopen(conf, "re");
  char line[4096];
  int ours = 0;
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    const char *equals = strchr(line, '=');
    if (strncmp(line, "directories.tokendir", 20) != 0 || equals == NULL) continue;
    const char *tokens = equals + 1 + strspn(equals + 1, " ");
    ours = strncmp(tokens, path, length) == 0 && strstr(tokens, "..") == NULL;
  }
  if (file != NULL) fclose(file);
  return ours;
}

#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_ACQUIRE)

static uint64_t monotonic_nanoseconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void sleep_for(uint64_t nanoseconds) {
  struct timespec left = {(time_t)(nanoseconds / 1000000000u), (long)(nanoseconds % 1000000000u)};
  while (nanosleep(&left, &left) != 0) {
  }
}

/* Takes one from a counter that several processes share; false when nothing is left. */
static int take(uint64_t *counter) {
  uint64_t left = LOAD(*counter);
  while (left != 0 && left != CONTROL_FOREVER) {
    if (__atomic_compare_exchange_n(counter, &left, left - 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) return 1;
  }
  return left != 0;
}

/* One call is due every 1/rate s; a tenth of a second's worth may come at once (generic cell rate algorithm). */
static int throttled(struct control_record *record) {
  uint64_t rate = LOAD(record->throttle_per_second);
  if (rate == 0) return 0;
  uint64_t interval = 1000000000u / rate, now = monotonic_nanoseconds(), next = LOAD(record->throttle_next), due;
  do {
    due = (next > now ? next : now) + interval;
    if (due > now + 100000000u + interval) return 1;
  } while (!__atomic_compare_exchange_n(&record->throttle_next, &next, due, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
  return 0;
}

static uint64_t initialised_epoch;
static uint32_t initialised_off;

/* A device that went away answers nothing until it is back and the module was finalised and initialised again. */
static int device_gone(int function) {
  if (function == INDEX_C_Initialize) {
    initialised_epoch = LOAD(control->epoch);
    initialised_off = LOAD(control->off);
  }
  if (function == INDEX_C_Initialize || function == INDEX_C_Finalize || function == INDEX_C_GetInfo) return 0;
  return initialised_off || LOAD(control->off) || LOAD(control->epoch) != initialised_epoch;
}

/* As p11-kit's client does when it is initialised while the remote token is down. */
static CK_RV slots_of_a_missing_device(CK_BBOOL token_present, CK_SLOT_ID_PTR list, CK_ULONG_PTR count) {
  if (!initialised_off) return steered_C_GetSlotList(token_present, list, count);
  *count = 0;
  return CKR_OK;
}

static CK_RV before(int function, int *corrupt) {
  while (LOAD(control->frozen)) sleep_for(1000000);
  if (device_gone(function)) return CKR_DEVICE_ERROR;
  struct control_record *record = records[function];
  if (record == NULL) return CKR_OK;

  __atomic_add_fetch(&record->calls, 1, __ATOMIC_ACQ_REL);
  uint64_t delay = LOAD(record->delay_nanoseconds);
  if (delay != 0) sleep_for(delay);
  if (throttled(record)) return CKR_FUNCTION_FAILED;

  uint64_t action = LOAD(record->action);
  if (action == ACTION_NONE || take(&record->after) || !take(&record->times)) return CKR_OK;
  switch (action) {
    case ACTION_FAIL:
      return LOAD(record->argument);
    case ACTION_FREEZE:
      while (LOAD(record->action) == ACTION_FREEZE) sleep_for(1000000);
      break;
    case ACTION_CORRUPT:
      *corrupt = 1;
      break;
    case ACTION_CRASH:
      if (LOAD(record->argument) == 0) abort();
      *(volatile int *)0 = 0;
  }
  return CKR_OK;
}

static void flip_a_bit(CK_BYTE_PTR output, const CK_ULONG *output_bytes) {
  if (output != NULL && *output_bytes != 0) output[*output_bytes / 2] ^= 1;
}
