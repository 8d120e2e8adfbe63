// START: a new process in its own session, as a user of the machine.
#include "../agent.h"
#include "../network/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define MOST_GROUPS 64
#define MOST_TAG 1024
#define MOST_FILES 4096

enum { HAS_INPUT = 1, HAS_TERMINAL = 2, IS_ALONE = 4 };

struct launch {
  struct user user;
  char cwd[PATH_MAX];
  bool has_cwd;
  char **arguments, **call_environment, **environment;
  uint8_t flags;
  struct winsize size;
  uint32_t timeout;
  const char *tag;
  struct ends ends;
  int groups_count;
  gid_t groups[MOST_GROUPS];
};

// What the child says when it can't run the program.
struct failure {
  bool is_cwd;
  int error;
};

static struct rlimit first_limit;

void raise_limits(void) {
  getrlimit(RLIMIT_NOFILE, &first_limit);
  struct rlimit limit = first_limit;
  limit.rlim_cur = limit.rlim_max < MOST_FILES ? limit.rlim_max : MOST_FILES;
  if (limit.rlim_cur > first_limit.rlim_cur) setrlimit(RLIMIT_NOFILE, &limit);
}

void close_from(int first) {
  if (syscall(SYS_close_range, first, ~0U, 0) == 0) return;
  for (int fd = first; fd < MOST_FILES; fd++) close(fd);
}

static bool read_launch(struct call *call, struct reader *arguments, struct launch *launch) {
  if (!read_user(call, arguments, &launch->user)) return false;
  struct reader cwd = *arguments;
  launch->has_cwd = read_u32(&cwd) > 0;
  if (!read_path(call, arguments, &launch->user, launch->cwd)) return false;
  launch->arguments = read_strings(arguments, 1);
  launch->call_environment = read_strings(arguments, 1);
  launch->flags = read_u8(arguments);
  launch->size.ws_col = read_u16(arguments);
  launch->size.ws_row = read_u16(arguments);
  launch->timeout = read_u32(arguments);
  launch->tag = read_string(arguments);
  if (arguments->has_failed) call_fail(call, INVALID_ARGUMENT, "malformed arguments");
  else if (!launch->arguments || !launch->call_environment)
    call_fail(call, RESOURCE_EXHAUSTED, "the agent is out of memory");
  else if (!launch->arguments[0]) call_fail(call, INVALID_ARGUMENT, "there is no program to run");
  else if (strlen(launch->tag) >= MOST_TAG)
    call_fail(call, INVALID_ARGUMENT, "the tag is longer than %d bytes", MOST_TAG - 1);
  else return true;
  return false;
}

static bool check_cwd(struct call *call, struct launch *launch) {
  struct stat info;
  if (stat(launch->cwd, &info) == 0 && S_ISDIR(info.st_mode)) return true;
  // Small images have no home for root.
  if (!launch->has_cwd) return strcpy(launch->cwd, "/");
  call_fail(call, INVALID_ARGUMENT, "cwd '%s' does not exist", launch->cwd);
  return false;
}

static void set_variable(char **environment, size_t *count, char *variable) {
  size_t name = strcspn(variable, "=") + 1;
  for (size_t i = 0; i < *count; i++) {
    if (strncmp(environment[i], variable, name) != 0) continue;
    environment[i] = variable;
    return;
  }
  environment[(*count)++] = variable;
}

static bool make_environment(struct launch *launch) {
  static char home[sizeof launch->user.home + 8], user[80], logname[80];
  char *own[] = {home, user, logname, NULL};
  char **lists[] = {environ, own, launch->call_environment};
  size_t count = 0, most = 5;
  for (int i = 0; i < 3; i++)
    for (char **each = lists[i]; *each; each++) most++;
  snprintf(home, sizeof home, "HOME=%s", launch->user.home);
  snprintf(user, sizeof user, "USER=%s", launch->user.name);
  snprintf(logname, sizeof logname, "LOGNAME=%s", launch->user.name);
  launch->environment = calloc(most, sizeof(char *));
  if (!launch->environment) return false;
  set_variable(launch->environment, &count, DEFAULT_PATH);
  for (int i = 0; i < 3; i++)
    for (char **each = lists[i]; *each; each++)
      if (strchr(*each, '=')) set_variable(launch->environment, &count, *each);
  return true;
}

static bool become(struct launch *launch) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct sets[2] = {0};
  if (options.home) return true;
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  if (syscall(SYS_capget, &header, sets) == 0) {
    sets[0].inheritable = sets[1].inheritable = 0;
    syscall(SYS_capset, &header, sets);
  }
  return drop_kept() && setgroups((size_t)launch->groups_count, launch->groups) == 0 && setgid(launch->user.gid) == 0 &&
         setuid(launch->user.uid) == 0;
}

void become_child(void) {
  sigset_t none;
  for (int each = 1; each <= 64; each++) signal(each, SIG_DFL);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  // Under memory pressure the kernel shall end children, and not the agent.
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd >= 0 && write(fd, "100", 3) < 0) errno = 0;
  if (fd >= 0) close(fd);
  // For tests: what a killed agent leaves would run on outside.
  if (options.home) prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static _Noreturn void run_child(struct launch *launch, int status) {
  become_child();
  setsid();
  if (launch->flags & HAS_TERMINAL) ioctl(launch->ends.child_in, TIOCSCTTY, 0);
  dup2(launch->ends.child_in, 0);
  dup2(launch->ends.child_out, 1);
  dup2(launch->ends.child_err, 2);
  setrlimit(RLIMIT_NOFILE, &first_limit);
  struct failure failure = {.is_cwd = false};
  if (become(launch)) {
    failure.is_cwd = chdir(launch->cwd) < 0;
    environ = launch->environment;
    if (!failure.is_cwd) execvp(launch->arguments[0], launch->arguments);
  }
  failure.error = errno;
  if (write(status, &failure, sizeof failure) < 0) _exit(126);
  _exit(127);
}

// Forks, and waits until the child runs the program or says why it can't. Returns 0 or errno.
static int run(struct launch *launch, pid_t *pid, struct failure *failure) {
  int status[2];
  if (pipe2(status, O_CLOEXEC) < 0) return errno;
  *pid = fork();
  if (*pid == 0) run_child(launch, status[1]);
  int error = errno;
  close(status[1]);
  ssize_t got = -1;
  while (*pid > 0 && (got = read(status[0], failure, sizeof *failure)) < 0 && errno == EINTR) continue;
  close(status[0]);
  if (*pid < 0) return error;
  if (got <= 0) return 0;
  while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR) continue;
  return failure->error;
}

static void fail_start(struct call *call, struct launch *launch, int error, const struct failure *failure) {
  if (failure->is_cwd) call_fail(call, INVALID_ARGUMENT, "cwd '%s': %s", launch->cwd, strerror(error));
  else if (failure->error)
    call_fail(call, INVALID_ARGUMENT, "cannot run '%.1000s': %s", launch->arguments[0], strerror(error));
  else if (error == EAGAIN)
    call_fail(call, RESOURCE_EXHAUSTED, "the machine has reached its limit of processes");
  else call_fail(call, RESOURCE_EXHAUSTED, "cannot start a process: %s", strerror(error));
}

// Adds as many strings as fit before a limit, and their count.
static void put_strings(struct buffer *buffer, char **strings, size_t limit) {
  uint32_t count = 0;
  size_t count_place = buffer->length;
  put_u32(buffer, 0);
  for (; strings[count] && buffer->length + strlen(strings[count]) + 4 <= limit; count++)
    put_string(buffer, strings[count]);
  if (!buffer->has_failed) memcpy(buffer->bytes + count_place, &count, sizeof count);
}

static void describe(struct process *process, const struct launch *launch) {
  put_u32(&process->description, (uint32_t)process->pid);
  put_string(&process->description, launch->tag);
  put_string(&process->description, launch->cwd);
  put_strings(&process->description, launch->arguments, MOST_PAYLOAD - 4);
  put_strings(&process->description, launch->call_environment, MOST_PAYLOAD);
  if (process->description.has_failed) buffer_free(&process->description);
}

static void start(struct call *call, struct launch *launch) {
  struct process *process = calloc(1, sizeof *process);
  char *tag = launch->tag[0] ? strdup(launch->tag) : NULL;
  struct failure failure = {0};
  bool is_open =
      process && (launch->flags & HAS_TERMINAL ? open_terminal(&launch->ends, &launch->user, &launch->size)
                                               : open_pipes(&launch->ends, launch->flags & HAS_INPUT));
  int error = !process ? ENOMEM : is_open ? run(launch, &process->pid, &failure) : errno;
  close_child_ends(&launch->ends);
  if (error) {
    free(process);
    free(tag);
    return fail_start(call, launch, error, &failure);
  }
  process->tag = tag;
  process->has_terminal = launch->flags & HAS_TERMINAL;
  process->deadline = launch->timeout ? monotonic_milliseconds() + launch->timeout : 0;
  describe(process, launch);
  process_add(process, launch->ends.in, launch->ends.out, launch->ends.err);
  launch->ends.in = launch->ends.out = launch->ends.err = -1;
  if (launch->flags & IS_ALONE) process_announce(process, call);
  else process_listen(process, call);
}

void op_start(struct call *call, struct reader *arguments) {
  struct launch launch = {.ends = {-1, -1, -1, -1, -1, -1}};
  if (process_count() >= MOST_PROCESSES)
    return call_fail(call, RESOURCE_EXHAUSTED, "more than %d commands are running", MOST_PROCESSES);
  if (read_launch(call, arguments, &launch) && check_cwd(call, &launch)) {
    launch.groups_count = groups_of(&launch.user, launch.groups, MOST_GROUPS);
    if (make_environment(&launch)) start(call, &launch);
    else call_fail(call, RESOURCE_EXHAUSTED, "the agent is out of memory");
  }
  close_child_ends(&launch.ends);
  close_agent_ends(&launch.ends);
  free(launch.arguments);
  free(launch.call_environment);
  free(launch.environment);
}
