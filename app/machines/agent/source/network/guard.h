// What keeps the machine's own programs from the agent, and what it notes before it runs any.
#pragma once
#include "../agent.h"

#define DEFAULT_SOCKET "/run/sandpit/agent.sock"

// Takes the socket's name away, if this is a container's first process that may set rules.
void guard_socket(const char *path);
bool is_guarded(void);
// Returns a connection to a guarded agent, or -1; ENOENT: there is none.
int connect_guarded(void);
// In a child: gives up what would let it change rules, or look into the agent.
bool drop_kept(void);

// network/dns.c: reads the DNS servers that the engine has named, before a command can change them.
void remember_name_servers(void);
