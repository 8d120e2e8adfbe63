// Operations on single files.
#include "../agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PREFIX "user.e2b."

void op_stat(struct call *call, struct reader *arguments) {
  struct user user;
  char path[PATH_MAX];
  if (read_user(call, arguments, &user) && read_path(call, arguments, &user, path)) done_entry(call, path);
}

void fail_parents(struct call *call, int error, const char *path) {
  if (error != ENOTDIR) return call_fail_path(call, error, path);
  call_fail(call, INVALID_ARGUMENT, "path '%s' is, or leads through, something that is not a directory",
            path);
}

void op_make_directory(struct call *call, struct reader *arguments) {
  struct user user;
  struct stat info;
  char path[PATH_MAX];
  if (!read_user(call, arguments, &user) || !read_path(call, arguments, &user, path)) return;
  if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
    return call_fail(call, ALREADY_EXISTS, "directory '%s' already exists", path);
  int error = make_directories(path, &user);
  if (error) fail_parents(call, error, path);
  else done_entry(call, path);
}

void op_disk(struct call *call, struct reader *arguments) {
  struct statvfs disk;
  (void)arguments;
  if (statvfs("/", &disk) < 0) return call_fail_path(call, errno, "/");
  struct buffer result = {0};
  put_u64(&result, (uint64_t)(disk.f_blocks - disk.f_bfree) * disk.f_frsize);
  put_u64(&result, (uint64_t)disk.f_blocks * disk.f_frsize);
  call_done_buffer(call, &result);
}

// A file that READ or WRITE has open.
struct transfer {
  int fd;
  uint64_t left;
  char path[];
};

static void transfer_close(struct call *call) {
  struct transfer *transfer = call->state;
  if (!transfer) return;
  close(transfer->fd);
  free(transfer);
}

static bool transfer_open(struct call *call, const struct call_kind *kind, int fd, const char *path) {
  struct transfer *transfer = malloc(sizeof *transfer + strlen(path) + 1);
  if (!transfer) {
    close(fd);
    call_fail(call, RESOURCE_EXHAUSTED, "the agent is out of memory");
    return false;
  }
  transfer->fd = fd;
  strcpy(transfer->path, path);
  call->state = transfer;
  call->kind = kind;
  return true;
}

// Opening a pipe may block and opening a device may act, so what is there is looked at first.
static int open_regular(struct call *call, const char *path, int flags) {
  struct stat info;
  if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) {
    call_fail(call, INVALID_ARGUMENT,
              S_ISDIR(info.st_mode) ? "path '%s' is a directory" : "path '%s' is not a regular file", path);
    return -1;
  }
  int fd = open(path, flags | O_NONBLOCK | O_CLOEXEC, 0666);
  if (fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode)) return fd;
  int error = fd < 0 ? errno : EINVAL;
  if (fd >= 0) close(fd);
  call_fail_path(call, error, path);
  return -1;
}

static void read_step(struct call *call) {
  static uint8_t bytes[MOST_PAYLOAD];
  struct transfer *transfer = call->state;
  size_t most = call->credit < sizeof bytes ? call->credit : sizeof bytes;
  if (most > transfer->left) most = (size_t)transfer->left;
  ssize_t got = most > 0 ? read(transfer->fd, bytes, most) : 0;
  if (got < 0 && errno == EINTR) return;
  if (got < 0 && errno != EAGAIN) return call_fail_path(call, errno, transfer->path);
  if (got <= 0) return call_done(call, NULL, 0);
  transfer->left -= (uint64_t)got;
  call_send(call, DATA, bytes, (size_t)got);
}

void op_read(struct call *call, struct reader *arguments) {
  static const struct call_kind kind = {.step = read_step, .close = transfer_close};
  struct user user;
  struct buffer entry = {0};
  char path[PATH_MAX];
  if (!read_user(call, arguments, &user) || !read_path(call, arguments, &user, path)) return;
  uint64_t offset = read_u64(arguments), most = read_u64(arguments);
  if (arguments->has_failed || offset > INT64_MAX)
    return call_fail(call, INVALID_ARGUMENT, "malformed arguments");
  int fd = open_regular(call, path, O_RDONLY);
  if (fd < 0 || !transfer_open(call, &kind, fd, path)) return;
  ((struct transfer *)call->state)->left = most;
  int error = lseek(fd, (off_t)offset, SEEK_SET) < 0 ? errno : put_entry(&entry, path);
  if (error == 0) {
    call_message(call, &entry);
    call_set_busy(call, true);
  }
  buffer_free(&entry);
  if (error) call_fail_path(call, error, path);
}

static void write_data(struct call *call, const uint8_t *bytes, size_t length) {
  struct transfer *transfer = call->state;
  for (size_t done = 0; done < length;) {
    ssize_t written = write(transfer->fd, bytes + done, length - done);
    if (written < 0 && errno != EINTR) return call_fail_path(call, errno, transfer->path);
    if (written > 0) done += (size_t)written;
  }
  call_consumed(call, length);
}

static void write_end(struct call *call) {
  char path[PATH_MAX];
  strcpy(path, ((struct transfer *)call->state)->path);
  done_entry(call, path);
}

static int remove_metadata(int fd) {
  static char names[65536];
  ssize_t size = flistxattr(fd, names, sizeof names);
  for (char *name = names; size > 0 && name < names + size; name += strlen(name) + 1)
    if (strncmp(name, PREFIX, sizeof PREFIX - 1) == 0 && fremovexattr(fd, name) < 0) return errno;
  return 0;
}

static int set_metadata(int fd, char **metadata) {
  int error = remove_metadata(fd);
  for (; error == 0 && *metadata; metadata += 2) {
    char name[256];
    if ((size_t)snprintf(name, sizeof name, PREFIX "%s", metadata[0]) >= sizeof name) return ERANGE;
    if (fsetxattr(fd, name, metadata[1], strlen(metadata[1]), 0) < 0) error = errno;
  }
  return error;
}

static void open_for_writing(struct call *call, const struct user *user, const char *path, char **metadata) {
  static const struct call_kind kind = {.data = write_data, .end = write_end, .close = transfer_close};
  int error = make_parents(path, user);
  if (error) return fail_parents(call, error, path);
  int fd = open_regular(call, path, O_WRONLY | O_CREAT);
  if (fd < 0 || !transfer_open(call, &kind, fd, path)) return;
  struct stat info;
  // To empty what is empty would be a change that watches report.
  bool is_empty = fstat(fd, &info) == 0 && info.st_size == 0;
  if ((!is_empty && ftruncate(fd, 0) < 0) || fchown(fd, user->uid, user->gid) < 0)
    return call_fail_path(call, errno, path);
  error = set_metadata(fd, metadata);
  if (error == ENOTSUP)
    call_fail(call, FAILED_PRECONDITION,
              "the file system of '%s' can't keep metadata: it has no extended attributes", path);
  else if (error == E2BIG || error == ENOSPC)
    call_fail(call, RESOURCE_EXHAUSTED, "the metadata does not fit in the extended attributes of '%s'", path);
  else if (error) call_fail_path(call, error, path);
}

void op_write(struct call *call, struct reader *arguments) {
  struct user user;
  char path[PATH_MAX];
  if (!read_user(call, arguments, &user) || !read_path(call, arguments, &user, path)) return;
  char **metadata = read_strings(arguments, 2);
  if (arguments->has_failed) call_fail(call, INVALID_ARGUMENT, "malformed arguments");
  else if (!metadata) call_fail(call, RESOURCE_EXHAUSTED, "the agent is out of memory");
  else open_for_writing(call, &user, path, metadata);
  free(metadata);
}
