#include "pump.h"

#include <utility>

namespace nest_hsm {
namespace {

// Buffers moved for one connection before the others have their turn.
constexpr int kBuffersATurn = 4;
// Answers to the client (key updates) that it does not read: beyond this nothing more is read from it.
constexpr size_t kUnreadAnswerBytes = 4 * Pump::kBufferBytes;

}  // namespace

Pump::Pump(std::shared_ptr<Session> session, int client, int upstream, ByteView preamble, Scratch* scratch)
    : session_(std::move(session)),
      client_(client),
      upstream_(upstream),
      scratch_(scratch),
      to_upstream_(preamble.data, preamble.data + preamble.size) {
  session_->SendTo(&client_);
}

Pump::Interest Pump::client_interest() const {
  const bool unread = to_upstream_.empty() && session_->unsent() <= kUnreadAnswerBytes;
  // The rest of a handshake message is read whatever else waits: all that is for the client waits for it.
  const bool wanted = client_finished_ || session_->holds_back() || (unread && !upstream_deaf_);
  return {!client_ended_ && wanted, session_->unsent() > 0};
}

Pump::Interest Pump::upstream_interest() const {
  return {!upstream_ended_ && session_->unsent() == 0 && !session_->holds_back(), !to_upstream_.empty()};
}

void Pump::OnClientReadable() {
  for (int buffers = 0; buffers < kBuffersATurn && end_ == End::kNone; ++buffers) {
    if (client_finished_) return DiscardFromClient();
    if (!client_interest().readable) return;
    size_t received = 0;
    switch (client_.Receive(scratch_->received.data(), kBufferBytes, &received)) {
      case TcpEnd::Outcome::kWouldBlock:
        return;
      case TcpEnd::Outcome::kBroken:
        return OnClientBroken();
      case TcpEnd::Outcome::kEnd:
        // FIN without close_notify.
        return Abort(End::kClientGone);
      case TcpEnd::Outcome::kSome:
        progress_ += received;
        TakeFromClient({scratch_->received.data(), received});
    }
    if (received < kBufferBytes) return;
  }
}

void Pump::TakeFromClient(ByteView received) {
  if (session_->holds_back() && session_->Handshake(std::exchange(received, {})) == Session::Progress::kFailed) {
    return BeginLingering(End::kRecordInvalid);
  }
  if (to_upstream_.empty() && !upstream_deaf_) Decrypt(received);
}

/// Hands on what has come, and what the session holds from before, until there is no more or the upstream is the slower.
void Pump::Decrypt(ByteView received) {
  while (end_ == End::kNone && !client_finished_) {
    const Session::ReadResult result = session_->Read(std::exchange(received, {}), scratch_->plaintext.data(), kBufferBytes);
    if (result.state == Session::ReadState::kFailed) return BeginLingering(End::kRecordInvalid);
    if (result.state == Session::ReadState::kClosed) {
      client_finished_ = true;
    } else if (result.bytes == 0) {
      break;
    } else {
      statistics_.from_client += result.bytes;
      if (!SendToUpstream({scratch_->plaintext.data(), result.bytes})) break;
    }
  }
  Settle();
}

/// What comes after close_notify is read and dropped, so that the end of the connection is seen.
void Pump::DiscardFromClient() {
  for (int buffers = 0; buffers < kBuffersATurn; ++buffers) {
    size_t received = 0;
    switch (client_.Receive(scratch_->received.data(), kBufferBytes, &received)) {
      case TcpEnd::Outcome::kSome:
        continue;
      case TcpEnd::Outcome::kWouldBlock:
        return;
      case TcpEnd::Outcome::kBroken:
        return OnClientBroken();
      case TcpEnd::Outcome::kEnd:
        client_ended_ = true;
        return Settle();
    }
  }
}

/// @returns false when some of it has to wait, or the connection has ended
bool Pump::SendToUpstream(ByteView plaintext) {
  size_t sent = 0;
  if (upstream_.Send(plaintext, false, &sent) == TcpEnd::Outcome::kBroken) {
    OnUpstreamRefused();
    return false;
  }
  progress_ += sent;
  to_upstream_.assign(plaintext.data + sent, plaintext.data + plaintext.size);
  return to_upstream_.empty();
}

void Pump::OnUpstreamWritable() {
  if (end_ != End::kNone || lingering_ || upstream_deaf_) return;
  if (!to_upstream_.empty()) {
    const ByteView unsent = {to_upstream_.data() + to_upstream_offset_, to_upstream_.size() - to_upstream_offset_};
    size_t sent = 0;
    if (upstream_.Send(unsent, false, &sent) == TcpEnd::Outcome::kBroken) return OnUpstreamRefused();
    progress_ += sent;
    to_upstream_offset_ += sent;
    if (sent < unsent.size) return;
    // An idle connection holds no buffer. (`= {}` would keep the memory.)
    to_upstream_ = Bytes();
    to_upstream_offset_ = 0;
  }
  Decrypt({});
}

void Pump::OnUpstreamReadable() {
  for (int buffers = 0; buffers < kBuffersATurn && end_ == End::kNone && upstream_interest().readable; ++buffers) {
    size_t received = 0;
    switch (upstream_.Receive(scratch_->received.data(), kBufferBytes, &received)) {
      case TcpEnd::Outcome::kWouldBlock:
        if (upstream_deaf_) OnUpstreamBroken();
        return;
      case TcpEnd::Outcome::kBroken:
        return OnUpstreamBroken();
      case TcpEnd::Outcome::kEnd:
        upstream_ended_ = true;
        Settle();
        if (upstream_deaf_) OnUpstreamBroken();
        return;
      case TcpEnd::Outcome::kSome:
        progress_ += received;
        statistics_.from_upstream += received;
        if (!session_->Write({scratch_->received.data(), received})) return Abort(End::kRecordInvalid);
        if (session_->peer_gone()) return OnClientBroken();
    }
    if (received < kBufferBytes) return;
  }
}

void Pump::OnClientWritable() {
  if (end_ != End::kNone) return;
  const size_t before = session_->unsent();
  session_->Flush();
  if (session_->peer_gone()) return OnClientBroken();
  progress_ += before - session_->unsent();
  Settle();
}

void Pump::OnClientBroken() {
  // While lingering there is nothing left that the client could miss.
  if (lingering_) Finish(lingering_for_);
  else Abort(End::kClientGone);
}

void Pump::OnUpstreamBroken() {
  if (end_ != End::kNone || lingering_) return;
  // It has said all it had to say, and does not want to hear more: the client gets the whole of it, in order.
  if (upstream_ended_) BeginLingering(End::kUpstreamGone);
  else Abort(End::kUpstreamGone);
}

/// The call that failed has taken the error along, and what is read from now on ends as if in order. That is the truth only where
/// the end had come before.
void Pump::OnUpstreamRefused() {
  if (upstream_.peer_ended_first()) OnUpstreamError();
  else OnUpstreamBroken();
}

void Pump::OnUpstreamError() {
  if (end_ != End::kNone || lingering_) return;
  if (upstream_ended_) return OnUpstreamBroken();
  upstream_deaf_ = true;
  to_upstream_ = Bytes();
  to_upstream_offset_ = 0;
  OnUpstreamReadable();
}

/// Passes on the ends that nothing stands before any more.
void Pump::Settle() {
  if (end_ != End::kNone) return;
  if (client_finished_ && to_upstream_.empty() && !std::exchange(fin_sent_to_upstream_, true)) upstream_.FinishWriting();
  if (upstream_ended_ && !std::exchange(close_notify_made_, true)) session_->Shutdown();
  const bool said_all = close_notify_made_ || lingering_;
  if (said_all && session_->unsent() == 0 && !std::exchange(fin_sent_to_client_, true)) client_.FinishWriting();
  if (!fin_sent_to_client_ || !fin_sent_to_upstream_) return;
  if (client_ended_) {
    Finish(lingering_ ? lingering_for_ : End::kOrderly);
  } else {
    BeginLingering(End::kOrderly);
  }
}

/// Done with the upstream, one way or another. What is left is that the client gets the last that we have for it.
void Pump::BeginLingering(End reason) {
  if (std::exchange(lingering_, true)) return;
  lingering_for_ = reason;
  if (reason != End::kOrderly) upstream_.ResetOnClose();
  to_upstream_ = Bytes();
  client_finished_ = true;
  upstream_ended_ = true;
  close_notify_made_ = true;
  fin_sent_to_upstream_ = true;
  Settle();
}

void Pump::StopLingering() {
  if (lingering_) Finish(lingering_for_);
}

void Pump::Abort(End reason) {
  if (end_ != End::kNone) return;
  client_.ResetOnClose();
  upstream_.ResetOnClose();
  Finish(reason);
}

void Pump::Finish(End reason) {
  if (end_ != End::kNone) return;
  end_ = reason;
  session_->SendTo(nullptr);
  session_->Close();
  to_upstream_ = Bytes();
}

}  // namespace nest_hsm
