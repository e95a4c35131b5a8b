#include "call_threads.h"

#include <sys/resource.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "thread.h"

namespace nest_hsm {
namespace {

/// With calls shorter than this, and several at once, results come faster than they can be carried one by one: each costs a
/// wake-up and a write here, and a wake-up, a read and a write in the application.
constexpr std::chrono::microseconds kShortCall(250);
/// Then this part of what is under way is waited for, so that the rest goes on meanwhile, and no longer than this.
constexpr size_t kGatheredPart = 2;
constexpr std::chrono::microseconds kLongestGathering(800);
/// The weight of the newest call in averages.
constexpr double kNewest = 1.0 / 16;

/// A call to a device waits for it at least once; one that computes here waits now and then for a lock that another holds.
constexpr double kWaitsForDevice = 0.75;
/// A call that takes longer hangs, or may as well: it is not counted among those that compute, so that others go on beside it.
constexpr std::chrono::milliseconds kLongestComputation(20);

/// How often this thread gave its processor up to wait; of a system that does not tell, once more each time.
long WaitsOfThread() {
#ifdef RUSAGE_THREAD
  struct rusage usage {};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nvcsw;
#else
  static thread_local long waits = 0;
  return ++waits;
#endif
}

}  // namespace

std::shared_ptr<CallThreads> CallThreads::Create(const CK_FUNCTION_LIST* functions, std::function<void()> wake) {
  return std::shared_ptr<CallThreads>(new CallThreads(functions, std::move(wake)));
}

CallThreads::CallThreads(const CK_FUNCTION_LIST* functions, std::function<void()> wake)
    : functions_(functions), processors_(std::max(1u, std::thread::hardware_concurrency())), wake_(std::move(wake)) {}

void CallThreads::Start(Calls calls, size_t under_way) {
  Calls stranded;
  Sleepers summoned;
  {
    const std::lock_guard<std::mutex> lock(queue_mutex_);
    most_at_once_ = std::max(most_at_once_, under_way);
    for (std::unique_ptr<Call>& call : calls) queue_.push_back(std::move(call));
    summoned = Summon();
    if (threads_ == 0) {
      for (std::unique_ptr<Call>& call : queue_) stranded.push_back(std::move(call));
      queue_.clear();
    }
  }
  Notify(summoned);
  for (std::unique_ptr<Call>& call : stranded) {
    call->Fail(CKR_HOST_MEMORY);
    HandBack(std::move(call));
  }
}

CallThreads::Calls CallThreads::TakeDone(size_t under_way) {
  std::unique_lock<std::mutex> lock(done_mutex_);
  if (AreShort()) {
    wanted_ = (under_way - std::min(under_way, hung_.load())) / kGatheredPart;
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
  for (Sleeper& sleeper : sleepers_) sleeper.woken.notify_one();
  closing_.notify_all();
}

// Calls that wait for a device get a thread each at once. Of calls that compute, a thread that takes one summons the next one when
// more are waiting: so few threads make them, one after the other, without the caller waking one for every call.
CallThreads::Sleepers CallThreads::Summon() {
  if (HasEnoughThreads() && watched_) return {};
  const size_t wanted = IsDevice() ? queue_.size() : std::min<size_t>(queue_.size(), 1);
  Sleepers summoned;
  for (; coming_ < wanted; ++coming_) {
    if (!idle_.empty()) {
      idle_.back()->is_summoned = true;
      summoned.push_back(idle_.back());
      idle_.pop_back();
    } else if (threads_ >= most_at_once_ || !AddThread()) {
      // Where there are as many threads as calls at once, one that has done its call is about to come by itself.
      break;
    }
  }
  return summoned;
}

void CallThreads::Notify(const Sleepers& sleepers) {
  for (Sleeper* sleeper : sleepers) sleeper->woken.notify_one();
}

bool CallThreads::IsDevice() const { return average_waits_ >= kWaitsForDevice; }

// More would only take turns on the processors, with the locks of the token and with the threads that bring it calls.
bool CallThreads::HasEnoughThreads() const { return !IsDevice() && running_.size() - hung_ >= ComputingThreads(); }

bool CallThreads::HasSurplusThread() const { return !IsDevice() && threads_ > ComputingThreads() + hung_ + 1; }

// Short computations leave processors to the threads that bring them and take their results away.
size_t CallThreads::ComputingThreads() const { return AreShort() ? std::max<size_t>(1, processors_ / 2) : processors_; }

bool CallThreads::AreShort() const { return average_duration_.load() < kShortCall.count(); }

bool CallThreads::AddThread() {
  auto self = std::make_unique<std::shared_ptr<CallThreads>>(shared_from_this());
  if (!StartThread(ThreadMain, self.get())) return false;
  // The thread deletes it.
  self.release();
  ++threads_;
  return true;
}

void* CallThreads::ThreadMain(void* argument) {
  const std::unique_ptr<std::shared_ptr<CallThreads>> self(static_cast<std::shared_ptr<CallThreads>*>(argument));
  NameThread("token-call");
  (*self)->Work();
  return nullptr;
}

void CallThreads::Work() {
  std::unique_lock<std::mutex> lock(queue_mutex_);
  --coming_;
  while (!closed_) {
    if (queue_.empty() || (HasEnoughThreads() && watched_)) {
      if (HasSurplusThread()) break;
      Sleep(&lock);
      if (closed_) break;
      --coming_;
    } else if (HasEnoughThreads()) {
      Watch(&lock);
    } else {
      MakeFirst(&lock);
    }
  }
  --threads_;
}

void CallThreads::Sleep(std::unique_lock<std::mutex>* lock) {
  if (beds_.empty()) beds_.push_back(&sleepers_.emplace_back());
  Sleeper* bed = beds_.back();
  beds_.pop_back();
  idle_.push_back(bed);
  bed->woken.wait(*lock, [this, bed] { return bed->is_summoned || closed_; });
  bed->is_summoned = false;
  beds_.push_back(bed);
}

void CallThreads::MakeFirst(std::unique_lock<std::mutex>* lock) {
  std::unique_ptr<Call> call = std::move(queue_.front());
  queue_.pop_front();
  const auto running = running_.insert(running_.end(), {std::chrono::steady_clock::now()});
  const Sleepers summoned = Summon();
  lock->unlock();
  Notify(summoned);
  const long waits_before = WaitsOfThread();
  call->Run(*functions_);
  const std::chrono::duration<double, std::micro> duration = std::chrono::steady_clock::now() - running->begun_at;
  const auto waits = static_cast<double>(WaitsOfThread() - waits_before);
  HandBack(std::move(call));
  lock->lock();
  if (running->is_hung) --hung_;
  running_.erase(running);
  average_duration_ = average_duration_ + (duration.count() - average_duration_) * kNewest;
  average_waits_ += (waits - average_waits_) * kNewest;
}

void CallThreads::Watch(std::unique_lock<std::mutex>* lock) {
  watched_ = true;
  closing_.wait_for(*lock, kLongestComputation, [this] { return closed_; });
  watched_ = false;
  const auto latest_beginning = std::chrono::steady_clock::now() - kLongestComputation;
  for (Running& running : running_) {
    if (running.is_hung || running.begun_at > latest_beginning) continue;
    running.is_hung = true;
    ++hung_;
  }
}

void CallThreads::HandBack(std::unique_ptr<Call> call) {
  bool is_first, is_gathered;
  {
    const std::lock_guard<std::mutex> lock(done_mutex_);
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
