// Connections to the server: frames in and out, calls, credit.
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
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

struct channel {
  struct source source;
  struct channel *next;
  struct call *calls;
  uint8_t *in;
  size_t in_start, in_end, in_capacity;
  struct buffer out;
  size_t out_start;
  bool is_broken, was_full;
};

static struct channel *channels;
static unsigned channel_count, call_count;

static operation *const operations[] = {
    [1] = op_start,  [2] = op_connect,     [3] = op_list,         [4] = op_signal,
    [5] = op_resize, [6] = op_input,       [7] = op_close_input,  [8] = op_output,
    [16] = op_stat,  [17] = op_read_directory, [18] = op_make_directory, [19] = op_move,
    [20] = op_remove, [21] = op_read,      [22] = op_write,       [23] = op_watch,
    [24] = op_sync,  [25] = op_disk,
};

// The channel and its calls live on until channels_sweep, because callers may be walking through them.
static void channel_break(struct channel *channel) {
  channel->is_broken = true;
  source_close(&channel->source);
}

static size_t unsent(const struct channel *channel) { return channel->out.length - channel->out_start; }

static bool is_full(const struct channel *channel) { return unsent(channel) >= OUT_FULL; }

static bool has_credit(const struct call *call) {
  return call->credit > 0 && (!call->kind || call->credit >= call->kind->unit);
}

static struct call *next_busy(const struct channel *channel) {
  struct call *call = channel->calls;
  while (call && !(call->is_busy && has_credit(call))) call = call->next;
  return call;
}

static void update_events(struct channel *channel) {
  if (channel->is_broken) return;
  bool wants_out = unsent(channel) > 0 || next_busy(channel);
  source_want(&channel->source, (is_full(channel) ? 0 : EPOLLIN) | (wants_out ? EPOLLOUT : 0));
}

// Sends at once what the socket takes, and keeps the rest.
static void channel_send(struct channel *channel, uint32_t number, enum frame type, const void *payload,
                         size_t length) {
  if (channel->is_broken) return;
  uint8_t header[HEADER] = {number, number >> 8, number >> 16, number >> 24, type,
                            length, length >> 8, length >> 16, length >> 24};
  size_t sent = 0;
  if (unsent(channel) == 0) {
    struct iovec parts[2] = {{header, HEADER}, {(void *)payload, length}};
    ssize_t result = writev(channel->source.fd, parts, 2);
    if (result < 0 && errno != EAGAIN && errno != EINTR) return channel_break(channel);
    sent = result > 0 ? (size_t)result : 0;
    if (sent == HEADER + length) return;
  }
  if (sent < HEADER) put_bytes(&channel->out, header + sent, HEADER - sent);
  size_t done = sent > HEADER ? sent - HEADER : 0;
  put_bytes(&channel->out, (const uint8_t *)payload + done, length - done);
  if (channel->out.has_failed) return channel_break(channel);
  channel->was_full |= is_full(channel);
  update_events(channel);
}

static void flush(struct channel *channel) {
  while (unsent(channel) > 0) {
    ssize_t sent = write(channel->source.fd, channel->out.bytes + channel->out_start, unsent(channel));
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno != EAGAIN) return channel_break(channel);
    if (sent <= 0) return;
    channel->out_start += (size_t)sent;
  }
  buffer_free(&channel->out);
  channel->out_start = 0;
}

bool call_can_send(const struct call *call) { return has_credit(call) && !is_full(call->channel); }

void call_send(struct call *call, enum frame type, const void *payload, size_t length) {
  call->credit -= length < call->credit ? (uint32_t)length : call->credit;
  channel_send(call->channel, call->number, type, payload, length);
}

void call_message(struct call *call, struct buffer *message) {
  if (message->has_failed) channel_break(call->channel);
  call_send(call, MESSAGE, message->bytes, message->length);
}

void call_consumed(struct call *call, size_t length) {
  call->consumed += length;
  if (call->has_ended || call->consumed < FIRST_CREDIT / 4) return;
  uint8_t grant[4] = {call->consumed, call->consumed >> 8, call->consumed >> 16, call->consumed >> 24};
  call->allowance += call->consumed;
  call->consumed = 0;
  channel_send(call->channel, call->number, CREDIT, grant, 4);
}

void call_set_busy(struct call *call, bool is_busy) {
  call->is_busy = is_busy;
  update_events(call->channel);
}

static void call_end(struct call *call) {
  struct call **place = &call->channel->calls;
  while (*place != call) place = &(*place)->next;
  *place = call->next;
  if (call->kind && call->kind->close) call->kind->close(call);
  call_count--;
  free(call);
}

void call_done(struct call *call, const void *payload, size_t length) {
  channel_send(call->channel, call->number, DONE, payload, length);
  call_end(call);
}

void call_done_buffer(struct call *call, struct buffer *result) {
  if (result->has_failed) call_fail(call, RESOURCE_EXHAUSTED, "the agent is out of memory");
  else call_done(call, result->bytes, result->length);
  buffer_free(result);
}

void call_fail(struct call *call, enum code code, const char *format, ...) {
  char message[PATH_MAX + 256];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  struct buffer payload = {0};
  put_u8(&payload, code);
  put_string(&payload, message);
  if (payload.has_failed) channel_break(call->channel);
  channel_send(call->channel, call->number, ERROR, payload.bytes, payload.length);
  buffer_free(&payload);
  call_end(call);
}

static struct call *find_call(const struct channel *channel, uint32_t number) {
  struct call *call = channel->calls;
  while (call && call->number != number) call = call->next;
  return call;
}

static void open_call(struct channel *channel, uint32_t number, struct reader arguments) {
  if (number == 0 || find_call(channel, number)) return channel_break(channel);
  struct call *call = calloc(1, sizeof *call);
  if (!call) return channel_break(channel);
  *call = (struct call){.next = channel->calls, .channel = channel, .number = number,
                        .credit = FIRST_CREDIT, .allowance = FIRST_CREDIT};
  channel->calls = call;
  if (++call_count > MOST_CALLS)
    return call_fail(call, RESOURCE_EXHAUSTED, "more than %d calls are under way", MOST_CALLS);
  uint8_t number_of_operation = read_u8(&arguments);
  operation *operation = number_of_operation < sizeof operations / sizeof *operations
                             ? operations[number_of_operation] : NULL;
  if (operation) operation(call, &arguments);
  else call_fail(call, UNIMPLEMENTED, "the agent has no operation %d", number_of_operation);
}

static void receive_data(struct call *call, const uint8_t *bytes, size_t length) {
  if (length > call->allowance || call->has_ended) return channel_break(call->channel);
  call->allowance -= (uint32_t)length;
  if (call->kind && call->kind->data && length > 0) call->kind->data(call, bytes, length);
}

static void receive_credit(struct call *call, struct reader grant) {
  uint32_t more = read_u32(&grant);
  call->credit = more > INT32_MAX - call->credit ? INT32_MAX : call->credit + more;
  if (call->kind && call->kind->resume) call->kind->resume(call);
}

static void receive(struct channel *channel, uint32_t number, uint8_t type, uint8_t *payload, size_t length) {
  struct reader reader = {payload, payload + length, false};
  if (type == OPEN) return open_call(channel, number, reader);
  if ((type == CREDIT && length != 4) || ((type == END || type == CANCEL) && length != 0) ||
      (type != DATA && type != END && type != CREDIT && type != CANCEL))
    return channel_break(channel);
  struct call *call = find_call(channel, number);
  if (!call) return;
  if (type == DATA) return receive_data(call, payload, length);
  if (type == CREDIT) return receive_credit(call, reader);
  if (type == CANCEL) return call_end(call);
  if (call->has_ended) return channel_break(channel);
  call->has_ended = true;
  if (call->kind && call->kind->end) call->kind->end(call);
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
  if (channel->is_broken || is_full(channel) || received < HEADER) return false;
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
  receive(channel, number_at(frame), frame[4], frame + HEADER, length);
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
  ssize_t got = read(channel->source.fd, channel->in + channel->in_end, channel->in_capacity - channel->in_end);
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return channel_break(channel);
  if (got > 0) channel->in_end += (size_t)got;
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
  if (!call || is_full(channel)) return;
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
    if (!channel->is_broken && channel->was_full && !is_full(channel)) resume_calls(channel);
    if (!channel->is_broken) step_call(channel);
  }
  if (channel->is_broken) return;
  if (events & EPOLLIN) handle_in(channel);
  else if (events & (EPOLLHUP | EPOLLERR)) channel_break(channel);
  update_events(channel);
}

static bool is_allowed(int fd) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && (peer.uid == 0 || peer.uid == geteuid());
}

static uint64_t number_of_run(void) {
  static uint64_t number;
  while (number == 0 && getrandom(&number, sizeof number, 0) < 0 && errno == EINTR) continue;
  return number;
}

static void channel_open(int fd) {
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
    channel->next = channels;
    channels = channel;
    channel_count++;
    channel_send(channel, 0, HELLO, hello.bytes, hello.length);
  }
  buffer_free(&hello);
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
  if (channel_count < MOST_CHANNELS && is_allowed(fd)) channel_open(fd);
  else close(fd);
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
