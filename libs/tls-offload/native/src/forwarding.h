// Forwarded connections on a libuv loop: what tells each pump when to move bytes, and when it has taken too long.
#pragma once

#include <uv.h>

#include <functional>
#include <memory>
#include <unordered_set>

#include "pump.h"

namespace nest_hsm {

class Forwardings;

/// One forwarded connection. Its owner is the loop: it is freed once the loop has let go of its handles, after its end.
class Forwarding {
 public:
  struct Limits {
    /// Ends a connection on which no byte has moved for so long.
    uint64_t idle_milliseconds = 0;
    /// Ends it so long after its beginning, whatever moves; 0: never.
    uint64_t lifetime_milliseconds = 0;
  };
  using OnEnd = std::function<void(Pump::End, const Pump::Statistics&)>;

  Forwarding(const Forwarding&) = delete;
  Forwarding& operator=(const Forwarding&) = delete;

  const Pump::Statistics& statistics() const { return pump_.statistics(); }
  /// Resets both sides; `on_end` is called before this returns.
  void Stop() { Abort(Pump::End::kStopped); }

 private:
  friend class Forwardings;

  /// One socket as the loop watches it.
  struct Side {
    uv_poll_t poll;
    bool watched = false;
    int events = 0;
    /// Tells of a reset while nothing is wanted. Urgent data would be announced for ever, so it ends that.
    bool watches_errors = true;
  };

  Forwarding(Forwardings* owner, std::shared_ptr<Session> session, int client, int upstream, ByteView preamble, const Limits& limits,
             OnEnd on_end);
  ~Forwarding() = default;

  bool Start(uv_loop_t* loop);
  bool Open(Side* side, const TcpEnd& end);
  void Watch(Side* side, uv_poll_cb on_event, int events);
  void Release(Side* side, TcpEnd* end);
  void Own(uv_handle_t* handle);
  void Update();
  void Abort(Pump::End reason);
  void End();
  void OnTime();
  void SetTimer();
  uint64_t now() const { return uv_now(timer_.loop); }

  static void OnClient(uv_poll_t* poll, int status, int events);
  static void OnUpstream(uv_poll_t* poll, int status, int events);
  static void OnClosed(uv_handle_t* handle);

  Forwardings* const owner_;
  const Limits limits_;
  OnEnd on_end_;
  Pump pump_;
  Side client_;
  Side upstream_;
  uv_timer_t timer_;
  int open_handles_ = 0;
  bool ended_ = false;
  // All in the loop's milliseconds.
  uint64_t began_at_ = 0;
  uint64_t moved_at_ = 0;
  /// 0: it does not.
  uint64_t lingers_since_ = 0;
  uint64_t progress_ = 0;
};

/// Those of one loop. Used by its thread alone.
class Forwardings {
 public:
  explicit Forwardings(uv_loop_t* loop) : loop_(loop) {}
  Forwardings(const Forwardings&) = delete;
  Forwardings& operator=(const Forwardings&) = delete;

  /// Forwards from the next turn of the loop on.
  /// @param client, upstream  descriptors of connected sockets, which are duplicated
  /// @returns null when the system has no descriptor left, or they are no sockets
  Forwarding* Add(std::shared_ptr<Session> session, int client, int upstream, ByteView preamble, const Forwarding::Limits& limits,
                  Forwarding::OnEnd on_end);

  /// Ends all without telling anybody, takes no more, and calls back once the loop holds nothing of them.
  void CloseAll(std::function<void()> on_closed);

  size_t live() const { return live_.size(); }

 private:
  friend class Forwarding;
  void Remove(Forwarding* forwarding);

  uv_loop_t* const loop_;
  Pump::Scratch scratch_;
  std::unordered_set<Forwarding*> live_;
  std::function<void()> on_closed_;
};

}  // namespace nest_hsm
