// The event loop: one thread, which never blocks on a peer.
#include "agent.h"
#include "network/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int poller = -1;

int64_t monotonic_milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

bool source_open(struct source *source, int fd, uint32_t events) {
  source->fd = fd;
  source->events = events;
  struct epoll_event event = {.events = events, .data.ptr = source};
  return events == 0 || epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) == 0;
}

// Without events the source leaves the poller, which else reports hang-ups over and over.
void source_want(struct source *source, uint32_t events) {
  if (source->fd < 0 || source->events == events) return;
  struct epoll_event event = {.events = events, .data.ptr = source};
  int action = events == 0 ? EPOLL_CTL_DEL : source->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (epoll_ctl(poller, action, source->fd, &event) == 0) source->events = events;
}

// A child that is about to run a program may hold a copy of the descriptor, and that would keep it
// in the poller: so it is taken out before it is closed.
void source_close(struct source *source) {
  if (source->fd < 0) return;
  source_want(source, 0);
  close(source->fd);
  source->fd = -1;
}

static void listener_ready(struct source *source, uint32_t events) {
  (void)events;
  channel_accept(source->fd);
}

static void reap(void) {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) process_reap(pid, status);
}

static void signal_ready(struct source *source, uint32_t events) {
  (void)events;
  struct signalfd_siginfo info;
  while (read(source->fd, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGCHLD) continue;
    processes_kill_all();
    if (!options.peer) unlink(options.socket_path);
    exit(0);
  }
  reap();
}

static int open_signals(void) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGCHLD);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  return signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
}

static int open_listener(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char directory[sizeof address.sun_path];
  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address.sun_path, path);
  strcpy(directory, path);
  char *slash = strrchr(directory, '/');
  if (slash && slash != directory) {
    *slash = 0;
    struct user nobody = {.uid = (uid_t)-1, .gid = (gid_t)-1};
    make_parents(directory, &nobody);
    if (mkdir(directory, 0700) < 0 && !options.home) chmod(directory, 0700);
  }
  unlink(path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  mode_t mask = umask(0177);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 16) < 0) fd = -1;
  umask(mask);
  return fd;
}

// Descriptors 0 to 2 must be taken: a child moves pipes there.
static void open_standard_descriptors(void) {
  int fd;
  while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= 2) continue;
  if (fd > 2) close(fd);
}

static int fail(const char *what) {
  fprintf(stderr, "agent: %s: %s\n", what, strerror(errno));
  return 1;
}

static int sooner(int one, int other) {
  return one < 0 ? other : other < 0 ? one : one < other ? one : other;
}

static void run(void) {
  for (;;) {
    // One event at a time: what an event has closed can't be among the events still to come.
    struct epoll_event event;
    if (epoll_wait(poller, &event, 1, sooner(process_tick(), dial_tick())) == 1) {
      struct source *source = event.data.ptr;
      source->ready(source, event.events);
    }
    channels_sweep();
  }
}

// What the program that starts the agent in a microVM has for itself is none of the commands'.
static void clean_environment(void) {
  static const char *const names[] = {"KRUN_BOOT_START_NS", "PWD", "OLDPWD", "SHLVL", "TERM"};
  static const char scripts[] = "/.msb/scripts:";
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) unsetenv(names[i]);
  const char *path = getenv("PATH");
  if (path && strncmp(path, scripts, sizeof scripts - 1) == 0) setenv("PATH", path + sizeof scripts - 1, 1);
}

// Ends the caller and goes on in a process of its own session, unless an agent for this peer did so
// before. The name is an abstract one: the kernel frees it with the process.
static bool detach(void) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "sandpit-agent %s", options.peer ? options.peer : "");
  int lock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(lock, (struct sockaddr *)&name, sizeof name) < 0) exit(errno == EADDRINUSE ? 0 : 1);
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd < 3; fd++) dup2(null, fd);
  for (int each = 0; each < 2; each++) {
    pid_t child = fork();
    if (child < 0) return false;
    if (child > 0) _exit(0);
    setsid();
  }
  clean_environment();
  return chdir("/") == 0;
}

int serve(void) {
  struct source listener = {.ready = listener_ready}, signals = {.ready = signal_ready};
  open_standard_descriptors();
  close_from(3);
  if (options.detaches && !detach()) return fail("detaching");
  umask(022);
  raise_limits();
  poller = epoll_create1(EPOLL_CLOEXEC);
  int signal_fd = open_signals();
  if (poller < 0 || signal_fd < 0 || !source_open(&signals, signal_fd, EPOLLIN)) return fail("events");
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  if (options.denies_privileges) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (!options.home) ensure_user();
  if (!options.peer) {
    int fd = open_listener(options.socket_path);
    if (fd < 0 || !source_open(&listener, fd, EPOLLIN)) return fail(options.socket_path);
    if (!options.home) guard_socket(options.socket_path);
    remember_name_servers();
  }
  run();
  return 0;
}
