// Bytes of frames: building and reading them. All integers are little-endian.
#include "../agent.h"

#include <stdlib.h>
#include <string.h>

bool buffer_reserve(struct buffer *buffer, size_t more) {
  size_t needed = buffer->length + more;
  if (buffer->has_failed) return false;
  if (needed <= buffer->capacity) return true;
  size_t capacity = buffer->capacity ? buffer->capacity : 256;
  while (capacity < needed) capacity *= 2;
  uint8_t *bytes = realloc(buffer->bytes, capacity);
  if (!bytes) {
    buffer->has_failed = true;
    return false;
  }
  buffer->bytes = bytes;
  buffer->capacity = capacity;
  return true;
}

void buffer_free(struct buffer *buffer) {
  free(buffer->bytes);
  memset(buffer, 0, sizeof *buffer);
}

void put_bytes(struct buffer *buffer, const void *bytes, size_t length) {
  if (length == 0 || !buffer_reserve(buffer, length)) return;
  memcpy(buffer->bytes + buffer->length, bytes, length);
  buffer->length += length;
}

void put_u8(struct buffer *buffer, uint8_t value) { put_bytes(buffer, &value, 1); }

static void put_number(struct buffer *buffer, uint64_t value, int size) {
  uint8_t bytes[8];
  for (int i = 0; i < size; i++) bytes[i] = (uint8_t)(value >> (8 * i));
  put_bytes(buffer, bytes, (size_t)size);
}

void put_u32(struct buffer *buffer, uint32_t value) { put_number(buffer, value, 4); }
void put_u64(struct buffer *buffer, uint64_t value) { put_number(buffer, value, 8); }

void put_string(struct buffer *buffer, const char *string) {
  size_t length = strlen(string);
  put_u32(buffer, (uint32_t)length);
  put_bytes(buffer, string, length);
}

static uint64_t read_number(struct reader *reader, int size) {
  if (reader->has_failed || reader->end - reader->next < size) {
    reader->has_failed = true;
    return 0;
  }
  uint64_t value = 0;
  for (int i = 0; i < size; i++) value |= (uint64_t)reader->next[i] << (8 * i);
  reader->next += size;
  return value;
}

uint8_t read_u8(struct reader *reader) { return (uint8_t)read_number(reader, 1); }
uint16_t read_u16(struct reader *reader) { return (uint16_t)read_number(reader, 2); }
uint32_t read_u32(struct reader *reader) { return (uint32_t)read_number(reader, 4); }
uint64_t read_u64(struct reader *reader) { return read_number(reader, 8); }

char *read_string(struct reader *reader) {
  static char empty[1];
  uint32_t length = read_u32(reader);
  if (!reader->has_failed && length <= (size_t)(reader->end - reader->next) &&
      (length == 0 || !memchr(reader->next, 0, length))) {
    // The string moves over its own length, which makes room for the NUL.
    char *string = (char *)reader->next - 4;
    memmove(string, reader->next, length);
    string[length] = 0;
    reader->next += length;
    return string;
  }
  reader->has_failed = true;
  empty[0] = 0;
  return empty;
}

char **read_strings(struct reader *reader, uint32_t strings_per_item) {
  uint64_t count = (uint64_t)read_u32(reader) * strings_per_item;
  // Each string takes at least four bytes, so a wrong count allocates no more than the frame.
  if (reader->has_failed || count > (size_t)(reader->end - reader->next) / 4) {
    reader->has_failed = true;
    return NULL;
  }
  char **strings = calloc(count + 1, sizeof *strings);
  for (uint64_t i = 0; strings && i < count; i++) strings[i] = read_string(reader);
  return strings;
}
