#include "memory_bio.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>

namespace nest_hsm {

BIO* MemoryBio::NewBio() {
  BIO* bio = Method() == nullptr ? nullptr : BIO_new(Method());
  if (bio == nullptr) return nullptr;
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  return bio;
}

bool MemoryBio::KeepLeftOver() {
  left_over_.erase(left_over_.begin(), left_over_.begin() + static_cast<std::ptrdiff_t>(left_over_offset_));
  left_over_offset_ = 0;
  if (fresh_.size > 0) left_over_.insert(left_over_.end(), fresh_.data, fresh_.data + fresh_.size);
  fresh_ = {};
  // An idle connection holds no buffer.
  if (left_over_.empty()) left_over_.shrink_to_fit();
  return left_over_.size() <= kMaximumLeftOver;
}

void MemoryBio::ReserveOutput(size_t bytes) {
  if (sink_ == nullptr) output_.reserve(output_.size() + bytes);
}

Bytes MemoryBio::TakeOutput() { return std::exchange(output_, {}); }

void MemoryBio::Flush() {
  if (unsent() == 0) return;
  output_offset_ += SendNow({output_.data() + output_offset_, unsent()}, false);
  if (unsent() > 0) return;
  output_ = Bytes();
  output_offset_ = 0;
}

/// @returns how much of it is done with
size_t MemoryBio::SendNow(ByteView data, bool more) {
  size_t sent = 0;
  if (!sink_broken_) sink_broken_ = sink_->Send(data, more, &sent) == TcpEnd::Outcome::kBroken;
  return sink_broken_ ? data.size : sent;
}

const BIO_METHOD* MemoryBio::Method() {
  static std::once_flag once;
  static BIO_METHOD* method = nullptr;
  std::call_once(once, [] {
    BioMethodPtr made(BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "nest-hsm session"));
    if (made != nullptr && BIO_meth_set_read_ex(made.get(), Read) == 1 && BIO_meth_set_write_ex(made.get(), Write) == 1 &&
        BIO_meth_set_ctrl(made.get(), Control) == 1) {
      method = made.release();
    }
  });
  return method;
}

int MemoryBio::Read(BIO* bio, char* data, size_t size, size_t* read) {
  auto* self = static_cast<MemoryBio*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const size_t kept = std::min(size, self->left_over_.size() - self->left_over_offset_);
  if (kept > 0) {
    std::memcpy(data, self->left_over_.data() + self->left_over_offset_, kept);
    self->left_over_offset_ += kept;
  }
  const size_t fresh = std::min(size - kept, self->fresh_.size);
  if (fresh > 0) {
    std::memcpy(data + kept, self->fresh_.data, fresh);
    self->fresh_.data += fresh;
    self->fresh_.size -= fresh;
  }
  *read = kept + fresh;
  if (*read > 0) return 1;
  BIO_set_retry_read(bio);
  return 0;
}

int MemoryBio::Write(BIO* bio, const char* data, size_t size, size_t* written) {
  auto* self = static_cast<MemoryBio*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  *written = size;
  // In order: what waits goes first.
  const bool at_once = self->sink_ != nullptr && self->output_.empty();
  const size_t sent = at_once ? self->SendNow({reinterpret_cast<const uint8_t*>(data), size}, self->more_) : 0;
  if (sent < size) self->output_.insert(self->output_.end(), data + sent, data + size);
  return 1;
}

long MemoryBio::Control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

}  // namespace nest_hsm
