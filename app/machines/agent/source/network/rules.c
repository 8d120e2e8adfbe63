// NETWORK: what the machine's programs may reach.
#include "guard.h"
#include "network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/netfilter.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_RULES 1024
#define DNS_PORT 53

enum kind { OWN_NETWORKS = 1, IPV4 = 4, IPV6 = 6 };

struct entry {
  uint8_t verdict, kind;
  struct range range;
  uint16_t port;
};

struct request {
  bool opens_dns;       // of the engine
  char **name_servers;  // NULL: the engine's
  uint32_t count;
  struct entry *entries;
};

static bool read_entry(struct reader *arguments, struct entry *entry) {
  entry->verdict = read_u8(arguments);
  entry->kind = read_u8(arguments);
  uint8_t length = entry->kind == IPV4 ? 4 : entry->kind == IPV6 ? 16 : 0;
  for (int i = 0; i < length; i++) entry->range.address[i] = read_u8(arguments);
  if (length > 0) entry->range.bits = read_u8(arguments);
  entry->port = read_u16(arguments);
  bool is_known = entry->kind == OWN_NETWORKS || length > 0;
  return !arguments->has_failed && is_known && entry->range.bits <= 8 * length &&
         (entry->verdict == ACCEPT || entry->verdict == REFUSE);
}

static bool are_addresses(char **words) {
  struct in_addr address;
  for (; *words; words++)
    if (inet_pton(AF_INET, *words, &address) != 1) return false;
  return true;
}

static bool read_request(struct call *call, struct reader *arguments, struct request *request) {
  request->opens_dns = read_u8(arguments);
  bool names_servers = read_u8(arguments);
  char **words = read_strings(arguments, 1);
  request->count = read_u32(arguments);
  request->name_servers = words;
  bool is_valid = words && !arguments->has_failed && are_addresses(words) && request->count <= MOST_RULES;
  if (!names_servers && words) {
    free(words);
    request->name_servers = NULL;
  }
  request->entries = is_valid ? calloc(request->count + 1, sizeof(struct entry)) : NULL;
  for (uint32_t i = 0; request->entries && is_valid && i < request->count; i++)
    is_valid = read_entry(arguments, &request->entries[i]);
  if (!is_valid) call_fail(call, INVALID_ARGUMENT, "malformed arguments");
  else if (!request->entries) call_fail(call, RESOURCE_EXHAUSTED, "the agent is out of memory");
  return is_valid && request->entries;
}

static void put_own_networks(struct buffer *out, uint8_t family, enum verdict verdict) {
  struct ifaddrs *all = NULL;
  if (getifaddrs(&all) < 0) {
    out->has_failed = true;
    return;
  }
  for (struct ifaddrs *each = all; each; each = each->ifa_next) {
    int wanted = family == NFPROTO_IPV4 ? AF_INET : AF_INET6;
    if (!each->ifa_addr || !each->ifa_netmask || each->ifa_addr->sa_family != wanted || each->ifa_flags & IFF_LOOPBACK)
      continue;
    struct range range = {.bits = 0};
    uint8_t mask[16], length = address_length(family);
    bool is_v4 = family == NFPROTO_IPV4;
    memcpy(range.address, is_v4 ? (void *)&((struct sockaddr_in *)each->ifa_addr)->sin_addr
                                : (void *)&((struct sockaddr_in6 *)each->ifa_addr)->sin6_addr, length);
    memcpy(mask, is_v4 ? (void *)&((struct sockaddr_in *)each->ifa_netmask)->sin_addr
                       : (void *)&((struct sockaddr_in6 *)each->ifa_netmask)->sin6_addr, length);
    for (int i = 0; i < length; i++) range.bits += (uint8_t)__builtin_popcount(mask[i]);
    put_verdict(out, family, &range, 0, verdict);
  }
  freeifaddrs(all);
}

// The first of a family's rules that says something about a packet decides.
static void put_family(struct buffer *out, uint8_t family, const struct request *request) {
  struct name_server servers[MOST_NAME_SERVERS];
  unsigned count = name_servers(servers);
  begin_chains(out, family);
  for (unsigned i = 0; i < count; i++)
    if (servers[i].family == family && servers[i].is_loopback && !request->opens_dns)
      put_verdict(out, family, &servers[i].range, 0, REFUSE);
  put_own(out, family);
  for (unsigned i = 0; i < count; i++)
    if (servers[i].family == family && !servers[i].is_loopback && request->opens_dns)
      put_verdict(out, family, &servers[i].range, DNS_PORT, ACCEPT);
  for (uint32_t i = 0; i < request->count; i++) {
    const struct entry *entry = &request->entries[i];
    if (entry->kind == OWN_NETWORKS) put_own_networks(out, family, entry->verdict);
    else if ((entry->kind == IPV4) == (family == NFPROTO_IPV4))
      put_verdict(out, family, &entry->range, entry->port, entry->verdict);
  }
}

static bool has_ipv6(void) {
  int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

static int apply(const struct request *request) {
  struct buffer changes = {0};
  begin_changes(&changes);
  put_family(&changes, NFPROTO_IPV4, request);
  if (has_ipv6()) put_family(&changes, NFPROTO_IPV6, request);
  int error = send_changes(&changes, NFPROTO_IPV4);
  buffer_free(&changes);
  return error;
}

void op_network(struct call *call, struct reader *arguments) {
  struct request request = {0};
  if (read_request(call, arguments, &request)) {
    int error = is_guarded() ? apply(&request) : EOPNOTSUPP;
    int file_error = error ? 0 : use_name_servers(request.name_servers);
    if (error == ENOMEM) call_fail(call, RESOURCE_EXHAUSTED, "the agent is out of memory");
    else if (error) call_fail(call, UNIMPLEMENTED, "the machine's kernel sets no network rules: %s", strerror(error));
    else if (file_error) call_fail(call, INTERNAL, "/etc/resolv.conf: %s", strerror(file_error));
    else call_done(call, NULL, 0);
  }
  free(request.name_servers);
  free(request.entries);
}
