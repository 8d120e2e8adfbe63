// What the server writes to processes: to their standard input or terminal.
#include "../agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

// Of all processes together; a call alone is bounded by its credit.
#define MOST_INPUT (8 << 20)

struct chunk {
  struct chunk *next;
  struct call *call;  // NULL: it was cancelled
  size_t length, done;
  uint8_t bytes[];
};

static size_t waiting;

static void drop_chunk(struct input *input) {
  struct chunk *chunk = input->first;
  input->first = chunk->next;
  if (!input->first) input->last = NULL;
  waiting -= chunk->length;
  free(chunk);
}

static void leave(struct call *call) {
  struct call **place = &call->process->in.calls;
  while (*place != call) place = &(*place)->next_of_process;
  *place = call->next_of_process;
}

void input_close(struct process *process) {
  struct input *input = &process->in;
  source_close(&input->source);
  while (input->first) drop_chunk(input);
  while (input->calls) {
    struct call *call = input->calls;
    if (call->pending > 0) {
      call_fail(call, INTERNAL, "the process's input is closed");
    } else {
      leave(call);
      call->process = NULL;
    }
  }
}

// Writes one chunk, as far as the process takes it. Returns false when it takes no more now.
static bool write_chunk(struct process *process) {
  struct input *input = &process->in;
  struct chunk *chunk = input->first;
  struct call *call = chunk->call;
  while (call && chunk->done < chunk->length) {
    ssize_t result = write(input->source.fd, chunk->bytes + chunk->done, chunk->length - chunk->done);
    if (result < 0 && errno == EINTR) continue;
    if (result < 0 && errno != EAGAIN) input_close(process);
    if (result <= 0) return false;
    chunk->done += (size_t)result;
  }
  size_t length = chunk->length;
  drop_chunk(input);
  if (!call) return true;
  call->pending -= length;
  call_consumed(call, length);
  if (call->has_ended && call->pending == 0) call_done(call, NULL, 0);
  return true;
}

static void write_all(struct process *process) {
  struct input *input = &process->in;
  while (input->first && write_chunk(process)) continue;
  source_want(&input->source, input->first ? EPOLLOUT : 0);
  if (!input->first && input->closes) input_close(process);
}

static void input_ready(struct source *source, uint32_t events) {
  (void)events;
  write_all(((struct input *)source)->process);
}

void input_open(struct process *process, int fd) {
  process->in.process = process;
  process->in.source.ready = input_ready;
  source_open(&process->in.source, fd, 0);
}

static void input_data(struct call *call, const uint8_t *bytes, size_t length) {
  if (!call->process) return call_fail(call, INTERNAL, "the process's input is closed");
  struct input *input = &call->process->in;
  struct chunk *chunk = waiting + length > MOST_INPUT ? NULL : malloc(sizeof *chunk + length);
  if (!chunk) return call_fail(call, RESOURCE_EXHAUSTED, "too much input waits for processes to read it");
  *chunk = (struct chunk){.call = call, .length = length};
  memcpy(chunk->bytes, bytes, length);
  if (input->last) input->last->next = chunk;
  else input->first = chunk;
  input->last = chunk;
  waiting += length;
  call->pending += length;
  write_all(call->process);
}

static void input_end(struct call *call) {
  if (call->pending == 0) call_done(call, NULL, 0);
}

static void input_call_close(struct call *call) {
  if (!call->process) return;
  leave(call);
  for (struct chunk *chunk = call->process->in.first; chunk; chunk = chunk->next)
    if (chunk->call == call) chunk->call = NULL;
}

static const struct call_kind input_kind = {.data = input_data, .end = input_end, .close = input_call_close};

void op_input(struct call *call, struct reader *arguments) {
  struct process *process = process_find(call, arguments);
  if (!process) return;
  uint8_t kind = read_u8(arguments);
  if (arguments->has_failed || kind < 1 || kind > 2)
    return call_fail(call, INVALID_ARGUMENT, "malformed arguments");
  if (process->has_terminal != (kind == 2))
    return call_fail(
        call, FAILED_PRECONDITION,
        process->has_terminal ? "the process has a terminal: write to that" : "the process has no terminal");
  if (process->in.source.fd < 0 || process->in.closes)
    return call_fail(call, INTERNAL, "the process's input is closed");
  call->kind = &input_kind;
  call->process = process;
  call->next_of_process = process->in.calls;
  process->in.calls = call;
}

void op_close_input(struct call *call, struct reader *arguments) {
  struct process *process = process_find(call, arguments);
  if (!process) return;
  if (process->has_terminal) return call_fail(call, FAILED_PRECONDITION, "send Ctrl+D (0x04) instead");
  if (process->in.source.fd < 0) return call_fail(call, INTERNAL, "the process's input is closed");
  process->in.closes = true;
  write_all(process);
  call_done(call, NULL, 0);
}
