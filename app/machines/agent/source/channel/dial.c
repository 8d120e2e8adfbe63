// Connections that the agent opens itself, where the server can't reach in: a microVM's.
#include "../agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

// <linux/vm_sockets.h> is not in every compiler's headers.
#define HOST 2
struct vsock_address {
  sa_family_t family;
  uint16_t zero;
  uint32_t port, cid, zeros;
};

// What the runtime of a microVM can't hand to the server at once, it loses: so less is on the way.
#define WINDOW 65536
#define FIRST_DELAY 20
#define LAST_DELAY 1000
// A connection that lives so long was a good one: the next follows it at once.
#define GOOD 1000
// A fork of the machine has the channels of its origin, but nobody at their other end. Sending
// shows that.
#define ALIVE 1000
// A peer that does not answer for so long is tried anew.
#define MOST_CONNECTING 3000

static union {
  struct sockaddr any;
  struct sockaddr_un unix_path;
  struct vsock_address vsock;
} peer;
static socklen_t peer_size;
static struct source connecting = {.fd = -1};
static bool was_open;
static int64_t opened_at, begun_at, next_at, alive_at, wait = FIRST_DELAY;

bool dial_peer(const char *words) {
  if (strncmp(words, "vsock:", 6) == 0) {
    char *end;
    unsigned long port = strtoul(words + 6, &end, 10);
    peer.vsock = (struct vsock_address){.family = AF_VSOCK, .port = (uint32_t)port, .cid = HOST};
    peer_size = sizeof peer.vsock;
    return words[6] && !*end && port < UINT32_MAX;
  }
  if (strncmp(words, "unix:", 5) != 0 || strlen(words + 5) >= sizeof peer.unix_path.sun_path) return false;
  peer.unix_path.sun_family = AF_UNIX;
  strcpy(peer.unix_path.sun_path, words + 5);
  peer_size = sizeof peer.unix_path;
  return true;
}

static void try_later(int64_t now) {
  next_at = now + wait;
  wait = wait * 2 > LAST_DELAY ? LAST_DELAY : wait * 2;
}

static void give_up(void) {
  source_close(&connecting);
  try_later(monotonic_milliseconds());
}

static void connected(void) {
  int fd = connecting.fd;
  source_want(&connecting, 0);
  connecting.fd = -1;
  was_open = true;
  opened_at = monotonic_milliseconds();
  channel_open(fd, WINDOW);
}

static void connecting_ready(struct source *source, uint32_t events) {
  (void)events;
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(source->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error) give_up();
  else connected();
}

static void dial(int64_t now) {
  begun_at = now;
  int fd = socket(peer.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return try_later(now);
  connecting.ready = connecting_ready;
  bool is_done = connect(fd, &peer.any, peer_size) == 0;
  if (!is_done && errno != EINPROGRESS) {
    close(fd);
    return try_later(now);
  }
  if (!source_open(&connecting, fd, EPOLLOUT)) give_up();
  else if (is_done) connected();
}

static int say_alive(int64_t now) {
  if (now >= alive_at) {
    channels_say_alive();
    alive_at = now + ALIVE;
  }
  return (int)(alive_at - now);
}

int dial_tick(void) {
  if (peer_size == 0) return -1;
  int64_t now = monotonic_milliseconds();
  if (channel_exists()) return say_alive(now);
  if (connecting.fd >= 0 && now - begun_at >= MOST_CONNECTING) give_up();
  if (connecting.fd >= 0) return (int)(begun_at + MOST_CONNECTING - now);
  if (was_open) {
    was_open = false;
    if (now - opened_at >= GOOD) wait = FIRST_DELAY;
    try_later(now);
  }
  if (now >= next_at) dial(now);
  if (channel_exists()) return 0;
  return connecting.fd >= 0 ? MOST_CONNECTING : now < next_at ? (int)(next_at - now) : 0;
}
