#include "key_log.h"

#ifdef NEST_HSM_KEY_LOG

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace nest_hsm {
namespace {

void WriteLine(const SSL*, const char* line) {
  const char* path = std::getenv("SSLKEYLOGFILE");
  const int file = path == nullptr ? -1 : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return;
  const std::string text = std::string(line) + "\n";
  // One write: lines of several threads and processes stay whole.
  if (write(file, text.data(), text.size()) < 0) static_cast<void>(line);
  close(file);
}

}  // namespace

void KeepKeyLog(SSL_CTX* context) { SSL_CTX_set_keylog_callback(context, WriteLine); }

}  // namespace nest_hsm

#endif
