#include "tcp_end.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace nest_hsm {
namespace {

// Where a platform lacks one: Node.js ignores SIGPIPE in every process, and segments are merely fuller with the other.
#ifdef MSG_NOSIGNAL
constexpr int kNoSignal = MSG_NOSIGNAL;
#else
constexpr int kNoSignal = 0;
#endif
#ifdef MSG_MORE
constexpr int kMore = MSG_MORE;
#else
constexpr int kMore = 0;
#endif

// Linux says EPIPE of a reset that came after a FIN, and ECONNRESET of one that did not (tcp_reset in net/ipv4/tcp_input.c).
#ifdef __linux__
constexpr bool kTellsOfEnd = true;
#else
constexpr bool kTellsOfEnd = false;
#endif

template <typename Call>
ssize_t Repeat(Call call) {
  ssize_t result = 0;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

bool WouldBlock() { return errno == EAGAIN || errno == EWOULDBLOCK; }

}  // namespace

TcpEnd::TcpEnd(int descriptor_to_duplicate) : descriptor_(fcntl(descriptor_to_duplicate, F_DUPFD_CLOEXEC, 3)) {}

TcpEnd::Outcome TcpEnd::Receive(uint8_t* data, size_t capacity, size_t* received) {
  *received = 0;
  const ssize_t result = Repeat([&] { return recv(descriptor_, data, capacity, MSG_DONTWAIT); });
  if (result == 0) return Outcome::kEnd;
  if (result < 0) return WouldBlock() ? Outcome::kWouldBlock : Outcome::kBroken;
  *received = static_cast<size_t>(result);
  return Outcome::kSome;
}

TcpEnd::Outcome TcpEnd::Send(ByteView data, bool more, size_t* sent) {
  *sent = 0;
  const int flags = MSG_DONTWAIT | kNoSignal | (more ? kMore : 0);
  const ssize_t result = Repeat([&] { return send(descriptor_, data.data, data.size, flags); });
  if (result < 0) {
    if (WouldBlock()) return Outcome::kWouldBlock;
    peer_ended_first_ = kTellsOfEnd && errno == EPIPE;
    return Outcome::kBroken;
  }
  *sent = static_cast<size_t>(result);
  return Outcome::kSome;
}

void TcpEnd::FinishWriting() {
  if (valid()) shutdown(descriptor_, SHUT_WR);
}

void TcpEnd::ResetOnClose() {
  // POSIX leaves open what a linger time of zero does; on Linux and the BSDs it is RST.
  const linger abortive = {1, 0};
  if (valid()) setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &abortive, sizeof abortive);
}

void TcpEnd::Close() {
  if (valid()) close(std::exchange(descriptor_, -1));
}

}  // namespace nest_hsm
