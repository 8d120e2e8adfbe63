// Calls of a channel: what arrives for them, what they send, how they end.
#include "../agent.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned call_count;

static operation *const operations[] = {
    [1] = op_start,           [2] = op_connect,         [3] = op_list,
    [4] = op_signal,          [5] = op_resize,          [6] = op_input,
    [7] = op_close_input,     [8] = op_output,          [16] = op_stat,
    [17] = op_read_directory, [18] = op_make_directory, [19] = op_move,
    [20] = op_remove,         [21] = op_read,           [22] = op_write,
    [23] = op_watch,          [24] = op_sync,           [25] = op_disk,
    [26] = op_dial,
    [27] = op_network,
};

bool call_has_credit(const struct call *call) {
  return call->credit > 0 && (!call->kind || call->credit >= call->kind->unit);
}

bool call_can_send(const struct call *call) {
  return call_has_credit(call) && !channel_is_full(call->channel);
}

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
  channel_update(call->channel);
}

void call_end(struct call *call) {
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
  watches_report();
  struct call *call = calloc(1, sizeof *call);
  if (!call) return channel_break(channel);
  *call = (struct call){.next = channel->calls,
                        .channel = channel,
                        .number = number,
                        .credit = FIRST_CREDIT,
                        .allowance = FIRST_CREDIT};
  channel->calls = call;
  if (++call_count > MOST_CALLS)
    return call_fail(call, RESOURCE_EXHAUSTED, "more than %d calls are under way", MOST_CALLS);
  uint8_t number_of_operation = read_u8(&arguments);
  operation *operation =
      number_of_operation < sizeof operations / sizeof *operations ? operations[number_of_operation] : NULL;
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

void call_receive(struct channel *channel, uint32_t number, uint8_t type, uint8_t *payload, size_t length) {
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
