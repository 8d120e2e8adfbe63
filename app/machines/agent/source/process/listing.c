// LIST and OUTPUT: what runs, and what was printed lately.
#include "../agent.h"

#include <stdlib.h>

struct cursor {
  uint64_t position;
};

static struct process *after(uint64_t position) {
  struct process *found = NULL;
  for (struct process *process = processes_running(); process; process = process->next)
    if ((uint64_t)process->pid > position && (!found || process->pid < found->pid)) found = process;
  return found;
}

static void list_step(struct call *call) {
  struct cursor *cursor = call->state;
  struct process *process = after(cursor->position);
  if (!process) return call_done(call, NULL, 0);
  cursor->position = (uint64_t)process->pid;
  if (process->description.length > 0) call_message(call, &process->description);
}

static void output_step(struct call *call) {
  struct cursor *cursor = call->state;
  struct record record;
  uint8_t bytes[MOST_RECORD];
  if (!processes_output() || !log_next(processes_output(), &cursor->position, &record, bytes))
    return call_done(call, NULL, 0);
  struct buffer message = {0};
  put_u64(&message, (uint64_t)record.time);
  put_u32(&message, record.pid);
  put_u8(&message, record.source);
  put_bytes(&message, bytes, record.length);
  call_message(call, &message);
  buffer_free(&message);
}

static void cursor_close(struct call *call) { free(call->state); }

static void open_cursor(struct call *call, const struct call_kind *kind) {
  call->kind = kind;
  call->state = calloc(1, sizeof(struct cursor));
  if (call->state) call_set_busy(call, true);
  else call_fail(call, RESOURCE_EXHAUSTED, "the agent is out of memory");
}

void op_list(struct call *call, struct reader *arguments) {
  static const struct call_kind kind = {.unit = MOST_PAYLOAD, .step = list_step, .close = cursor_close};
  (void)arguments;
  open_cursor(call, &kind);
}

void op_output(struct call *call, struct reader *arguments) {
  static const struct call_kind kind = {.unit = MOST_PAYLOAD, .step = output_step, .close = cursor_close};
  (void)arguments;
  open_cursor(call, &kind);
}
