// The pipes or the terminal between the agent and a process.
#include "../agent.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

static bool open_pipe(int *agent_end, int *child_end, bool child_reads) {
  int pair[2];
  if (pipe2(pair, O_CLOEXEC) < 0) return false;
  *child_end = pair[child_reads ? 0 : 1];
  *agent_end = pair[child_reads ? 1 : 0];
  return fcntl(*agent_end, F_SETFL, O_NONBLOCK) == 0;
}

bool open_pipes(struct ends *ends, bool has_input) {
  if (has_input && !open_pipe(&ends->in, &ends->child_in, true)) return false;
  if (!has_input && (ends->child_in = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0) return false;
  return open_pipe(&ends->out, &ends->child_out, false) && open_pipe(&ends->err, &ends->child_err, false);
}

// Where the kernel does not know the first request, the path leads there too.
static int open_other_side(int terminal) {
  char path[32];
  int number, fd = ioctl(terminal, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (fd >= 0 || ioctl(terminal, TIOCGPTN, &number) < 0) return fd;
  snprintf(path, sizeof path, "/dev/pts/%d", number);
  return open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

bool open_terminal(struct ends *ends, const struct user *user, struct winsize *size) {
  int unlocked = 0;
  ends->out = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (ends->out < 0 || ioctl(ends->out, TIOCSPTLCK, &unlocked) < 0) return false;
  ends->child_in = open_other_side(ends->out);
  if (ends->child_in < 0) return false;
  if (size->ws_col == 0) size->ws_col = 80;
  if (size->ws_row == 0) size->ws_row = 24;
  ioctl(ends->out, TIOCSWINSZ, size);
  if (!options.home) fchown(ends->child_in, user->uid, (gid_t)-1);
  ends->in = fcntl(ends->out, F_DUPFD_CLOEXEC, 0);
  ends->child_out = fcntl(ends->child_in, F_DUPFD_CLOEXEC, 0);
  ends->child_err = fcntl(ends->child_in, F_DUPFD_CLOEXEC, 0);
  return ends->in >= 0 && ends->child_out >= 0 && ends->child_err >= 0;
}

static void close_all(int *fds[], int count) {
  for (int i = 0; i < count; i++) {
    if (*fds[i] >= 0) close(*fds[i]);
    *fds[i] = -1;
  }
}

void close_child_ends(struct ends *ends) {
  close_all((int *[]){&ends->child_in, &ends->child_out, &ends->child_err}, 3);
}

void close_agent_ends(struct ends *ends) { close_all((int *[]){&ends->in, &ends->out, &ends->err}, 3); }
