// agent serve [--socket PATH | --connect vsock:PORT|unix:PATH] [--home DIRECTORY] [--sudo no] [--detach yes]
// agent relay [--socket PATH] | agent version
#include "agent.h"
#include "network/guard.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

struct options options = {.socket_path = DEFAULT_SOCKET};

static bool read_options(int count, char **words) {
  for (int i = 0; i + 1 < count; i += 2) {
    if (strcmp(words[i], "--socket") == 0) options.socket_path = words[i + 1];
    else if (strcmp(words[i], "--home") == 0) options.home = words[i + 1];
    else if (strcmp(words[i], "--connect") == 0 && dial_peer(words[i + 1])) options.peer = words[i + 1];
    else if (strcmp(words[i], "--sudo") == 0) options.denies_privileges = strcmp(words[i + 1], "no") == 0;
    else if (strcmp(words[i], "--detach") == 0) options.detaches = strcmp(words[i + 1], "yes") == 0;
    else return false;
  }
  return count % 2 == 0;
}

int main(int count, char **words) {
  const char *command = count > 1 ? words[1] : "";
  signal(SIGPIPE, SIG_IGN);
  if (read_options(count - 2, words + 2)) {
    if (strcmp(command, "serve") == 0) return serve();
    if (strcmp(command, "relay") == 0) return relay(options.socket_path);
    if (strcmp(command, "version") == 0) return printf("%d\n", VERSION) < 0;
  }
  fprintf(stderr, "usage: agent serve|relay|version [--socket PATH] [--connect vsock:PORT|unix:PATH] "
                  "[--home DIRECTORY] [--sudo no] [--detach yes]\n");
  return 2;
}
