// The chains of a family of addresses, IPv4's or IPv6's.
//
// `output` sees every packet that the machine sends, whatever its socket is bound to. Routing rules
// would not do: a socket that is bound to a device passes them by (ip_route_output_key_hash_rcu).
#include "network.h"

#include <arpa/inet.h>
#include <linux/icmpv6.h>
#include <linux/if_arp.h>
#include <linux/netfilter.h>
#include <netinet/in.h>
#include <string.h>

#define OUTPUT "output"
#define REFUSED "refused"
#define ICMP_FILTERED 13
#define ICMPV6_PROHIBITED 1
#define TCP_FLAGS_OFFSET 13
#define TCP_SYN 2
#define PORT_OFFSET 2
#define FIRST_NEIGHBOUR_TYPE 133  // router solicitation, of the five of RFC 4861
#define LAST_NEIGHBOUR_TYPE 137

uint8_t address_length(uint8_t family) { return family == NFPROTO_IPV4 ? 4 : 16; }

static void put_load(struct buffer *out, uint32_t base, uint32_t offset, uint32_t length) {
  struct expression load = open_expression(out, "payload");
  put_number(out, NFTA_PAYLOAD_DREG, NFT_REG_1);
  put_number(out, NFTA_PAYLOAD_BASE, base);
  put_number(out, NFTA_PAYLOAD_OFFSET, offset);
  put_number(out, NFTA_PAYLOAD_LEN, length);
  close_expression(out, load);
}

static void put_meta(struct buffer *out, uint32_t key) {
  struct expression meta = open_expression(out, "meta");
  put_number(out, NFTA_META_DREG, NFT_REG_1);
  put_number(out, NFTA_META_KEY, key);
  close_expression(out, meta);
}

static void put_value(struct buffer *out, uint16_t attribute, const void *value, size_t length) {
  size_t nested = open_attribute(out, attribute);
  put_attribute(out, NFTA_DATA_VALUE, value, length);
  close_attribute(out, nested);
}

static void put_compare(struct buffer *out, uint32_t how, const void *value, size_t length) {
  struct expression compare = open_expression(out, "cmp");
  put_number(out, NFTA_CMP_SREG, NFT_REG_1);
  put_number(out, NFTA_CMP_OP, how);
  put_value(out, NFTA_CMP_DATA, value, length);
  close_expression(out, compare);
}

static void put_mask(struct buffer *out, const void *mask, size_t length) {
  static const uint8_t nothing[16];
  struct expression bitwise = open_expression(out, "bitwise");
  put_number(out, NFTA_BITWISE_SREG, NFT_REG_1);
  put_number(out, NFTA_BITWISE_DREG, NFT_REG_1);
  put_number(out, NFTA_BITWISE_LEN, (uint32_t)length);
  put_value(out, NFTA_BITWISE_MASK, mask, length);
  put_value(out, NFTA_BITWISE_XOR, nothing, length);
  close_expression(out, bitwise);
}

static void put_is_protocol(struct buffer *out, uint8_t protocol) {
  put_meta(out, NFT_META_L4PROTO);
  put_compare(out, NFT_CMP_EQ, &protocol, 1);
}

static void put_jump(struct buffer *out, int32_t code, const char *chain) {
  struct expression immediate = open_expression(out, "immediate");
  put_number(out, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
  size_t data = open_attribute(out, NFTA_IMMEDIATE_DATA);
  size_t verdict = open_attribute(out, NFTA_DATA_VERDICT);
  put_number(out, NFTA_VERDICT_CODE, (uint32_t)code);
  if (chain) put_attribute(out, NFTA_VERDICT_CHAIN, chain, strlen(chain) + 1);
  close_attribute(out, verdict);
  close_attribute(out, data);
  close_expression(out, immediate);
}

static void put_reject(struct buffer *out, uint32_t type, uint8_t code) {
  struct expression reject = open_expression(out, "reject");
  put_number(out, NFTA_REJECT_TYPE, type);
  put_attribute(out, NFTA_REJECT_ICMP_CODE, &code, 1);
  close_expression(out, reject);
}

// What is refused: an open connection is reset at its next packet; everything else gets an error.
static void put_refused(struct buffer *out, uint8_t family) {
  static const uint8_t syn = TCP_SYN, none = 0;
  put_chain(out, family, REFUSED, -1, 0);
  struct rule reset = open_rule(out, family, REFUSED);
  put_is_protocol(out, IPPROTO_TCP);
  put_load(out, NFT_PAYLOAD_TRANSPORT_HEADER, TCP_FLAGS_OFFSET, 1);
  put_mask(out, &syn, 1);
  put_compare(out, NFT_CMP_EQ, &none, 1);
  put_reject(out, NFT_REJECT_TCP_RST, 0);
  close_rule(out, reset);
  struct rule error = open_rule(out, family, REFUSED);
  put_reject(out, NFT_REJECT_ICMP_UNREACH, family == NFPROTO_IPV4 ? ICMP_FILTERED : ICMPV6_PROHIBITED);
  close_rule(out, error);
}

// The machine passes on nothing: a packet could be looped to itself, to be sent from there.
void begin_chains(struct buffer *out, uint8_t family) {
  put_empty_table(out, family);
  put_refused(out, family);
  put_chain(out, family, "forward", NF_INET_FORWARD, NF_DROP);
  put_chain(out, family, OUTPUT, NF_INET_LOCAL_OUT, NF_ACCEPT);
}

// Without messages to its neighbours an IPv6 address can reach nobody. Only the kernel sends them,
// since no command may open raw sockets.
static void put_neighbours(struct buffer *out) {
  static const uint8_t first = FIRST_NEIGHBOUR_TYPE, last = LAST_NEIGHBOUR_TYPE;
  struct rule rule = open_rule(out, NFPROTO_IPV6, OUTPUT);
  put_is_protocol(out, IPPROTO_ICMPV6);
  put_load(out, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1);
  put_compare(out, NFT_CMP_GTE, &first, 1);
  put_compare(out, NFT_CMP_LTE, &last, 1);
  put_jump(out, NF_ACCEPT, NULL);
  close_rule(out, rule);
}

void put_own(struct buffer *out, uint8_t family) {
  static const uint16_t loopback = ARPHRD_LOOPBACK;
  struct rule rule = open_rule(out, family, OUTPUT);
  put_meta(out, NFT_META_OIFTYPE);
  put_compare(out, NFT_CMP_EQ, &loopback, sizeof loopback);
  put_jump(out, NF_ACCEPT, NULL);
  close_rule(out, rule);
  if (family == NFPROTO_IPV6) put_neighbours(out);
}

static void put_is_in(struct buffer *out, uint8_t family, const struct range *range) {
  uint8_t mask[16] = {0}, network[16], length = address_length(family);
  for (int bit = 0; bit < range->bits; bit++) mask[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
  for (int i = 0; i < length; i++) network[i] = range->address[i] & mask[i];
  if (range->bits == 0) return;
  put_load(out, NFT_PAYLOAD_NETWORK_HEADER, family == NFPROTO_IPV4 ? 16 : 24, length);
  if (range->bits < 8 * length) put_mask(out, mask, length);
  put_compare(out, NFT_CMP_EQ, network, length);
}

static void put_one(struct buffer *out, uint8_t family, const struct range *range, uint8_t protocol,
                    uint16_t port, enum verdict verdict) {
  uint16_t network_port = htons(port);
  struct rule rule = open_rule(out, family, OUTPUT);
  put_is_in(out, family, range);
  if (protocol) {
    put_is_protocol(out, protocol);
    put_load(out, NFT_PAYLOAD_TRANSPORT_HEADER, PORT_OFFSET, sizeof network_port);
    put_compare(out, NFT_CMP_EQ, &network_port, sizeof network_port);
  }
  if (verdict == ACCEPT) put_jump(out, NF_ACCEPT, NULL);
  else put_jump(out, NFT_GOTO, REFUSED);
  close_rule(out, rule);
}

void put_verdict(struct buffer *out, uint8_t family, const struct range *range, uint16_t port, enum verdict verdict) {
  if (port == 0) return put_one(out, family, range, 0, 0, verdict);
  put_one(out, family, range, IPPROTO_TCP, port, verdict);
  put_one(out, family, range, IPPROTO_UDP, port, verdict);
}
