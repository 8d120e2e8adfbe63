// Connections to the server: their frames, and whose turn it is.
#include "../agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define HEADER 9
#define IN_SIZE 131072
// Above this many unsent bytes a channel takes neither requests nor output of calls.
#define OUT_FULL 262144
// A channel with a window takes requests beyond that, because acknowledgements come after them.
#define MOST_UNSENT (8 << 20)
// The most bytes of one write with a window: a microVM's runtime loses the whole of a longer write.
#define MOST_WRITTEN 16384
// After so long without an acknowledgement, nobody reads a channel whose window is used up.
#define MOST_SILENCE 10000

static struct channel *channels;
static unsigned channel_count;

void channel_break(struct channel *channel) {
  channel->is_broken = true;
  source_close(&channel->source);
}

static size_t unsent(const struct channel *channel) { return channel->out.length - channel->out_start; }

bool channel_is_full(const struct channel *channel) { return unsent(channel) >= OUT_FULL; }

static bool takes_frames(const struct channel *channel) {
  return channel->has_window || !channel_is_full(channel);
}

static bool may_send(const struct channel *channel) { return !channel->has_window || channel->window > 0; }

static struct call *next_busy(const struct channel *channel) {
  struct call *call = channel->calls;
  while (call && !(call->is_busy && call_has_credit(call))) call = call->next;
  return call;
}

void channel_update(struct channel *channel) {
  if (channel->is_broken) return;
  bool wants_out = may_send(channel) && (unsent(channel) > 0 || next_busy(channel));
  source_want(&channel->source, (takes_frames(channel) ? EPOLLIN : 0) | (wants_out ? EPOLLOUT : 0));
}

// Drops what has been sent, unless moving the rest costs more than that frees.
static void make_out_room(struct channel *channel) {
  size_t rest = unsent(channel);
  if (rest == 0) buffer_free(&channel->out);
  else if (channel->out_start < OUT_FULL || channel->out_start < rest) return;
  else memmove(channel->out.bytes, channel->out.bytes + channel->out_start, rest);
  channel->out.length = rest;
  channel->out_start = 0;
}

static void flush(struct channel *channel) {
  while (unsent(channel) > 0 && may_send(channel)) {
    size_t length = unsent(channel);
    if (channel->has_window && length > channel->window) length = channel->window;
    if (channel->has_window && length > MOST_WRITTEN) length = MOST_WRITTEN;
    ssize_t sent = write(channel->source.fd, channel->out.bytes + channel->out_start, length);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno != EAGAIN) return channel_break(channel);
    if (sent <= 0) break;
    channel->out_start += (size_t)sent;
    if (channel->has_window) channel->window -= (uint32_t)sent;
  }
  make_out_room(channel);
}

// Sends at once what the socket takes, and keeps the rest.
void channel_send(struct channel *channel, uint32_t number, enum frame type, const void *payload,
                  size_t length) {
  if (channel->is_broken) return;
  uint8_t header[HEADER] = {number, number >> 8, number >> 16, number >> 24, type,
                            length, length >> 8, length >> 16, length >> 24};
  size_t sent = 0;
  if (unsent(channel) == 0 && !channel->has_window) {
    struct iovec parts[2] = {{header, HEADER}, {(void *)payload, length}};
    ssize_t result = writev(channel->source.fd, parts, 2);
    if (result < 0 && errno != EAGAIN && errno != EINTR) return channel_break(channel);
    sent = result > 0 ? (size_t)result : 0;
    if (sent == HEADER + length) return;
  }
  if (sent < HEADER) put_bytes(&channel->out, header + sent, HEADER - sent);
  size_t done = sent > HEADER ? sent - HEADER : 0;
  put_bytes(&channel->out, (const uint8_t *)payload + done, length - done);
  if (channel->out.has_failed || unsent(channel) > MOST_UNSENT) return channel_break(channel);
  if (channel->has_window) flush(channel);
  if (channel->is_broken) return;
  channel->was_full |= channel_is_full(channel);
  channel_update(channel);
}

static bool make_in_capacity(struct channel *channel, size_t capacity) {
  if (capacity == channel->in_capacity) return true;
  uint8_t *in = realloc(channel->in, capacity);
  if (!in) return false;
  channel->in = in;
  channel->in_capacity = capacity;
  return true;
}

static uint32_t number_at(const uint8_t *bytes) {
  return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

// Handles the next frame. Returns false if it has not arrived as a whole, or the channel is full.
static bool next_frame(struct channel *channel) {
  size_t received = channel->in_end - channel->in_start;
  if (channel->is_broken || !takes_frames(channel) || received < HEADER) return false;
  uint8_t *frame = channel->in + channel->in_start;
  uint32_t length = number_at(frame + 5);
  if (length > (frame[4] == OPEN ? MOST_ARGUMENTS : MOST_PAYLOAD)) {
    channel_break(channel);
    return false;
  }
  if (received < HEADER + length) {
    size_t capacity = HEADER + length > IN_SIZE ? HEADER + length : IN_SIZE;
    memmove(channel->in, frame, received);
    channel->in_start = 0;
    channel->in_end = received;
    if (capacity > channel->in_capacity && !make_in_capacity(channel, capacity)) channel_break(channel);
    return false;
  }
  channel->in_start += HEADER + length;
  if (channel->has_window && number_at(frame) == 0 && frame[4] == CREDIT && length == 4)
    channel->window += number_at(frame + HEADER);
  else call_receive(channel, number_at(frame), frame[4], frame + HEADER, length);
  return true;
}

static void handle_frames(struct channel *channel) {
  while (next_frame(channel)) continue;
  if (channel->in_start < channel->in_end || channel->is_broken) return;
  channel->in_start = channel->in_end = 0;
  make_in_capacity(channel, IN_SIZE);
}

static void handle_in(struct channel *channel) {
  if (channel->in_start > 0) {
    memmove(channel->in, channel->in + channel->in_start, channel->in_end - channel->in_start);
    channel->in_end -= channel->in_start;
    channel->in_start = 0;
  }
  size_t room = channel->in_capacity - channel->in_end;
  if (room == 0) return;
  ssize_t got = read(channel->source.fd, channel->in + channel->in_end, room);
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return channel_break(channel);
  if (got > 0) channel->in_end += (size_t)got;
  channel->heard_at = monotonic_milliseconds();
  handle_frames(channel);
}

// A call that resumes may end others too, so each round looks for the next one afresh.
static void resume_calls(struct channel *channel) {
  channel->was_full = false;
  for (struct call *call = channel->calls; call; call = call->next) call->must_resume = true;
  for (struct call *call = channel->calls; call && !channel->was_full;) {
    bool resumes = call->must_resume && call->kind && call->kind->resume;
    call->must_resume = false;
    if (resumes) call->kind->resume(call);
    call = resumes ? channel->calls : call->next;
  }
  handle_frames(channel);
}

// Lets one busy call work, then puts it behind the others.
static void step_call(struct channel *channel) {
  struct call *call = next_busy(channel);
  if (!call || channel_is_full(channel)) return;
  struct call **place = &channel->calls;
  while (*place != call) place = &(*place)->next;
  *place = call->next;
  while (*place) place = &(*place)->next;
  *place = call;
  call->next = NULL;
  call->kind->step(call);
}

static void channel_ready(struct source *source, uint32_t events) {
  struct channel *channel = (struct channel *)source;
  if (events & EPOLLOUT) {
    flush(channel);
    if (!channel->is_broken && channel->was_full && !channel_is_full(channel)) resume_calls(channel);
    if (!channel->is_broken) step_call(channel);
  }
  if (channel->is_broken) return;
  if (events & EPOLLIN) handle_in(channel);
  else if (events & (EPOLLHUP | EPOLLERR)) channel_break(channel);
  channel_update(channel);
}

static bool is_allowed(int fd) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         (peer.uid == 0 || peer.uid == geteuid());
}

static uint64_t number_of_run(void) {
  static uint64_t number;
  while (number == 0 && getrandom(&number, sizeof number, 0) < 0 && errno == EINTR) continue;
  return number;
}

bool channel_exists(void) { return channels != NULL; }

static void say_alive(struct channel *channel) {
  static const uint8_t no_credit[4];
  channel_send(channel, 0, CREDIT, no_credit, sizeof no_credit);
}

void channels_say_alive(void) {
  int64_t now = monotonic_milliseconds();
  for (struct channel *each = channels; each; each = each->next) {
    if (unsent(each) == 0) say_alive(each);
    else if (!may_send(each) && now - each->heard_at > MOST_SILENCE) channel_break(each);
  }
}

void channel_open(int fd, uint32_t window) {
  struct channel *channel = calloc(1, sizeof *channel);
  struct buffer hello = {0};
  put_u8(&hello, VERSION);
  put_u8(&hello, 0);
  put_u64(&hello, number_of_run());
  if (!channel || hello.has_failed || !make_in_capacity(channel, IN_SIZE) ||
      !source_open(&channel->source, fd, EPOLLIN)) {
    if (channel) free(channel->in);
    free(channel);
    close(fd);
  } else {
    channel->source.ready = channel_ready;
    channel->heard_at = monotonic_milliseconds();
    channel->has_window = window > 0;
    channel->window = window;
    channel->next = channels;
    channels = channel;
    channel_count++;
    channel_send(channel, 0, HELLO, hello.bytes, hello.length);
    if (window > 0) say_alive(channel);
  }
  buffer_free(&hello);
}

// An engine may keep channels of a server that is gone: they must not lock out its successor.
// The oldest channel is the last one; of those heard in the same millisecond it goes first.
static void break_most_silent(void) {
  struct channel *silent = channels;
  for (struct channel *each = channels; each; each = each->next)
    if (each->heard_at <= silent->heard_at) silent = each;
  channel_break(silent);
}

void channel_accept(int listener) {
  static int spare = -1;
  int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0 && (errno == EMFILE || errno == ENFILE) && spare >= 0) {
    // The connection would stay in the queue and wake the loop for ever: take it and close it.
    close(spare);
    fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    close(fd);
    fd = -1;
    spare = -1;
  }
  if (spare < 0) spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (!is_allowed(fd)) {
    close(fd);
    return;
  }
  if (channel_count >= MOST_CHANNELS) break_most_silent();
  channel_open(fd, 0);
}

void channels_sweep(void) {
  struct channel **place = &channels;
  while (*place) {
    struct channel *channel = *place;
    if (!channel->is_broken) {
      place = &channel->next;
      continue;
    }
    *place = channel->next;
    while (channel->calls) call_end(channel->calls);
    free(channel->in);
    buffer_free(&channel->out);
    free(channel);
    channel_count--;
  }
}
