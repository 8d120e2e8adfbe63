// `agent relay`: connects standard input and output with the agent's socket.
#include "agent.h"
#include "network/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECT_MILLISECONDS 5000
#define SIZE (256 * 1024)

// One of the two directions, and the bytes that are on their way.
struct direction {
  int from, to;
  size_t start, end;
  bool has_ended;
  uint8_t bytes[SIZE];
};

// The agent of a container has a socket without a name, unless its runtime is no Linux.
static int connect_once(const struct sockaddr_un *address) {
  bool may_be_guarded = strcmp(address->sun_path, DEFAULT_SOCKET) == 0;
  int fd = may_be_guarded ? connect_guarded() : -1;
  // Only an agent without a guard lacks the descriptor. After any other failure the name would be
  // one that a command has made.
  if (fd >= 0 || (may_be_guarded && errno != ENOENT)) return fd;
  fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof *address) == 0) return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

static int connect_to(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -1;
  strcpy(address.sun_path, path);
  for (int64_t limit = monotonic_milliseconds() + CONNECT_MILLISECONDS;;) {
    int fd = connect_once(&address);
    if (fd >= 0) return fd;
    if (monotonic_milliseconds() > limit) return -1;
    usleep(2000);
  }
}

static bool has_failed(ssize_t result) { return result < 0 && errno != EAGAIN && errno != EINTR; }

// Moves what can be moved without waiting. Returns false when the receiver is gone.
static bool move(struct direction *way, bool can_read) {
  if (can_read && way->start == way->end) {
    ssize_t got = read(way->from, way->bytes, SIZE);
    if (got == 0 || has_failed(got)) way->has_ended = true;
    way->start = 0;
    way->end = got > 0 ? (size_t)got : 0;
  }
  if (way->start == way->end) return true;
  ssize_t sent = write(way->to, way->bytes + way->start, way->end - way->start);
  if (sent > 0) way->start += (size_t)sent;
  return !has_failed(sent);
}

int relay(const char *socket_path) {
  static struct direction in, out;
  int fd = connect_to(socket_path);
  if (fd < 0) return fprintf(stderr, "agent: %s: %s\n", socket_path, strerror(errno)), 1;
  in.to = out.from = fd;
  out.to = 1;
  for (int each = 0; each < 2; each++) fcntl(each, F_SETFL, fcntl(each, F_GETFL) | O_NONBLOCK);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  bool is_shut = false;
  for (;;) {
    bool in_waits = in.start < in.end, out_waits = out.start < out.end;
    if (in.has_ended && !in_waits && !is_shut) is_shut = shutdown(fd, SHUT_WR) == 0 || true;
    if (out.has_ended && !out_waits) return 0;
    struct pollfd polled[3] = {
        {in.has_ended || in_waits ? -1 : 0, POLLIN, 0},
        {fd, (in_waits ? POLLOUT : 0) | (out_waits || out.has_ended ? 0 : POLLIN), 0},
        {out_waits ? 1 : -1, POLLOUT, 0},
    };
    if (!polled[1].events) polled[1].fd = -1;
    if (poll(polled, 3, -1) < 0 && errno != EINTR) return 1;
    if (!move(&in, polled[0].revents) || !move(&out, polled[1].revents & (POLLIN | POLLHUP | POLLERR)))
      return 0;
  }
}
