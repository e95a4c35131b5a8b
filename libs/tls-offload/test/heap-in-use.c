// What of the C heap is in use, of all threads: the resident set keeps tens of megabytes more or less of what was freed (glibc).
#include <malloc.h>
#include <node_api.h>

static napi_value HeapInUse(napi_env env, napi_callback_info info) {
  (void)info;
  const struct mallinfo2 heap = mallinfo2();
  napi_value bytes = NULL;
  napi_create_double(env, (double)(heap.uordblks + heap.hblkhd), &bytes);
  return bytes;
}

NAPI_MODULE_INIT() {
  napi_value function = NULL;
  napi_create_function(env, "heapInUse", NAPI_AUTO_LENGTH, HeapInUse, NULL, &function);
  napi_set_named_property(env, exports, "heapInUse", function);
  return exports;
}
