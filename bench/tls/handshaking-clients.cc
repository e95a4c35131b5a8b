// Clients that make full TLS 1.3 handshakes one after another, as a Node-API addon on the OpenSSL of Node.js: an epoll loop on one thread.
// What Node's own tls spends on a client is more than what any server here spends on it, and would be measured in its place.
#include <node_api.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

constexpr char kServerName[] = "localhost";
constexpr int kPatienceMilliseconds = 15'000;

using Clock = std::chrono::steady_clock;

struct Task {
  uint16_t port = 0;
  std::string root_file;
  uint32_t clients = 0;
  double seconds = 0;
};

struct Result {
  uint32_t handshakes = 0;
  double seconds = 0;
  double cpu_microseconds = 0;
};

[[noreturn]] void Fail(const std::string& what) {
  char reason[256] = "";
  if (const unsigned long code = ERR_peek_last_error()) ERR_error_string_n(code, reason, sizeof reason);
  throw std::runtime_error("bench: want a full handshake that is ended in order, got: " + what + " " + reason);
}

/// Trusts one root, and knows what every side does: the cipher suite that TLS 1.3 asks of all (RFC 8446 §9.1), and of key exchanges
/// X25519, since the OpenSSL that nginx has here is too old for X25519MLKEM768.
SSL_CTX* NewContext(const std::string& root_file) {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  if (context == nullptr || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") != 1 || SSL_CTX_set1_groups_list(context, "X25519") != 1 ||
      SSL_CTX_load_verify_locations(context, root_file.c_str(), nullptr) != 1) {
    Fail("no context");
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_read_ahead(context, 1);
  // nginx answers a goodbye by FIN alone.
  SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
  return context;
}

/// One connection after another. Each is a handshake, close_notify, and the wait for the server's end: so what is counted here, the
/// server has completed, since it knows a close_notify only by the keys of the handshake.
class Client {
 public:
  Client(SSL_CTX* context, int epoll, uint16_t port) : context_(context), epoll_(epoll) {
    server_.sin_family = AF_INET;
    server_.sin_port = htons(port);
    server_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  }

  void Begin() {
    socket_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int yes = 1;
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(socket_, reinterpret_cast<sockaddr*>(&server_), sizeof server_) != 0 && errno != EINPROGRESS) Fail("no connection");
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    event.data.ptr = this;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, socket_, &event) != 0) Fail("no events");
    ssl_ = SSL_new(context_);
    if (ssl_ == nullptr || SSL_set_fd(ssl_, socket_) != 1 || SSL_set_tlsext_host_name(ssl_, kServerName) != 1 ||
        SSL_set1_host(ssl_, kServerName) != 1) {
      Fail("no session");
    }
    SSL_set_connect_state(ssl_);
    secure_ = false;
  }

  /// @returns true when the connection has ended, in order
  bool Advance() {
    ERR_clear_error();
    if (!secure_) {
      const int result = SSL_do_handshake(ssl_);
      if (result != 1) return Wait(result);
      if (SSL_session_reused(ssl_) == 1 || SSL_get_verify_result(ssl_) != X509_V_OK) Fail("another one");
      secure_ = true;
      if (SSL_shutdown(ssl_) < 0) Fail("no goodbye");
    }
    // Tickets may come first; they are dropped.
    char byte = 0;
    const int result = SSL_read(ssl_, &byte, 1);
    if (result > 0) Fail("data");
    if (SSL_get_error(ssl_, result) != SSL_ERROR_ZERO_RETURN) return Wait(result);
    SSL_free(ssl_);
    close(socket_);
    return true;
  }

 private:
  bool Wait(int result) {
    const int error = SSL_get_error(ssl_, result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) Fail(secure_ ? "no end in order" : "no handshake");
    return false;
  }

  SSL_CTX* const context_;
  const int epoll_;
  sockaddr_in server_{};
  int socket_ = -1;
  SSL* ssl_ = nullptr;
  bool secure_ = false;
};

double CpuMicroseconds() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

/// Begins no connection after the time is over, and waits for those under way. The process ends after it: what a failure leaves is
/// nobody's.
Result Run(const Task& task) {
  SSL_CTX* context = NewContext(task.root_file);
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  std::vector<Client> clients(task.clients, Client(context, epoll, task.port));
  const double cpu_before = CpuMicroseconds();
  const auto start = Clock::now();
  const auto end = start + std::chrono::duration<double>(task.seconds);
  for (Client& client : clients) client.Begin();
  Result result;
  std::vector<epoll_event> events(task.clients);
  for (size_t open = clients.size(); open > 0;) {
    const int ready = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), kPatienceMilliseconds);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) Fail("nothing from the server");
    for (int i = 0; i < ready; i++) {
      auto* client = static_cast<Client*>(events[i].data.ptr);
      if (!client->Advance()) continue;
      result.handshakes++;
      if (Clock::now() < end) client->Begin();
      else open--;
    }
  }
  result.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  result.cpu_microseconds = CpuMicroseconds() - cpu_before;
  close(epoll);
  SSL_CTX_free(context);
  return result;
}

double NumberOf(napi_env env, napi_value object, const char* name) {
  napi_value value = nullptr;
  double number = 0;
  if (napi_get_named_property(env, object, name, &value) != napi_ok || napi_get_value_double(env, value, &number) != napi_ok) {
    throw std::runtime_error(std::string("bench: want a number as ") + name);
  }
  return number;
}

std::string TextOf(napi_env env, napi_value object, const char* name) {
  napi_value value = nullptr;
  char text[4096];
  size_t size = 0;
  if (napi_get_named_property(env, object, name, &value) != napi_ok ||
      napi_get_value_string_utf8(env, value, text, sizeof text, &size) != napi_ok) {
    throw std::runtime_error(std::string("bench: want a text as ") + name);
  }
  return {text, size};
}

/// `makeHandshakes` of handshaking-clients.ts.
napi_value MakeHandshakes(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument = nullptr;
  napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr);
  try {
    Task task;
    task.port = static_cast<uint16_t>(NumberOf(env, argument, "port"));
    task.root_file = TextOf(env, argument, "rootFile");
    task.clients = static_cast<uint32_t>(NumberOf(env, argument, "clients"));
    task.seconds = NumberOf(env, argument, "seconds");
    const Result result = Run(task);
    napi_value object = nullptr;
    napi_create_object(env, &object);
    const auto set = [&](const char* name, double number) {
      napi_value value = nullptr;
      napi_create_double(env, number, &value);
      napi_set_named_property(env, object, name, value);
    };
    set("handshakes", result.handshakes);
    set("seconds", result.seconds);
    set("cpuMicroseconds", result.cpu_microseconds);
    return object;
  } catch (const std::exception& error) {
    napi_throw_error(env, nullptr, error.what());
    return nullptr;
  }
}

}  // namespace

NAPI_MODULE_INIT() {
  napi_value function = nullptr;
  napi_create_function(env, "makeHandshakes", NAPI_AUTO_LENGTH, MakeHandshakes, nullptr, &function);
  napi_set_named_property(env, exports, "makeHandshakes", function);
  return exports;
}
