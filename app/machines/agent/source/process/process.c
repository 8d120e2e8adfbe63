// Processes that START made: their output, their signals, their end.
#include "../agent.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <dirent.h>
#include <unistd.h>

#define KEPT_MILLISECONDS 30000
#define KEPT_OUTPUT (256 * 1024 + 16384)
#define KEPT_BACKLOG (65536 + 8192)
#define MOST_BACKLOGS 256

static struct process *running;                      // the newest first
static struct process *ended, **ended_end = &ended;  // the oldest first
static unsigned running_count, ended_count, backlog_count;
static struct log *output;

unsigned process_count(void) { return running_count; }
struct process *processes_running(void) { return running; }
struct log *processes_output(void) { return output; }

static uint8_t scratch[MOST_PAYLOAD];

static void leave(struct call **list, struct call *call) {
  while (*list && *list != call) list = &(*list)->next_of_process;
  if (*list) *list = call->next_of_process;
}

static void drop_backlog(struct process *process) {
  if (process->backlog) backlog_count--;
  free(process->backlog);
  process->backlog = NULL;
}

static void forget(struct process **place) {
  struct process *process = *place;
  *place = process->next;
  if (ended_end == &process->next) ended_end = place;
  ended_count--;
  drop_backlog(process);
  free(process->tag);
  free(process);
}

// Only processes that have ended lose what nobody has seen, and the oldest first.
static bool make_backlog(struct process *process) {
  if (!process->backlog && backlog_count >= MOST_BACKLOGS) {
    struct process *oldest = ended;
    while (oldest && !oldest->backlog) oldest = oldest->next;
    if (oldest) drop_backlog(oldest);
  }
  if (!process->backlog && (process->backlog = log_new(KEPT_BACKLOG))) backlog_count++;
  return process->backlog;
}

static void send_exit(struct process *process, struct call *call) {
  int signal = WIFSIGNALED(process->status) ? WTERMSIG(process->status) : 0;
  struct buffer result = {0};
  put_u32(&result, signal ? UINT32_MAX : (uint32_t)WEXITSTATUS(process->status));
  put_u8(&result, (uint8_t)signal);
  call_done_buffer(call, &result);
}

static void finish(struct process *process) {
  struct process **place = &running;
  while (*place != process) place = &(*place)->next;
  *place = process->next;
  running_count--;
  process->next = NULL;
  *ended_end = process;
  ended_end = &process->next;
  ended_count++;
  process->forgotten_at = monotonic_milliseconds() + KEPT_MILLISECONDS;
  buffer_free(&process->description);
  input_close(process);
  while (process->listeners) send_exit(process, process->listeners);
  if (ended_count > MOST_ENDED) forget(&ended);
}

static void finish_if_over(struct process *process) {
  if (process->has_ended && process->out.source.fd < 0 && process->err.source.fd < 0) finish(process);
}

static uint32_t sendable(const struct process *process) {
  uint32_t most = MOST_PAYLOAD;
  for (struct call *call = process->listeners; call; call = call->next_of_process) {
    if (!call_can_send(call)) return 0;
    if (call->credit < most) most = call->credit;
  }
  return most;
}

static void publish(struct stream *stream, const uint8_t *bytes, size_t length) {
  struct process *process = stream->process;
  if (!output) output = log_new(KEPT_OUTPUT);
  if (output) log_add(output, (uint32_t)process->pid, stream->kind, bytes, length);
  if (!process->listeners && make_backlog(process))
    log_add(process->backlog, (uint32_t)process->pid, stream->kind, bytes, length);
  for (struct call *call = process->listeners; call; call = call->next_of_process)
    call_send(call, stream->frame, bytes, length);
}

static void read_stream(struct stream *stream) {
  uint32_t most = sendable(stream->process);
  if (stream->source.fd < 0 || most == 0) return;
  bool is_draining = stream->process->has_ended && stream->process->was_signalled;
  if (is_draining && most > stream->left) most = stream->left;
  ssize_t got = most > 0 ? read(stream->source.fd, scratch, most) : 0;
  if (got > 0) {
    publish(stream, scratch, (size_t)got);
    if (is_draining) stream->left -= (uint32_t)got;
  } else if (got == 0 || is_draining || (errno != EAGAIN && errno != EINTR)) {
    source_close(&stream->source);
  }
}

// Others may hold the pipes of a process that a signal has ended: what is in them is read, no more.
static void drain(struct process *process) {
  for (int i = 0; i < 2; i++) {
    struct stream *stream = i ? &process->err : &process->out;
    while (stream->source.fd >= 0 && sendable(process) > 0) read_stream(stream);
  }
}

void process_update(struct process *process) {
  if (process->has_ended && process->was_signalled) drain(process);
  uint32_t events = sendable(process) > 0 ? EPOLLIN : 0;
  source_want(&process->out.source, events);
  source_want(&process->err.source, events);
  finish_if_over(process);
}

static void stream_ready(struct source *source, uint32_t events) {
  (void)events;
  struct stream *stream = (struct stream *)source;
  read_stream(stream);
  process_update(stream->process);
}

static void listener_resume(struct call *call) { process_update(call->process); }

static void listener_close(struct call *call) {
  struct process *process = call->process;
  leave(&process->listeners, call);
  // The process may have waited for this call only. Later: others may be walking through its calls.
  process->must_update = true;
}

static const struct call_kind listener_kind = {.resume = listener_resume, .close = listener_close};

static void send_backlog(struct process *process, struct call *call) {
  struct record record;
  uint64_t cursor = 0;
  while (process->backlog && log_next(process->backlog, &cursor, &record, scratch))
    call_send(call, record.source == LOG_STDERR ? STDERR : DATA, scratch, record.length);
  drop_backlog(process);
}

static void put_started(struct buffer *started, struct process *process) {
  put_u32(started, (uint32_t)process->pid);
  put_u8(started, process->has_terminal);
}

// Ends the call that has started a process. Its output waits for whoever listens first.
void process_announce(struct process *process, struct call *call) {
  struct buffer started = {0};
  put_started(&started, process);
  call_done_buffer(call, &started);
  process_update(process);
}

void process_listen(struct process *process, struct call *call) {
  struct buffer started = {0};
  put_started(&started, process);
  call_message(call, &started);
  buffer_free(&started);
  send_backlog(process, call);
  if (process->forgotten_at) return send_exit(process, call);
  call->kind = &listener_kind;
  call->process = process;
  call->next_of_process = process->listeners;
  process->listeners = call;
  process_update(process);
}

static void stream_open(struct stream *stream, struct process *process, int fd) {
  stream->process = process;
  stream->left = MOST_PAYLOAD;
  stream->source.ready = stream_ready;
  stream->source.fd = -1;
  if (fd >= 0 && !source_open(&stream->source, fd, EPOLLIN)) source_close(&stream->source);
}

void process_add(struct process *process, int in, int out, int err) {
  for (struct process **place = &ended; *place;) {
    if ((*place)->pid == process->pid) forget(place);
    else place = &(*place)->next;
  }
  process->next = running;
  running = process;
  running_count++;
  process->out.frame = DATA;
  process->out.kind = process->has_terminal ? LOG_TERMINAL : LOG_STDOUT;
  process->err.frame = STDERR;
  process->err.kind = LOG_STDERR;
  stream_open(&process->out, process, out);
  stream_open(&process->err, process, err);
  input_open(process, in);
}

void process_reap(pid_t pid, int status) {
  struct process *process = running;
  while (process && process->pid != pid) process = process->next;
  if (!process) return;
  process->has_ended = true;
  process->status = status;
  process->deadline = 0;
  process_update(process);
}

int process_tick(void) {
  int64_t now = monotonic_milliseconds(), next = INT64_MAX;
  for (struct process *process = running, *following; process; process = following) {
    following = process->next;
    if (process->must_update) {
      process->must_update = false;
      process_update(process);
    }
    if (process->deadline && process->deadline <= now) {
      process->deadline = 0;
      process_signal(process, SIGKILL);
    } else if (process->deadline && process->deadline < next) {
      next = process->deadline;
    }
  }
  while (ended && ended->forgotten_at <= now) forget(&ended);
  if (ended && ended->forgotten_at < next) next = ended->forgotten_at;
  return next == INT64_MAX ? -1 : next - now > INT_MAX ? INT_MAX : (int)(next - now);
}

static bool is_named(const struct process *process, pid_t pid, const char *tag) {
  return pid ? process->pid == pid : process->tag && strcmp(process->tag, tag) == 0;
}

// Of several with one tag, the newest counts.
static struct process *find_process(pid_t pid, const char *tag, bool takes_ended) {
  struct process *found = NULL;
  for (struct process *process = running; process; process = process->next)
    if (is_named(process, pid, tag)) return process;
  for (struct process *process = ended; process && takes_ended; process = process->next)
    if (is_named(process, pid, tag)) found = process;
  return found;
}

static struct process *find(struct call *call, struct reader *arguments, bool takes_ended) {
  pid_t pid = (pid_t)read_u32(arguments);
  const char *tag = read_string(arguments);
  if (arguments->has_failed) {
    call_fail(call, INVALID_ARGUMENT, "malformed arguments");
    return NULL;
  }
  struct process *process = find_process(pid, tag, takes_ended);
  if (process) return process;
  if (pid) call_fail(call, NOT_FOUND, "process with pid %d not found", pid);
  else call_fail(call, NOT_FOUND, "process with tag '%.1000s' not found", tag);
  return NULL;
}

struct process *process_find(struct call *call, struct reader *arguments) {
  return find(call, arguments, false);
}

void op_connect(struct call *call, struct reader *arguments) {
  struct process *process = find(call, arguments, true);
  if (process) process_listen(process, call);
}

void op_resize(struct call *call, struct reader *arguments) {
  struct process *process = process_find(call, arguments);
  if (!process) return;
  struct winsize size = {0};
  size.ws_col = read_u16(arguments);
  size.ws_row = read_u16(arguments);
  if (arguments->has_failed) call_fail(call, INVALID_ARGUMENT, "malformed arguments");
  else if (!process->has_terminal) call_fail(call, FAILED_PRECONDITION, "the process has no terminal");
  else if (process->out.source.fd < 0 || ioctl(process->out.source.fd, TIOCSWINSZ, &size) < 0)
    call_fail(call, INTERNAL, "the terminal cannot be resized");
  else call_done(call, NULL, 0);
}
