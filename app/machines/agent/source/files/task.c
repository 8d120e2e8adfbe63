// Work that may take long runs in a child. It reports in packets: a frame's type and its payload.
#include "../agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

// An entry is smaller than what is left of a frame above this.
#define ENOUGH_ENTRIES 16384

struct work {
  struct source source;
  struct call *call;
  pid_t child;
  bool has_ended;
};

static void work_close(struct call *call) {
  struct work *work = call->state;
  source_close(&work->source);
  if (!work->has_ended) kill(work->child, SIGKILL);
  free(work);
}

static void work_resume(struct call *call) {
  struct work *work = call->state;
  source_want(&work->source, call_can_send(call) ? EPOLLIN : 0);
}

static void work_ready(struct source *source, uint32_t events) {
  static uint8_t packet[1 + MOST_PAYLOAD];
  struct work *work = (struct work *)source;
  struct call *call = work->call;
  (void)events;
  if (!call_can_send(call)) return work_resume(call);
  ssize_t size = recv(source->fd, packet, sizeof packet, MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size > 0 && packet[0] == MESSAGE) return call_send(call, MESSAGE, packet + 1, (size_t)size - 1);
  work->has_ended = true;
  if (size > 0 && packet[0] == DONE) call_done(call, packet + 1, (size_t)size - 1);
  else if (size > 1) call_fail(call, packet[1], "%.*s", (int)size - 2, packet + 2);
  else call_fail(call, INTERNAL, "the agent's child was ended before it was done");
}

static const struct call_kind work_kind = {.unit = MOST_PAYLOAD, .resume = work_resume, .close = work_close};

// In the child, descriptor 3 is the socket.
static void report(enum frame type, const void *payload, size_t length) {
  uint8_t first = type;
  struct iovec parts[2] = {{&first, 1}, {(void *)payload, length}};
  if (writev(3, parts, 2) < 0) _exit(1);
}

void task_message(struct buffer *message) {
  if (message->has_failed) task_fail(RESOURCE_EXHAUSTED, "the agent is out of memory");
  if (message->length > 0) report(MESSAGE, message->bytes, message->length);
  message->length = 0;
}

void task_fail(enum code code, const char *message) {
  char payload[PATH_MAX + 256];
  int length = snprintf(payload, sizeof payload, "%c%s", code, message);
  report(ERROR, payload, (size_t)length);
  _exit(0);
}

void task_fail_path(int error, const char *path) {
  char message[PATH_MAX + 128];
  enum code code = describe_error(error, path, message, sizeof message);
  task_fail(code, message);
}

static _Noreturn void run_child(int socket, task *task, void *argument) {
  struct buffer entry = {0};
  become_child();
  dup2(socket, 3);
  // Channels must not stay open because a child has copies of them.
  close_from(4);
  const char *path = task(argument);
  int error = path ? put_entry(&entry, path) : 0;
  if (error) task_fail_path(error, path);
  report(DONE, entry.bytes, entry.length);
  _exit(0);
}

void call_task(struct call *call, task *task, void *argument) {
  int ends[2] = {-1, -1};
  struct work *work = calloc(1, sizeof *work);
  bool is_open = work && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0;
  pid_t child = is_open ? fork() : -1;
  if (child == 0) run_child(ends[1], task, argument);
  int error = errno;
  if (ends[1] >= 0) close(ends[1]);
  if (child > 0) {
    *work = (struct work){.source.ready = work_ready, .call = call, .child = child};
    call->state = work;
    call->kind = &work_kind;
    if (source_open(&work->source, ends[0], EPOLLIN)) return;
    return call_fail(call, RESOURCE_EXHAUSTED, "the agent cannot wait for its child: %s", strerror(errno));
  }
  if (ends[0] >= 0) close(ends[0]);
  free(work);
  call_fail(call, RESOURCE_EXHAUSTED, "the agent cannot start a child: %s", strerror(error));
}

struct tree {
  char path[PATH_MAX], target[PATH_MAX];
  uint32_t depth;
  struct user user;
  struct buffer entries;
};

static int is_no_dots(const struct dirent *entry) {
  return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static void list(struct tree *tree, size_t length, uint32_t depth);

static void list_one(struct tree *tree, size_t length, const char *name, uint32_t depth) {
  struct stat info;
  int added = snprintf(tree->path + length, PATH_MAX - length, "%s%s", length > 1 ? "/" : "", name);
  if (length + (size_t)added >= PATH_MAX) task_fail(INVALID_ARGUMENT, "the tree has a path that is too long");
  int error = put_entry(&tree->entries, tree->path);
  if (error && error != ENOENT) task_fail_path(error, tree->path);
  if (tree->entries.length > ENOUGH_ENTRIES) task_message(&tree->entries);
  if (!error && depth > 1 && lstat(tree->path, &info) == 0 && S_ISDIR(info.st_mode))
    list(tree, length + (size_t)added, depth - 1);
}

// Directories that vanish meanwhile are left out.
static void list(struct tree *tree, size_t length, uint32_t depth) {
  struct dirent **entries;
  tree->path[length] = 0;
  int count = scandir(tree->path, &entries, is_no_dots, alphasort);
  if (count < 0 && errno == ENOENT) return;
  if (count < 0) task_fail_path(errno, tree->path);
  for (int i = 0; i < count; i++) {
    list_one(tree, length, entries[i]->d_name, depth);
    free(entries[i]);
  }
  free(entries);
}

static const char *list_task(void *argument) {
  struct tree *tree = argument;
  list(tree, strlen(tree->path), tree->depth > 0 ? tree->depth : 1);
  task_message(&tree->entries);
  return NULL;
}

void op_read_directory(struct call *call, struct reader *arguments) {
  struct tree tree = {0};
  struct stat info;
  if (!read_user(call, arguments, &tree.user) || !read_path(call, arguments, &tree.user, tree.path)) return;
  tree.depth = read_u32(arguments);
  if (arguments->has_failed) call_fail(call, INVALID_ARGUMENT, "malformed arguments");
  else if (stat(tree.path, &info) < 0) call_fail_path(call, errno, tree.path);
  else if (!S_ISDIR(info.st_mode))
    call_fail(call, INVALID_ARGUMENT, "path is not a directory: %s", tree.path);
  else call_task(call, list_task, &tree);
}

static const char *remove_task(void *argument) {
  int error = remove_tree(argument);
  if (error) task_fail_path(error, argument);
  return NULL;
}

void op_remove(struct call *call, struct reader *arguments) {
  struct user user;
  char path[PATH_MAX];
  if (!read_user(call, arguments, &user) || !read_path(call, arguments, &user, path)) return;
  if (path[1] == 0) call_fail(call, INVALID_ARGUMENT, "the root directory can't be removed");
  else if (unlink(path) == 0 || errno == ENOENT || errno == ENOTDIR || rmdir(path) == 0)
    call_done(call, NULL, 0);
  else call_task(call, remove_task, path);
}

// The kernel renames only within a file system, and no directory of a container's image.
static const char *move_task(void *argument) {
  struct tree *tree = argument;
  char copy[PATH_MAX];
  if (snprintf(copy, sizeof copy, "%s.moving-%d", tree->target, getpid()) >= PATH_MAX)
    task_fail(INVALID_ARGUMENT, "the path is too long");
  int error = copy_tree(tree->path, copy);
  if (!error && rename(copy, tree->target) < 0) error = errno;
  if (error) remove_tree(copy);
  else error = remove_tree(tree->path);
  if (error) task_fail_path(error, tree->path);
  return tree->target;
}

void op_move(struct call *call, struct reader *arguments) {
  struct tree tree = {0};
  struct stat info;
  if (!read_user(call, arguments, &tree.user) || !read_path(call, arguments, &tree.user, tree.path) ||
      !read_path(call, arguments, &tree.user, tree.target))
    return;
  if (lstat(tree.path, &info) < 0) return call_fail_path(call, errno, tree.path);
  int error = make_parents(tree.target, &tree.user);
  if (error) return fail_parents(call, error, tree.target);
  if (rename(tree.path, tree.target) == 0) done_entry(call, tree.target);
  else if (errno == EXDEV) call_task(call, move_task, &tree);
  else if (errno == EINVAL) call_fail(call, INVALID_ARGUMENT, "'%s' can't be moved into itself", tree.path);
  else call_fail_path(call, errno, tree.target);
}

// Containers share their host's other file systems, which are not the machine's to wait for.
static const char *sync_task(void *argument) {
  (void)argument;
  int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root < 0 || syncfs(root) < 0) task_fail_path(errno, "/");
  return NULL;
}

void op_sync(struct call *call, struct reader *arguments) {
  (void)arguments;
  call_task(call, sync_task, NULL);
}
