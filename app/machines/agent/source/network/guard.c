// What keeps the machine's own programs, also root's, from the agent and from its rules.
//
// The agent of a container keeps two capabilities that none of its commands gets. So the kernel
// lets no command look into the agent (ptrace(2), "Ptrace access mode checking"): not at its
// memory, and not through /proc/1/fd. The agent's socket has no other name than such a descriptor.
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

// No other descriptor of the agent gets this number.
#define SOCKET_FD 255

static const int kept[] = {CAP_NET_ADMIN, CAP_SETPCAP};
static bool guards;

bool is_guarded(void) { return guards; }

static bool has_kept(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct sets[2];
  uint32_t wanted = 1U << CAP_NET_ADMIN | 1U << CAP_SETPCAP;
  return syscall(SYS_capget, &header, sets) == 0 && (sets[0].effective & wanted) == wanted;
}

int connect_guarded(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/1/fd/%d", SOCKET_FD);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

void guard_socket(const char *path) {
  if (getpid() != 1 || !has_kept()) return;
  int named = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  int fd = named < 0 ? -1 : dup3(named, SOCKET_FD, O_CLOEXEC);
  if (named >= 0) close(named);
  // A runtime that is no Linux may not be able to connect this way: then the name stays.
  int probe = fd < 0 ? -1 : connect_guarded();
  guards = probe >= 0 && unlink(path) == 0;
  if (probe >= 0) close(probe);
  if (!guards && fd >= 0) close(fd);
}

bool drop_kept(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct sets[2];
  if (!guards) return true;
  for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
    if (prctl(PR_CAPBSET_DROP, kept[i], 0, 0, 0) < 0) return false;
  if (syscall(SYS_capget, &header, sets) < 0) return false;
  for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
    sets[0].permitted &= ~(1U << kept[i]);
    sets[0].effective &= ~(1U << kept[i]);
  }
  sets[0].inheritable = sets[1].inheritable = 0;
  return syscall(SYS_capset, &header, sets) == 0;
}
