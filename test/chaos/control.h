/*
 * The control file: a header and one record per steered function, mapped by every process that loaded the shim and written
 * by the test with plain writes. The same offsets are in control-file.ts; the magic number is raised with every change.
 */
#ifndef NEST_HSM_CHAOS_CONTROL_H
#define NEST_HSM_CHAOS_CONTROL_H

#include <stdint.h>

#define CONTROL_MAGIC 0x4e485302u
#define CONTROL_FOREVER UINT64_MAX

enum control_action {
  ACTION_NONE = 0,
  ACTION_FAIL = 1,    /* return `argument` without calling the module */
  ACTION_FREEZE = 2,  /* block until the action is taken away, then go on */
  ACTION_CORRUPT = 3, /* call the module, then flip one bit of its output */
  ACTION_CRASH = 4,   /* argument 0: abort(); 1: write to address 0 */
};

struct control_header {
  uint32_t magic;
  uint32_t record_count;
  uint32_t frozen;  /* not 0: every function blocks */
  uint32_t off;     /* not 0: the device is gone */
  uint64_t epoch;   /* raised by a restart: sessions of an earlier epoch are dead until C_Finalize + C_Initialize */
  uint64_t unused[5];
};

struct control_record {
  char name[32]; /* e.g. C_Sign, zero-padded */
  uint64_t calls;             /* counted by the shim, over all processes */
  uint64_t delay_nanoseconds; /* slept by every call, on its own thread */
  uint64_t throttle_per_second; /* 0: none; calls beyond it return CKR_FUNCTION_FAILED */
  uint64_t throttle_next;     /* the shim's: when the next call is due, in monotonic nanoseconds */
  uint64_t action;            /* enum control_action */
  uint64_t argument;
  uint64_t after;             /* calls that pass before the action starts */
  uint64_t times;             /* calls the action still meets; CONTROL_FOREVER: all */
  uint64_t unused[4];
};

_Static_assert(sizeof(struct control_header) == 64, "the header is 64 bytes");
_Static_assert(sizeof(struct control_record) == 128, "a record is 128 bytes");

#endif
