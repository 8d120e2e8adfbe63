// A ring of output: records of a header and at most MOST_RECORD bytes, the oldest dropped first.
#include "../agent.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct log {
  size_t capacity;
  uint64_t start, end;  // positions count up for ever; the ring holds start to end
  uint64_t last;        // position of the newest record
  bool is_sealed;       // a cursor is behind the newest record, so it must not grow
  uint8_t bytes[];
};

struct log *log_new(size_t capacity) {
  struct log *log = malloc(sizeof *log + capacity);
  if (log) *log = (struct log){.capacity = capacity};
  return log;
}

static void copy_in(struct log *log, uint64_t position, const void *bytes, size_t length) {
  size_t offset = position % log->capacity, first = log->capacity - offset;
  if (first > length) first = length;
  memcpy(log->bytes + offset, bytes, first);
  memcpy(log->bytes, (const uint8_t *)bytes + first, length - first);
}

static void copy_out(const struct log *log, uint64_t position, void *bytes, size_t length) {
  size_t offset = position % log->capacity, first = log->capacity - offset;
  if (first > length) first = length;
  memcpy(bytes, log->bytes + offset, first);
  memcpy((uint8_t *)bytes + first, log->bytes, length - first);
}

static void make_room(struct log *log, size_t length) {
  struct record oldest;
  while (log->capacity - (log->end - log->start) < length) {
    copy_out(log, log->start, &oldest, sizeof oldest);
    log->start += sizeof oldest + oldest.length;
  }
}

// Continues the newest record, so that single bytes don't each cost a header.
static size_t extend(struct log *log, const struct record *next, const uint8_t *bytes, size_t length) {
  struct record last;
  if (log->start == log->end || log->is_sealed) return 0;
  copy_out(log, log->last, &last, sizeof last);
  if (last.pid != next->pid || last.source != next->source || next->time - last.time > 1000) return 0;
  size_t room = MOST_RECORD - last.length;
  if (length > room) length = room;
  make_room(log, length);
  copy_in(log, log->end, bytes, length);
  log->end += length;
  last.length += length;
  copy_in(log, log->last, &last, sizeof last);
  return length;
}

void log_add(struct log *log, uint32_t pid, enum log_source source, const uint8_t *bytes, size_t length) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  struct record record = {.time = now.tv_sec * 1000LL + now.tv_nsec / 1000000, .pid = pid, .source = source};
  size_t done = extend(log, &record, bytes, length);
  while (done < length) {
    record.length = length - done < MOST_RECORD ? length - done : MOST_RECORD;
    make_room(log, sizeof record + record.length);
    log->last = log->end;
    log->is_sealed = false;
    copy_in(log, log->end, &record, sizeof record);
    copy_in(log, log->end + sizeof record, bytes + done, record.length);
    log->end += sizeof record + record.length;
    done += record.length;
  }
}

bool log_next(struct log *log, uint64_t *cursor, struct record *record, uint8_t bytes[MOST_RECORD]) {
  if (*cursor < log->start) *cursor = log->start;
  if (*cursor >= log->end) return false;
  if (*cursor == log->last) log->is_sealed = true;
  copy_out(log, *cursor, record, sizeof *record);
  copy_out(log, *cursor + sizeof *record, bytes, record->length);
  *cursor += sizeof *record + record->length;
  return true;
}
