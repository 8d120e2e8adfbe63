// Messages to the kernel's nf_tables (linux/netfilter/nf_tables.h), many in one transaction.
#include "network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void put_attribute(struct buffer *out, uint16_t attribute, const void *value, size_t length) {
  struct nlattr header = {(uint16_t)(sizeof header + length), attribute};
  put_bytes(out, &header, sizeof header);
  put_bytes(out, value, length);
  put_bytes(out, "\0\0\0", NLA_ALIGN(length) - length);
}

void put_number(struct buffer *out, uint16_t attribute, uint32_t value) {
  value = htonl(value);
  put_attribute(out, attribute, &value, sizeof value);
}

static void put_name(struct buffer *out, uint16_t attribute, const char *name) {
  put_attribute(out, attribute, name, strlen(name) + 1);
}

size_t open_attribute(struct buffer *out, uint16_t attribute) {
  size_t place = out->length;
  put_attribute(out, attribute | NLA_F_NESTED, NULL, 0);
  return place;
}

void close_attribute(struct buffer *out, size_t place) {
  uint16_t length = (uint16_t)(out->length - place);
  if (!out->has_failed) memcpy(out->bytes + place, &length, sizeof length);
}

static size_t open_message(struct buffer *out, uint16_t type, uint16_t flags, uint8_t family, uint16_t resource) {
  size_t place = out->length;
  struct nlmsghdr header = {.nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags};
  struct nfgenmsg message = {.nfgen_family = family, .version = NFNETLINK_V0, .res_id = htons(resource)};
  put_bytes(out, &header, sizeof header);
  put_bytes(out, &message, sizeof message);
  return place;
}

static void close_message(struct buffer *out, size_t place) {
  uint32_t length = (uint32_t)(out->length - place);
  if (!out->has_failed) memcpy(out->bytes + place, &length, sizeof length);
}

static size_t open_change(struct buffer *out, uint8_t family, uint16_t type, uint16_t flags) {
  return open_message(out, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, family, 0);
}

static void put_batch(struct buffer *out, uint16_t type) {
  close_message(out, open_message(out, type, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
}

void begin_changes(struct buffer *out) { put_batch(out, NFNL_MSG_BATCH_BEGIN); }

static void put_table(struct buffer *out, uint8_t family, uint16_t type, uint16_t flags) {
  size_t message = open_change(out, family, type, flags);
  put_name(out, NFTA_TABLE_NAME, TABLE);
  close_message(out, message);
}

// Adding it first makes removing it no error.
void put_empty_table(struct buffer *out, uint8_t family) {
  put_table(out, family, NFT_MSG_NEWTABLE, NLM_F_CREATE);
  put_table(out, family, NFT_MSG_DELTABLE, 0);
  put_table(out, family, NFT_MSG_NEWTABLE, NLM_F_CREATE);
}

void put_chain(struct buffer *out, uint8_t family, const char *chain, int hook, uint32_t policy) {
  size_t message = open_change(out, family, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
  put_name(out, NFTA_CHAIN_TABLE, TABLE);
  put_name(out, NFTA_CHAIN_NAME, chain);
  if (hook >= 0) {
    size_t nested = open_attribute(out, NFTA_CHAIN_HOOK);
    put_number(out, NFTA_HOOK_HOOKNUM, (uint32_t)hook);
    put_number(out, NFTA_HOOK_PRIORITY, 0);
    close_attribute(out, nested);
    put_number(out, NFTA_CHAIN_POLICY, policy);
    put_name(out, NFTA_CHAIN_TYPE, "filter");
  }
  close_message(out, message);
}

struct rule open_rule(struct buffer *out, uint8_t family, const char *chain) {
  struct rule rule = {.message = open_change(out, family, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND)};
  put_name(out, NFTA_RULE_TABLE, TABLE);
  put_name(out, NFTA_RULE_CHAIN, chain);
  rule.expressions = open_attribute(out, NFTA_RULE_EXPRESSIONS);
  return rule;
}

void close_rule(struct buffer *out, struct rule rule) {
  close_attribute(out, rule.expressions);
  close_message(out, rule.message);
}

struct expression open_expression(struct buffer *out, const char *name) {
  struct expression expression = {.element = open_attribute(out, NFTA_LIST_ELEM)};
  put_name(out, NFTA_EXPR_NAME, name);
  expression.data = open_attribute(out, NFTA_EXPR_DATA);
  return expression;
}

void close_expression(struct buffer *out, struct expression expression) {
  close_attribute(out, expression.data);
  close_attribute(out, expression.element);
}

// The kernel answers what failed, before it answers the one message that asks for an answer.
// Returns 0 or errno.
static int read_answers(int fd) {
  static union {
    struct nlmsghdr first;
    uint8_t bytes[16384];
  } answers;
  for (;;) {
    ssize_t got = recv(fd, &answers, sizeof answers, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    // The kernel has written its answers before sending returned.
    if (got < (ssize_t)sizeof answers.first) return got < 0 && errno != EAGAIN ? errno : EPROTO;
    for (struct nlmsghdr *each = &answers.first; NLMSG_OK(each, (size_t)got);) {
      struct nlmsgerr *error = NLMSG_DATA(each);
      if (each->nlmsg_type == NLMSG_ERROR && error->error != 0) return -error->error;
      if (each->nlmsg_type == NLMSG_ERROR) return 0;
      got -= NLMSG_ALIGN(each->nlmsg_len);
      each = (struct nlmsghdr *)((uint8_t *)each + NLMSG_ALIGN(each->nlmsg_len));
    }
  }
}

int send_changes(struct buffer *out, uint8_t family) {
  put_table(out, family, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_ACK);
  put_batch(out, NFNL_MSG_BATCH_END);
  if (out->has_failed) return ENOMEM;
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  if (fd < 0) return errno;
  int size = (int)out->length * 2 + 65536;
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0)
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  ssize_t sent = sendto(fd, out->bytes, out->length, 0, (struct sockaddr *)&kernel, sizeof kernel);
  int error = sent < 0 ? errno : read_answers(fd);
  close(fd);
  return error;
}
