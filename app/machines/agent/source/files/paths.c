// Paths of the machine, and how the protocol describes what is at them.
#include "../agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

// What an entry may hold of metadata, so that it fits in one frame.
#define MOST_METADATA 32768
#define PREFIX "user.e2b."

// Removes `.`, `..` and empty parts from an absolute path without looking at the disk, as E2B does.
static void clean(char *path) {
  char *out = path;
  for (char *part = path; *part;) {
    while (*part == '/') part++;
    size_t length = strcspn(part, "/");
    if (length == 2 && part[0] == '.' && part[1] == '.') {
      while (out > path && *--out != '/') continue;
    } else if (length > 0 && !(length == 1 && part[0] == '.')) {
      *out++ = '/';
      memmove(out, part, length);
      out += length;
    }
    part += length;
  }
  if (out == path) *out++ = '/';
  *out = 0;
}

bool resolve_path(const struct user *user, const char *path, char out[PATH_MAX]) {
  bool is_below_home = path[0] == '~' && (path[1] == '/' || path[1] == 0);
  const char *base = path[0] == '/' ? "" : user->home;
  int length = snprintf(out, PATH_MAX, "%s/%s", base, is_below_home ? path + 1 : path);
  if (length >= PATH_MAX) return false;
  clean(out);
  return true;
}

bool read_user(struct call *call, struct reader *arguments, struct user *user) {
  const char *name = read_string(arguments);
  if (arguments->has_failed) call_fail(call, INVALID_ARGUMENT, "malformed arguments");
  else if (!find_user(name, user)) call_fail(call, UNAUTHENTICATED, "invalid username: '%.64s'", name);
  else return true;
  return false;
}

bool read_path(struct call *call, struct reader *arguments, const struct user *user, char out[PATH_MAX]) {
  const char *path = read_string(arguments);
  if (arguments->has_failed) call_fail(call, INVALID_ARGUMENT, "malformed arguments");
  else if (!resolve_path(user, path, out))
    call_fail(call, INVALID_ARGUMENT, "the path is longer than %d bytes", PATH_MAX - 1);
  else return true;
  return false;
}

static int make_directory(const char *path, const struct user *user) {
  if (mkdir(path, 0755) < 0) return errno;
  return lchown(path, user->uid, user->gid) < 0 ? errno : 0;
}

int make_directories(const char *path, const struct user *user) {
  char part[PATH_MAX];
  struct stat info;
  if (stat(path, &info) == 0) return S_ISDIR(info.st_mode) ? 0 : ENOTDIR;
  strcpy(part, path);
  for (char *slash = strchr(part + 1, '/');; slash = strchr(slash + 1, '/')) {
    if (slash) *slash = 0;
    int error = make_directory(part, user);
    if (error && error != EEXIST) return error;
    if (!slash) return error == EEXIST && stat(path, &info) == 0 && !S_ISDIR(info.st_mode) ? ENOTDIR : 0;
    *slash = '/';
  }
}

int make_parents(const char *path, const struct user *user) {
  char parent[PATH_MAX];
  strcpy(parent, path);
  char *slash = strrchr(parent, '/');
  if (!slash || slash == parent) return 0;
  *slash = 0;
  return make_directories(parent, user);
}

static void put_metadata(struct buffer *buffer, const char *path) {
  char names[MOST_METADATA], value[MOST_METADATA];
  size_t count_place = buffer->length, total = 0;
  uint32_t count = 0;
  put_u32(buffer, 0);
  ssize_t size = llistxattr(path, names, sizeof names);
  for (char *name = names; size > 0 && name < names + size; name += strlen(name) + 1) {
    if (strncmp(name, PREFIX, sizeof PREFIX - 1) != 0) continue;
    ssize_t length = lgetxattr(path, name, value, sizeof value - 1);
    if (length < 0 || memchr(value, 0, (size_t)length)) continue;
    value[length] = 0;
    total += strlen(name) + (size_t)length + 8;
    if (total > MOST_METADATA) break;
    put_string(buffer, name + sizeof PREFIX - 1);
    put_string(buffer, value);
    count++;
  }
  if (!buffer->has_failed) memcpy(buffer->bytes + count_place, &count, sizeof count);
}

static uint8_t type_of(mode_t mode) { return S_ISREG(mode) ? 1 : S_ISDIR(mode) ? 2 : 3; }

// Of a broken link, the target is what the link says and the type is 3.
static void resolve_link(const char *path, struct stat *info, char target[PATH_MAX]) {
  if (stat(path, info) == 0 && realpath(path, target)) return;
  ssize_t length = readlink(path, target, PATH_MAX - 1);
  target[length > 0 ? length : 0] = 0;
}

int put_entry(struct buffer *buffer, const char *path) {
  struct stat link, info;
  char target[PATH_MAX] = "", owner[64], group[64];
  if (lstat(path, &link) < 0) return errno;
  info = link;
  if (S_ISLNK(link.st_mode)) resolve_link(path, &info, target);
  name_of(false, link.st_uid, owner);
  name_of(true, link.st_gid, group);
  put_string(buffer, path[1] ? strrchr(path, '/') + 1 : "/");
  put_string(buffer, path);
  put_u8(buffer, type_of(info.st_mode));
  put_u64(buffer, (uint64_t)link.st_size);
  put_u32(buffer, info.st_mode & 07777);
  put_u8(buffer, S_ISLNK(link.st_mode));
  put_string(buffer, owner);
  put_string(buffer, group);
  put_u64(buffer, (uint64_t)link.st_mtim.tv_sec);
  put_u32(buffer, (uint32_t)link.st_mtim.tv_nsec);
  put_string(buffer, target);
  put_metadata(buffer, path);
  return 0;
}

void done_entry(struct call *call, const char *path) {
  struct buffer entry = {0};
  int error = put_entry(&entry, path);
  if (error == 0) return call_done_buffer(call, &entry);
  buffer_free(&entry);
  call_fail_path(call, error, path);
}

enum code describe_error(int error, const char *path, char *message, size_t size) {
  const char *words = strerror(error);
  enum code code = INTERNAL;
  switch (error) {
    case ENOENT:
      code = NOT_FOUND;
      words = "does not exist";
      break;
    case ENOTDIR:
      code = NOT_FOUND;
      words = "does not exist: a part of it is not a directory";
      break;
    case EEXIST:
    case ENOTEMPTY:
      code = ALREADY_EXISTS;
      words = "already exists";
      break;
    case EISDIR:
      code = INVALID_ARGUMENT;
      words = "is a directory";
      break;
    case EINVAL:
    case ENAMETOOLONG:
    case ERANGE: code = INVALID_ARGUMENT; break;
    case ELOOP:
      code = FAILED_PRECONDITION;
      words = "leads through too many symbolic links";
      break;
    case EACCES:
    case EPERM:
    case EROFS: code = PERMISSION_DENIED; break;
    case ENOSPC:
    case EDQUOT:
      code = RESOURCE_EXHAUSTED;
      words = "does not fit: no space is left on the machine";
      break;
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case EAGAIN: code = RESOURCE_EXHAUSTED; break;
  }
  bool is_sentence = words[0] >= 'a' && words[0] <= 'z';
  snprintf(message, size, "path '%s'%s %s", path, is_sentence ? "" : ":", words);
  return code;
}

void call_fail_path(struct call *call, int error, const char *path) {
  char message[PATH_MAX + 128];
  enum code code = describe_error(error, path, message, sizeof message);
  call_fail(call, code, "%s", message);
}
