// Connections to programs that listen in the machine, at its loopback addresses: so programs are reached
// that listen nowhere else.
#include "../agent.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

// Bytes of all connections that programs have not taken; a call alone is bounded by its credit.
#define MOST_WAITING (32 << 20)

struct port {
  struct source source;
  struct call *call;
  struct buffer waiting;  // bytes that the program has not taken
  uint16_t number;
  int families_tried;
  bool is_connected;
  bool takes_nothing;  // the program has closed its side
  bool was_reset;      // and had not read everything
  bool has_output_ended;
};

static size_t waiting_bytes;

static void update(struct port *port) {
  bool wants_in = port->is_connected && !port->has_output_ended && call_can_send(port->call);
  bool wants_out = !port->is_connected || port->waiting.length > 0;
  source_want(&port->source, (wants_in ? EPOLLIN : 0) | (wants_out ? EPOLLOUT : 0));
}

static void set_waiting(struct port *port, size_t length) {
  waiting_bytes += length - port->waiting.length;
  port->waiting.length = length;
  if (length == 0) buffer_free(&port->waiting);
}

static void port_close(struct call *call) {
  struct port *port = call->state;
  source_close(&port->source);
  set_waiting(port, 0);
  free(port);
}

// Ends the call once both sides have ended. Returns whether it goes on.
static bool goes_on(struct port *port) {
  bool has_input_ended = port->takes_nothing || (port->call->has_ended && port->waiting.length == 0);
  if (!port->has_output_ended || !has_input_ended) return true;
  call_done(port->call, NULL, 0);
  return false;
}

// Writes what the program takes, and returns how much that is: all of it once the program takes nothing
// any more, because what it still sends is wanted.
static size_t write_some(struct port *port, const uint8_t *bytes, size_t length) {
  size_t done = 0;
  while (!port->takes_nothing && done < length) {
    ssize_t written = send(port->source.fd, bytes + done, length - done, MSG_NOSIGNAL);
    if (written > 0) done += (size_t)written;
    else if (errno == EAGAIN) return done;
    else if (errno != EINTR) {
      port->takes_nothing = true;
      port->was_reset = errno != EPIPE;
    }
  }
  return length;
}

static void write_waiting(struct port *port) {
  struct buffer *waiting = &port->waiting;
  size_t done = write_some(port, waiting->bytes, waiting->length);
  if (done < waiting->length) memmove(waiting->bytes, waiting->bytes + done, waiting->length - done);
  set_waiting(port, waiting->length - done);
  call_consumed(port->call, done);
  if (port->call->has_ended && waiting->length == 0) shutdown(port->source.fd, SHUT_WR);
}

// Returns whether the call goes on.
static bool read_output(struct port *port) {
  static uint8_t bytes[MOST_PAYLOAD];
  uint32_t credit = port->call->credit;
  ssize_t got = read(port->source.fd, bytes, credit < sizeof bytes ? credit : sizeof bytes);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (got < 0 || (got == 0 && port->was_reset)) {
    call_fail(port->call, INTERNAL, "the program at port %d broke the connection off", port->number);
    return false;
  }
  port->has_output_ended = got == 0;
  call_send(port->call, got == 0 ? MESSAGE : DATA, bytes, (size_t)got);
  return goes_on(port);
}

// Where nothing listens, the kernel may connect a socket to itself: its own port is chosen at random.
static bool is_own_end(int fd) {
  struct sockaddr_storage own = {0}, peer = {0};
  socklen_t own_size = sizeof own, peer_size = sizeof peer;
  getsockname(fd, (struct sockaddr *)&own, &own_size);
  getpeername(fd, (struct sockaddr *)&peer, &peer_size);
  return own_size == peer_size && memcmp(&own, &peer, own_size) == 0;
}

static void begin_transfer(struct port *port) {
  int on = 1;
  setsockopt(port->source.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  port->is_connected = true;
  call_send(port->call, MESSAGE, NULL, 0);
  if (port->waiting.length > 0 || port->call->has_ended) write_waiting(port);
}

// Returns 0, EINPROGRESS or another error.
static int begin_connecting(struct port *port, int family) {
  struct sockaddr_in ipv4 = {.sin_family = AF_INET,
                             .sin_port = htons(port->number),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_in6 ipv6 = {
      .sin6_family = AF_INET6, .sin6_port = htons(port->number), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  bool is_ipv4 = family == AF_INET;
  int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  int result = connect(fd, is_ipv4 ? (void *)&ipv4 : (void *)&ipv6, is_ipv4 ? sizeof ipv4 : sizeof ipv6);
  int error = result < 0 ? errno : is_own_end(fd) ? ECONNREFUSED : 0;
  if ((error != 0 && error != EINPROGRESS) || !source_open(&port->source, fd, EPOLLOUT)) {
    close(fd);
    port->source.fd = -1;
    return error ? error : ENOMEM;
  }
  return error;
}

// Connects to the next loopback address. When there is none, the call fails.
static void try_next(struct port *port) {
  static const int families[] = {AF_INET, AF_INET6};
  source_close(&port->source);
  while (port->families_tried < 2) {
    int error = begin_connecting(port, families[port->families_tried++]);
    if (error == 0) begin_transfer(port);
    if (error == 0 || error == EINPROGRESS) return update(port);
    if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS)
      return call_fail(port->call, RESOURCE_EXHAUSTED, "the agent can't open more connections");
  }
  call_fail(port->call, FAILED_PRECONDITION, "port %d is not open", port->number);
}

static void port_ready(struct source *source, uint32_t events) {
  struct port *port = (struct port *)source;
  if (!port->is_connected) {
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(source->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error || is_own_end(source->fd))
      return try_next(port);
    begin_transfer(port);
  } else if (events & EPOLLOUT) {
    write_waiting(port);
  }
  if (!goes_on(port)) return;
  if (events & ~(uint32_t)EPOLLOUT && !port->has_output_ended && call_can_send(port->call) && !read_output(port))
    return;
  update(port);
}

static void port_data(struct call *call, const uint8_t *bytes, size_t length) {
  struct port *port = call->state;
  size_t done = port->is_connected && port->waiting.length == 0 ? write_some(port, bytes, length) : 0;
  size_t left = length - done;
  if (left > 0 && (waiting_bytes + left > MOST_WAITING || !buffer_reserve(&port->waiting, left)))
    return call_fail(call, RESOURCE_EXHAUSTED, "too many bytes wait for programs that do not read them");
  if (left > 0) {
    memcpy(port->waiting.bytes + port->waiting.length, bytes + done, left);
    set_waiting(port, port->waiting.length + left);
  }
  call_consumed(call, done);
  if (goes_on(port)) update(port);
}

static void port_end(struct call *call) {
  struct port *port = call->state;
  if (port->is_connected && port->waiting.length == 0) shutdown(port->source.fd, SHUT_WR);
  goes_on(port);
}

static void port_resume(struct call *call) { update(call->state); }

void op_dial(struct call *call, struct reader *arguments) {
  static const struct call_kind kind = {
      .data = port_data, .end = port_end, .resume = port_resume, .close = port_close};
  uint16_t number = read_u16(arguments);
  if (arguments->has_failed || number == 0) return call_fail(call, INVALID_ARGUMENT, "malformed arguments");
  struct port *port = calloc(1, sizeof *port);
  if (!port) return call_fail(call, RESOURCE_EXHAUSTED, "the agent is out of memory");
  *port = (struct port){.source = {.fd = -1, .ready = port_ready}, .call = call, .number = number};
  call->kind = &kind;
  call->state = port;
  try_next(port);
}
