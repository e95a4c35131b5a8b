#include "call_threads.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

namespace nest_hsm {
namespace {

/// With calls shorter than this, and several at once, results come faster than they can be carried one by one: each costs a
/// wake-up and a write here, and a wake-up, a read and a write in the application.
constexpr std::chrono::microseconds kShortCall(250);
/// Then this part of what is under way is waited for, so that most of it goes on meanwhile, and no longer than this.
constexpr size_t kGatheredPart = 4;
constexpr std::chrono::microseconds kLongestGathering(100);
/// The weight of the newest duration in the average.
constexpr double kNewest = 1.0 / 16;

}  // namespace

std::shared_ptr<CallThreads> CallThreads::Create(const CK_FUNCTION_LIST* functions, std::function<void()> wake) {
  return std::shared_ptr<CallThreads>(new CallThreads(functions, std::move(wake)));
}

CallThreads::CallThreads(const CK_FUNCTION_LIST* functions, std::function<void()> wake)
    : functions_(functions), wake_(std::move(wake)) {}

void CallThreads::Start(Calls calls, size_t under_way) {
  Calls stranded;
  bool notify = false;
  {
    const std::lock_guard<std::mutex> lock(queue_mutex_);
    most_at_once_ = std::max(most_at_once_, under_way);
    for (std::unique_ptr<Call>& call : calls) queue_.push_back(std::move(call));
    notify = Summon();
    if (threads_ == 0) {
      for (std::unique_ptr<Call>& call : queue_) stranded.push_back(std::move(call));
      queue_.clear();
    }
  }
  if (notify) summons_.notify_one();
  for (std::unique_ptr<Call>& call : stranded) {
    call->Fail(CKR_HOST_MEMORY);
    HandBack(std::move(call), kShortCall);
  }
}

CallThreads::Calls CallThreads::TakeDone(size_t under_way) {
  std::unique_lock<std::mutex> lock(done_mutex_);
  if (average_duration_ < kShortCall) {
    wanted_ = under_way / kGatheredPart;
    gathered_.wait_for(lock, kLongestGathering, [this] { return done_.size() >= wanted_; });
    wanted_ = 0;
  }
  return std::exchange(done_, {});
}

void CallThreads::Close() {
  {
    const std::lock_guard<std::mutex> lock(wake_mutex_);
    wake_ = nullptr;
  }
  const std::lock_guard<std::mutex> lock(queue_mutex_);
  closed_ = true;
  queue_.clear();
  summons_.notify_all();
}

// A thread that takes a call summons the next one when more are waiting. So calls that take microseconds are made by few
// threads, one after the other, and calls that block get a thread each, without the caller waking one for every call.
bool CallThreads::Summon() {
  if (summoned_ || queue_.empty()) return false;
  const bool notify = idle_ > 0;
  // Where there are as many threads as calls at once, one that has done its call is about to come by itself.
  summoned_ = notify || (threads_ < most_at_once_ && AddThread());
  return notify;
}

bool CallThreads::AddThread() {
  auto self = std::make_unique<std::shared_ptr<CallThreads>>(shared_from_this());
  pthread_attr_t detached;
  pthread_attr_init(&detached);
  pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
  pthread_t thread;
  const int failure = pthread_create(&thread, &detached, ThreadMain, self.get());
  pthread_attr_destroy(&detached);
  if (failure != 0) return false;
  // The thread deletes it.
  self.release();
  ++threads_;
  return true;
}

void* CallThreads::ThreadMain(void* argument) {
  const std::unique_ptr<std::shared_ptr<CallThreads>> self(static_cast<std::shared_ptr<CallThreads>*>(argument));
  (*self)->Work();
  return nullptr;
}

void CallThreads::Work() {
  std::unique_lock<std::mutex> lock(queue_mutex_);
  summoned_ = false;
  while (!closed_) {
    if (queue_.empty()) {
      ++idle_;
      summons_.wait(lock, [this] { return summoned_ || closed_; });
      --idle_;
      summoned_ = false;
      continue;
    }
    std::unique_ptr<Call> call = std::move(queue_.front());
    queue_.pop_front();
    const bool notify = Summon();
    lock.unlock();
    if (notify) summons_.notify_one();
    const auto begun = std::chrono::steady_clock::now();
    call->Run(*functions_);
    HandBack(std::move(call), std::chrono::steady_clock::now() - begun);
    lock.lock();
  }
}

void CallThreads::HandBack(std::unique_ptr<Call> call, Microseconds duration) {
  bool is_first, is_gathered;
  {
    const std::lock_guard<std::mutex> lock(done_mutex_);
    average_duration_ += (duration - average_duration_) * kNewest;
    done_.push_back(std::move(call));
    is_first = done_.size() == 1;
    is_gathered = done_.size() == wanted_;
  }
  if (is_gathered) gathered_.notify_one();
  if (!is_first) return;
  const std::lock_guard<std::mutex> lock(wake_mutex_);
  if (wake_) wake_();
}

}  // namespace nest_hsm
