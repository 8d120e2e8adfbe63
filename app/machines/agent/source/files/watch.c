// WATCH: changes below a directory, through inotify.
#include "../agent.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_DIRECTORIES 65536
// The names that a step or a read event can report fit into one unit of credit.
#define ENTRIES_PER_STEP 7
// What a watch may do before a request is handled.
#define STEPS_PER_REQUEST 64
#define MASK                                                                                      \
  (IN_CREATE | IN_MODIFY | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | \
   IN_MOVE_SELF)

enum change { CREATED = 1, WRITTEN, REMOVED, RENAMED, CHMODDED };

struct directory {
  int number;  // inotify's; they count up, so the list stays sorted
  char *name;  // relative to the root, which is ""
};

// A directory that is still to be watched.
struct pending {
  struct pending *next;
  bool reports;  // also what is in it already
  char name[];
};

struct watch {
  struct source source;
  struct watch *next;
  struct call *call;
  bool is_recursive, has_started;
  struct directory *directories;
  size_t count, capacity;
  struct pending *first, *last;
  DIR *open;       // what the step is reading: the directory of `first`
  uint32_t moved;  // inotify's number of the last move out of a watched directory
  char root[PATH_MAX];
};

static struct watch *watches;
static unsigned watch_count;
static size_t directory_count;  // of all watches, pending ones too

static void send_change(struct watch *watch, enum change change, const char *name) {
  struct buffer message = {0};
  put_u8(&message, change);
  put_string(&message, name);
  call_message(watch->call, &message);
  buffer_free(&message);
}

static void drop_pending(struct watch *watch) {
  struct pending *pending = watch->first;
  if (watch->open) closedir(watch->open);
  watch->open = NULL;
  watch->first = pending->next;
  directory_count--;
  free(pending);
}

static bool add_pending(struct watch *watch, const char *name, bool reports) {
  struct pending *pending =
      directory_count < MOST_DIRECTORIES ? malloc(sizeof *pending + strlen(name) + 1) : NULL;
  if (!pending) return false;
  pending->next = NULL;
  pending->reports = reports;
  strcpy(pending->name, name);
  if (watch->first) watch->last->next = pending;
  else watch->first = pending;
  watch->last = pending;
  directory_count++;
  return true;
}

// Returns the place of the directory with this number, or where it belongs.
static size_t place_of(const struct watch *watch, int number) {
  size_t low = 0, high = watch->count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (watch->directories[middle].number < number) low = middle + 1;
    else high = middle;
  }
  return low;
}

static struct directory *find_directory(const struct watch *watch, int number) {
  size_t place = place_of(watch, number);
  bool is_found = place < watch->count && watch->directories[place].number == number;
  return is_found ? &watch->directories[place] : NULL;
}

static bool add_directory(struct watch *watch, int number, const char *name) {
  char *copy = strdup(name);
  struct directory *known = find_directory(watch, number);
  if (copy && known) {
    free(known->name);
    known->name = copy;
    return true;
  }
  if (watch->count == watch->capacity) {
    size_t capacity = watch->capacity ? watch->capacity * 2 : 16;
    struct directory *more = realloc(watch->directories, capacity * sizeof *more);
    if (more) watch->directories = more, watch->capacity = capacity;
  }
  if (!copy || watch->count == watch->capacity) return free(copy), false;
  size_t place = place_of(watch, number);
  memmove(watch->directories + place + 1, watch->directories + place, (watch->count - place) * sizeof *known);
  watch->directories[place] = (struct directory){number, copy};
  watch->count++;
  directory_count++;
  return true;
}

static void drop_directory(struct watch *watch, struct directory *directory) {
  free(directory->name);
  size_t place = (size_t)(directory - watch->directories);
  memmove(directory, directory + 1, (watch->count - place - 1) * sizeof *directory);
  watch->count--;
  directory_count--;
}

static void watch_close(struct call *call) {
  struct watch *watch = call->state;
  struct watch **place = &watches;
  while (*place != watch) place = &(*place)->next;
  *place = watch->next;
  while (watch->first) drop_pending(watch);
  for (size_t i = 0; i < watch->count; i++) free(watch->directories[i].name);
  directory_count -= watch->count;
  free(watch->directories);
  source_close(&watch->source);
  free(watch);
  watch_count--;
}

static bool join(char out[PATH_MAX], const char *directory, const char *name) {
  return snprintf(out, PATH_MAX, "%s%s%s", directory, directory[0] && name[0] ? "/" : "", name) < PATH_MAX;
}

static bool fail_full(struct watch *watch) {
  call_fail(watch->call, RESOURCE_EXHAUSTED, "there are more directories below '%s' than can be watched",
            watch->root);
  return false;
}

// Starts with the next pending directory. Returns false if the call has ended.
static bool open_pending(struct watch *watch) {
  char path[PATH_MAX];
  bool is_root = watch->first->name[0] == 0;
  if (!join(path, watch->root, watch->first->name)) return drop_pending(watch), true;
  int number = inotify_add_watch(watch->source.fd, path, MASK | IN_ONLYDIR | (is_root ? 0 : IN_DONT_FOLLOW));
  if (number < 0 && is_root) return call_fail_path(watch->call, errno, watch->root), false;
  if (number < 0 && (errno == ENOSPC || errno == ENOMEM)) return fail_full(watch);
  // Others have vanished in the meantime.
  if (number < 0) return drop_pending(watch), true;
  if (!add_directory(watch, number, watch->first->name)) return fail_full(watch);
  if (watch->is_recursive || watch->first->reports) watch->open = opendir(path);
  if (!watch->open) drop_pending(watch);
  return true;
}

// What was made before the watch is reported as if it had been made after it.
static bool handle_found(struct watch *watch, const char *entry) {
  char name[PATH_MAX], path[PATH_MAX];
  struct stat info;
  if (!join(name, watch->first->name, entry) || !join(path, watch->root, name) || lstat(path, &info) < 0)
    return true;
  if (watch->first->reports) send_change(watch, CREATED, name);
  if (watch->first->reports && S_ISREG(info.st_mode) && info.st_size > 0) send_change(watch, WRITTEN, name);
  return !S_ISDIR(info.st_mode) || add_pending(watch, name, watch->first->reports) || fail_full(watch);
}

static bool read_pending(struct watch *watch) {
  struct dirent *entry = NULL;
  for (int i = 0; i < ENTRIES_PER_STEP && (entry = readdir(watch->open)); i++)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
        !handle_found(watch, entry->d_name))
      return false;
  if (!entry) drop_pending(watch);
  return true;
}

// Goes on with new directories. Returns false if the call has ended.
static bool step(struct watch *watch) {
  if (watch->first && !(watch->open ? read_pending(watch) : open_pending(watch))) return false;
  if (watch->first) return true;
  if (!watch->has_started) call_send(watch->call, MESSAGE, NULL, 0);
  watch->has_started = true;
  call_set_busy(watch->call, false);
  source_want(&watch->source, EPOLLIN);
  return true;
}

static void watch_step(struct call *call) {
  step(call->state);
}

// Stops watching a directory that was moved away, and those below it.
static void drop_below(struct watch *watch, const char *name) {
  size_t length = strlen(name);
  for (size_t i = watch->count; i-- > 0;) {
    const char *each = watch->directories[i].name;
    if (strncmp(each, name, length) != 0 || (each[length] != 0 && each[length] != '/')) continue;
    inotify_rm_watch(watch->source.fd, watch->directories[i].number);
    drop_directory(watch, &watch->directories[i]);
  }
}

static bool handle_directory(struct watch *watch, const struct inotify_event *event, const char *name) {
  if (event->mask & IN_MOVED_FROM) {
    watch->moved = event->cookie;
    drop_below(watch, name);
  }
  if (!(event->mask & (IN_CREATE | IN_MOVED_TO))) return true;
  bool has_moved_inside = event->cookie != 0 && event->cookie == watch->moved;
  if (!add_pending(watch, name, !has_moved_inside)) return fail_full(watch);
  call_set_busy(watch->call, true);
  return true;
}

// Returns false if the call has ended.
static bool handle_event(struct watch *watch, const struct inotify_event *event) {
  static const struct {
    uint32_t mask;
    enum change change;
  } kinds[] = {{IN_CREATE | IN_MOVED_TO, CREATED},
               {IN_MOVED_FROM | IN_MOVE_SELF, RENAMED},
               {IN_ATTRIB, CHMODDED},
               {IN_MODIFY, WRITTEN},
               {IN_DELETE | IN_DELETE_SELF, REMOVED}};
  if (event->mask & IN_Q_OVERFLOW)
    return call_fail(watch->call, RESOURCE_EXHAUSTED,
                     "there were more changes than could be told: watch again"),
           false;
  struct directory *directory = find_directory(watch, event->wd);
  char name[PATH_MAX];
  if (!directory) return true;
  if (event->mask & IN_IGNORED) return drop_directory(watch, directory), true;
  bool is_self = event->len == 0;
  // What happens to a directory below the root itself is reported by the one above it.
  if ((is_self && directory->name[0]) || !join(name, directory->name, is_self ? "." : event->name))
    return true;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (event->mask & kinds[i].mask) send_change(watch, kinds[i].change, name);
  bool is_directory = event->mask & IN_ISDIR && !is_self && watch->is_recursive;
  return !is_directory || handle_directory(watch, event, name);
}

static void watch_resume(struct call *call) {
  struct watch *watch = call->state;
  bool can_read = watch->has_started && !watch->first && call_can_send(call);
  source_want(&watch->source, can_read ? EPOLLIN : 0);
}

// Reports a few changes. Returns false if there were none, or the call has ended.
static bool read_changes(struct watch *watch) {
  // The smallest buffer that holds any event: few events at a time are reported within the credit.
  _Alignas(struct inotify_event) char bytes[sizeof(struct inotify_event) + NAME_MAX + 1];
  ssize_t size = read(watch->source.fd, bytes, sizeof bytes);
  for (ssize_t place = 0; place < size;) {
    const struct inotify_event *event = (const struct inotify_event *)(bytes + place);
    if (!handle_event(watch, event)) return false;
    place += (ssize_t)(sizeof *event + event->len);
  }
  watch_resume(watch->call);
  return size > 0;
}

static void watch_ready(struct source *source, uint32_t events) {
  struct watch *watch = (struct watch *)source;
  (void)events;
  if (call_can_send(watch->call)) read_changes(watch);
  else watch_resume(watch->call);
}

void watches_report(void) {
  for (struct watch *watch = watches, *next; watch; watch = next) {
    next = watch->next;
    if (!watch->has_started) continue;
    for (int i = 0; i < STEPS_PER_REQUEST && call_can_send(watch->call); i++)
      if (watch->first ? !step(watch) : !read_changes(watch)) break;
  }
}

static void open_watch(struct call *call, const char *path, bool is_recursive) {
  static const struct call_kind kind = {
      .unit = MOST_PAYLOAD, .step = watch_step, .resume = watch_resume, .close = watch_close};
  struct watch *watch = calloc(1, sizeof *watch);
  int fd = watch ? inotify_init1(IN_NONBLOCK | IN_CLOEXEC) : -1;
  if (fd < 0) {
    free(watch);
    return call_fail(call, RESOURCE_EXHAUSTED, "no more watches: %s (see the host's fs.inotify limits)",
                     strerror(errno));
  }
  *watch = (struct watch){
      .source.ready = watch_ready, .next = watches, .call = call, .is_recursive = is_recursive};
  watches = watch;
  strcpy(watch->root, path);
  source_open(&watch->source, fd, 0);
  watch_count++;
  call->state = watch;
  call->kind = &kind;
  if (add_pending(watch, "", false)) call_set_busy(call, true);
  else call_fail(call, RESOURCE_EXHAUSTED, "the agent is out of memory");
}

void op_watch(struct call *call, struct reader *arguments) {
  struct user user;
  struct stat info;
  char path[PATH_MAX];
  if (!read_user(call, arguments, &user) || !read_path(call, arguments, &user, path)) return;
  bool is_recursive = read_u8(arguments);
  if (arguments->has_failed) call_fail(call, INVALID_ARGUMENT, "malformed arguments");
  else if (stat(path, &info) < 0) call_fail_path(call, errno, path);
  else if (!S_ISDIR(info.st_mode)) call_fail(call, INVALID_ARGUMENT, "path is not a directory: %s", path);
  else if (watch_count >= MOST_WATCHES)
    call_fail(call, RESOURCE_EXHAUSTED, "more than %d watches are open", MOST_WATCHES);
  else open_watch(call, path, is_recursive);
}
