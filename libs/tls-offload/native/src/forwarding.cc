#include "forwarding.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace nest_hsm {
namespace {

/// How long a client may take to end its side once everything is sent.
constexpr uint64_t kLingerMilliseconds = 1000;

template <typename Handle>
uv_handle_t* AsHandle(Handle* handle) {
  return reinterpret_cast<uv_handle_t*>(handle);
}

}  // namespace

Forwarding* Forwardings::Add(std::shared_ptr<Session> session, int client, int upstream, ByteView preamble,
                             const Forwarding::Limits& limits, Forwarding::OnEnd on_end) {
  if (on_closed_) return nullptr;
  auto* forwarding = new Forwarding(this, std::move(session), client, upstream, preamble, limits, std::move(on_end));
  live_.insert(forwarding);
  if (forwarding->Start(loop_)) return forwarding;
  // Nobody is told of the end of what never began.
  forwarding->on_end_ = nullptr;
  forwarding->Stop();
  return nullptr;
}

void Forwardings::CloseAll(std::function<void()> on_closed) {
  on_closed_ = std::move(on_closed);
  if (live_.empty()) return on_closed_();
  const std::vector<Forwarding*> all(live_.begin(), live_.end());
  for (Forwarding* each : all) {
    each->on_end_ = nullptr;
    each->Stop();
  }
}

void Forwardings::Remove(Forwarding* forwarding) {
  live_.erase(forwarding);
  delete forwarding;
  if (on_closed_ && live_.empty()) on_closed_();
}

Forwarding::Forwarding(Forwardings* owner, std::shared_ptr<Session> session, int client, int upstream, ByteView preamble,
                       const Limits& limits, OnEnd on_end)
    : owner_(owner),
      limits_(limits),
      on_end_(std::move(on_end)),
      pump_(std::move(session), client, upstream, preamble, &owner->scratch_) {}

bool Forwarding::Start(uv_loop_t* loop) {
  uv_timer_init(loop, &timer_);
  Own(AsHandle(&timer_));
  began_at_ = moved_at_ = now();
  if (!Open(&client_, pump_.client()) || !Open(&upstream_, pump_.upstream())) return false;
  SetTimer();
  Watch(&client_, OnClient, 0);
  Watch(&upstream_, OnUpstream, UV_WRITABLE);
  return true;
}

bool Forwarding::Open(Side* side, const TcpEnd& end) {
  side->watched = end.valid() && uv_poll_init(timer_.loop, &side->poll, end.descriptor()) == 0;
  if (side->watched) Own(AsHandle(&side->poll));
  return side->watched;
}

/// The loop has to close what it has been given.
void Forwarding::Own(uv_handle_t* handle) {
  handle->data = this;
  ++open_handles_;
}

void Forwarding::OnClient(uv_poll_t* poll, int status, int events) {
  auto* self = static_cast<Forwarding*>(poll->data);
  if (events & UV_PRIORITIZED) self->client_.watches_errors = false;
  if (status < 0) self->pump_.OnClientBroken();
  if (events & UV_WRITABLE) self->pump_.OnClientWritable();
  if (events & UV_READABLE) self->pump_.OnClientReadable();
  self->Update();
}

void Forwarding::OnUpstream(uv_poll_t* poll, int status, int events) {
  auto* self = static_cast<Forwarding*>(poll->data);
  if (events & UV_PRIORITIZED) self->upstream_.watches_errors = false;
  if (status < 0) {
    // libuv watches it no more, until Update() wants to read the next part.
    self->upstream_.events = 0;
    self->upstream_.watches_errors = false;
    self->pump_.OnUpstreamError();
  }
  if (events & UV_WRITABLE) self->pump_.OnUpstreamWritable();
  if (events & UV_READABLE) self->pump_.OnUpstreamReadable();
  self->Update();
}

/// After anything that may have moved a byte or changed what is waited for.
void Forwarding::Update() {
  if (std::exchange(progress_, pump_.progress()) != pump_.progress()) moved_at_ = now();
  if (pump_.end() != Pump::End::kNone) return End();
  if (pump_.lingering() && lingers_since_ == 0) {
    lingers_since_ = now();
    SetTimer();
  }
  const auto events = [](const Pump::Interest& interest) {
    return (interest.readable ? UV_READABLE : 0) | (interest.writable ? UV_WRITABLE : 0);
  };
  Watch(&client_, OnClient, events(pump_.client_interest()));
  if (pump_.done_with_upstream()) {
    Release(&upstream_, &pump_.upstream());
  } else {
    Watch(&upstream_, OnUpstream, events(pump_.upstream_interest()));
  }
}

void Forwarding::Watch(Side* side, uv_poll_cb on_event, int events) {
  if (side->watches_errors) events |= UV_PRIORITIZED;
  if (std::exchange(side->events, events) == events) return;
  if (events == 0) {
    uv_poll_stop(&side->poll);
  } else {
    uv_poll_start(&side->poll, events, on_event);
  }
}

/// A descriptor is closed only when the loop does not watch it any more.
void Forwarding::Release(Side* side, TcpEnd* end) {
  if (std::exchange(side->watched, false)) uv_close(AsHandle(&side->poll), OnClosed);
  end->Close();
}

void Forwarding::SetTimer() {
  uint64_t at = lingers_since_ > 0 ? lingers_since_ + kLingerMilliseconds : moved_at_ + limits_.idle_milliseconds;
  if (limits_.lifetime_milliseconds > 0) at = std::min(at, began_at_ + limits_.lifetime_milliseconds);
  const auto on_time = [](uv_timer_t* timer) { static_cast<Forwarding*>(timer->data)->OnTime(); };
  uv_timer_start(&timer_, on_time, at > now() ? at - now() : 0, 0);
}

/// Bytes that move do not touch the timer: it looks, when it fires, whether it should have.
void Forwarding::OnTime() {
  if (lingers_since_ > 0 && now() >= lingers_since_ + kLingerMilliseconds) {
    pump_.StopLingering();
    return End();
  }
  if (limits_.lifetime_milliseconds > 0 && now() >= began_at_ + limits_.lifetime_milliseconds) return Abort(Pump::End::kExpired);
  if (lingers_since_ == 0 && now() >= moved_at_ + limits_.idle_milliseconds) return Abort(Pump::End::kIdle);
  SetTimer();
}

void Forwarding::Abort(Pump::End reason) {
  pump_.Abort(reason);
  End();
}

void Forwarding::End() {
  if (std::exchange(ended_, true)) return;
  uv_close(AsHandle(&timer_), OnClosed);
  Release(&client_, &pump_.client());
  Release(&upstream_, &pump_.upstream());
  if (const OnEnd on_end = std::move(on_end_)) on_end(pump_.end(), pump_.statistics());
}

void Forwarding::OnClosed(uv_handle_t* handle) {
  auto* self = static_cast<Forwarding*>(handle->data);
  if (--self->open_handles_ == 0 && self->ended_) self->owner_->Remove(self);
}

}  // namespace nest_hsm
