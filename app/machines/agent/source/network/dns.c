// The DNS servers that the engine gave the machine, and those that a caller names instead.
#include "guard.h"
#include "network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME "/etc/resolv.conf"
#define SERVER "nameserver "
// Docker's DNS server listens in the machine and asks these from there; since version 25 it says so.
#define BEHIND "# ExtServers: "

static char first_content[4096];
static bool has_first, is_replaced;
static struct name_server known[MOST_NAME_SERVERS];
static unsigned known_count;

static void add_server(const char *text) {
  struct name_server server = {.family = NFPROTO_IPV4, .range.bits = 32};
  if (known_count == MOST_NAME_SERVERS) return;
  if (inet_pton(AF_INET, text, server.range.address) != 1) {
    server.family = NFPROTO_IPV6;
    server.range.bits = 128;
    if (inet_pton(AF_INET6, text, server.range.address) != 1) return;
  }
  server.is_loopback = server.family == NFPROTO_IPV4 && server.range.address[0] == 127;
  known[known_count++] = server;
}

static void add_servers(char *line) {
  size_t prefix = strncmp(line, SERVER, sizeof SERVER - 1) == 0   ? sizeof SERVER - 1
                  : strncmp(line, BEHIND, sizeof BEHIND - 1) == 0 ? sizeof BEHIND - 1
                                                                  : 0;
  if (prefix == 0) return;
  char *rest = NULL;
  for (char *word = strtok_r(line + prefix, " []\t\r", &rest); word; word = strtok_r(NULL, " []\t\r", &rest))
    add_server(word);
}

void remember_name_servers(void) {
  char content[sizeof first_content] = "", *rest = NULL;
  int fd = open(FILE_NAME, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? -1 : read(fd, content, sizeof content - 1);
  if (fd >= 0) close(fd);
  if (length < 0) return;
  has_first = true;
  memcpy(first_content, content, sizeof content);
  for (char *line = strtok_r(content, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) add_servers(line);
}

unsigned name_servers(struct name_server found[MOST_NAME_SERVERS]) {
  memcpy(found, known, sizeof known);
  return known_count;
}

// The engine has mounted the file, so that it can't be replaced by another.
static int write_file(const char *content, size_t length) {
  int fd = open(FILE_NAME, O_WRONLY | O_TRUNC | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd < 0) return errno;
  int error = write(fd, content, length) == (ssize_t)length ? 0 : errno ? errno : EIO;
  close(fd);
  return error;
}

int use_name_servers(char **addresses) {
  char content[sizeof first_content];
  size_t length = 0;
  if (!addresses) {
    int error = is_replaced && has_first ? write_file(first_content, strlen(first_content)) : 0;
    if (!error) is_replaced = false;
    return error;
  }
  for (; *addresses && length < sizeof content - 100; addresses++)
    length += (size_t)snprintf(content + length, sizeof content - length, SERVER "%.64s\n", *addresses);
  is_replaced = true;
  return write_file(content, length);
}
