// The threads on which calls to the token are made: as many as there are calls at once, which is what the sessions allow, or
// at most as there are processors where the token is a library that computes on them.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

#include "call.h"

namespace nest_hsm {

/// Calls go in on one thread, are made on others, and come back in batches: whoever is told that some are done takes all that
/// were done by then. A thread that hangs in the token keeps alive what it needs, and holds up nobody.
class CallThreads : public std::enable_shared_from_this<CallThreads> {
 public:
  using Calls = std::vector<std::unique_ptr<Call>>;

  /// @param wake  called on any thread when there is something to take, and not again before it was taken
  static std::shared_ptr<CallThreads> Create(const CK_FUNCTION_LIST* functions, std::function<void()> wake);

  CallThreads(const CallThreads&) = delete;
  CallThreads& operator=(const CallThreads&) = delete;

  /// Has each of them made. One for which the system has no thread at all comes back with CKR_HOST_MEMORY.
  /// @param under_way  calls that were started and not taken yet, these among them
  void Start(Calls calls, size_t under_way);

  /// Of a token that is faster than its results can be carried one by one, waits a moment for more of them.
  Calls TakeDone(size_t under_way);

  /// What was not begun never will be, `wake` is not called any more, and idle threads end. Waits for nobody.
  void Close();

 private:
  CallThreads(const CK_FUNCTION_LIST* functions, std::function<void()> wake);

  static void* ThreadMain(void* self);
  void Work();
  /// Both are given the lock and give it back.
  void MakeFirst(std::unique_lock<std::mutex>* lock);
  /// For as long as a computation may take, then takes those that are still running for hung.
  void Watch(std::unique_lock<std::mutex>* lock);
  [[nodiscard]] bool HasEnoughThreads() const;
  [[nodiscard]] bool HasSurplusThread() const;
  [[nodiscard]] size_t ComputingThreads() const;
  [[nodiscard]] bool AreShort() const;
  /// Where an idle thread waits. Used again and never given back, so that a notification that comes late finds it.
  struct Sleeper {
    std::condition_variable woken;
    bool is_summoned = false;
  };
  using Sleepers = std::vector<Sleeper*>;

  /// Sees to it that threads look at the queue, unless enough are on their way there.
  /// @returns whom to notify, when the lock is released
  [[nodiscard]] Sleepers Summon();
  static void Notify(const Sleepers& sleepers);
  /// Until it is summoned, or all is closed.
  void Sleep(std::unique_lock<std::mutex>* lock);
  [[nodiscard]] bool IsDevice() const;
  bool AddThread();
  void HandBack(std::unique_ptr<Call> call);

  const CK_FUNCTION_LIST* const functions_;
  const size_t processors_;

  std::mutex queue_mutex_;
  std::deque<std::unique_ptr<Call>> queue_;
  struct Running {
    std::chrono::steady_clock::time_point begun_at;
    bool is_hung = false;
  };
  /// The last one to fall idle is the first to be summoned: what it works on is in its processor's caches still.
  Sleepers idle_;
  /// For threads that fall idle.
  Sleepers beds_;
  std::list<Sleeper> sleepers_;
  std::list<Running> running_;
  /// Of these; set under `queue_mutex_`, read under either.
  std::atomic<size_t> hung_{0};
  size_t threads_ = 0;
  /// The most calls that were under way at once, and so the most threads that can be of use.
  size_t most_at_once_ = 0;
  /// Threads that were summoned or added, and are on their way to the queue.
  size_t coming_ = 0;
  /// Of the last dozens of calls, in microseconds; set under `queue_mutex_`, read under either.
  std::atomic<double> average_duration_{1e6};
  /// How often one of the last dozens of calls gave its processor up. Until that is known calls are taken for ones that wait.
  double average_waits_ = 1;
  /// A thread is in Watch().
  bool watched_ = false;
  std::condition_variable closing_;
  bool closed_ = false;

  std::mutex done_mutex_;
  Calls done_;
  std::condition_variable gathered_;
  /// How many TakeDone waits for; 0: it does not wait.
  size_t wanted_ = 0;

  /// Apart, so that who is woken does not find the lock taken by who woke it.
  std::mutex wake_mutex_;
  /// Empty once closed.
  std::function<void()> wake_;
};

}  // namespace nest_hsm
