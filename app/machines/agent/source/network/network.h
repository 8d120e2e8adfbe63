// What the files of this folder share.
#pragma once
#include "../agent.h"

#include <linux/netfilter/nf_tables.h>

#define TABLE "sandpit"
#define MOST_NAME_SERVERS 8

// messages.c: changes of the kernel's nf_tables, which take effect together.

void begin_changes(struct buffer *);
// Makes the table of a family of addresses, without what it held.
void put_empty_table(struct buffer *, uint8_t family);
// A hook below 0: only other chains lead to this one.
void put_chain(struct buffer *, uint8_t family, const char *chain, int hook, uint32_t policy);
struct rule {
  size_t message, expressions;
};
struct rule open_rule(struct buffer *, uint8_t family, const char *chain);
void close_rule(struct buffer *, struct rule);
struct expression {
  size_t element, data;
};
struct expression open_expression(struct buffer *, const char *name);
void close_expression(struct buffer *, struct expression);
void put_attribute(struct buffer *, uint16_t attribute, const void *value, size_t length);
void put_number(struct buffer *, uint16_t attribute, uint32_t value);
size_t open_attribute(struct buffer *, uint16_t attribute);
void close_attribute(struct buffer *, size_t place);
// Makes the changes, of which the first family is one's. Returns 0, or errno: then there are none.
int send_changes(struct buffer *, uint8_t family);

// chains.c: a family's chains.

enum verdict { ACCEPT = 1, REFUSE };
struct range {
  uint8_t address[16];
  uint8_t bits;
};
uint8_t address_length(uint8_t family);
void begin_chains(struct buffer *, uint8_t family);
// Opens the chain for what is not for the machine itself.
void put_own(struct buffer *, uint8_t family);
// A port above 0: only that one, of TCP and UDP.
void put_verdict(struct buffer *, uint8_t family, const struct range *, uint16_t port, enum verdict);

// dns.c: the machine's DNS servers.

struct name_server {
  uint8_t family;
  struct range range;
  bool is_loopback;
};
unsigned name_servers(struct name_server found[MOST_NAME_SERVERS]);
// Makes programs use these, or the engine's again (NULL). 0 or errno.
int use_name_servers(char **addresses);
