// Signals to processes, and the end of all of them.
#include "../agent.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

// Kills what is left of the session, e.g. jobs of a shell, which have groups of their own.
static bool kill_session(pid_t session) {
  bool found = false;
  DIR *processes = opendir("/proc");
  struct dirent *each;
  while (processes && (each = readdir(processes))) {
    pid_t pid = atoi(each->d_name);
    if (pid > 1 && getsid(pid) == session) found |= kill(pid, SIGKILL) == 0;
  }
  if (processes) closedir(processes);
  return found;
}

int process_signal(struct process *process, int signal) {
  process->was_signalled = true;
  int error = kill(-process->pid, signal) < 0 && errno != ESRCH ? errno : 0;
  // What forks while the list is read is in the next one.
  for (int round = 0; signal == SIGKILL && round < 3 && kill_session(process->pid); round++) continue;
  if (process->has_ended) process_update(process);
  return error;
}

// Orphans become children of the agent, so this ends when no child is left.
void processes_kill_all(void) {
  int64_t limit = monotonic_milliseconds() + 5000;
  for (const struct process *process = processes_running(); process; process = process->next)
    kill(-process->pid, SIGKILL);
  if (getpid() == 1) kill(-1, SIGKILL);
  while (monotonic_milliseconds() < limit) {
    DIR *processes = opendir("/proc");
    struct dirent *each;
    while (processes && (each = readdir(processes))) {
      char path[300], text[512], *after_name;
      snprintf(path, sizeof path, "/proc/%s/stat", each->d_name);
      FILE *file = atoi(each->d_name) > 0 ? fopen(path, "re") : NULL;
      size_t length = file ? fread(text, 1, sizeof text - 1, file) : 0;
      if (file) fclose(file);
      text[length] = 0;
      if ((after_name = strrchr(text, ')')) && atoi(after_name + 4) == getpid())
        kill(atoi(each->d_name), SIGKILL);
    }
    if (processes) closedir(processes);
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
    if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD) return;
    usleep(1000);
  }
}

void op_signal(struct call *call, struct reader *arguments) {
  struct process *process = process_find(call, arguments);
  if (!process) return;
  uint8_t signal = read_u8(arguments);
  if (arguments->has_failed || signal == 0 || signal > 64)
    return call_fail(call, INVALID_ARGUMENT, "there is no signal %d", signal);
  int error = process_signal(process, signal);
  if (error) call_fail(call, INTERNAL, "cannot send signal %d: %s", signal, strerror(error));
  else call_done(call, NULL, 0);
}
