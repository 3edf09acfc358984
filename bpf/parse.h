/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * From bytes to a source address: every bounds check of the filter is in this file. It calls no
 * BPF helper and touches no map, so it also compiles on the host, where a test feeds it damaged
 * packets under the address sanitizer.
 *
 * It never guesses: what cannot be read to the end of its IP header has no source, and the caller
 * lets it pass.
 *
 * Written so that the verifier takes it from a loader without CAP_PERFMON: no packet pointer is
 * compared with null, and none is moved by a number from the packet, both of which it forbids there
 * (sanitize_ptr_alu and is_pointer_value in kernel/bpf/verifier.c).
 */
#ifndef FLOODWALL_PARSE_H
#define FLOODWALL_PARSE_H

#include <linux/if_ether.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>

#include "abi.h"

#define fw_inline static inline __attribute__((always_inline))

/* Longest IPv4 header in 32-bit words: its length field has four bits. */
#define FW_IPV4_WORDS_MAX 15

/* What is left of the packet. `pos` only moves forward, and only past bytes that exist. */
struct fw_cursor {
	const void *pos;
	const void *end;
};

/* How far parsing came. The first two say which member of fw_source is set. */
enum fw_parsed {
	FW_PARSED_V4,
	FW_PARSED_V6,
	FW_PARSED_NOT_IP,
	FW_PARSED_TRUNCATED,
	FW_PARSED_MALFORMED,
};

struct fw_source {
	struct fw_key_v4 v4;
	struct fw_key_v6 v6;
};

/* An IEEE 802.1Q tag behind the two bytes that announced it. */
struct fw_vlan_tag {
	__be16 control;
	__be16 ether_type;
};

/* Points `taken` at the next `size` bytes, a constant, and moves past them; 0 when the packet is
 * shorter, 1 when not. */
fw_inline int fw_take(struct fw_cursor *cursor, __u64 size, const void **taken)
{
	if (cursor->pos + size > cursor->end)
		return 0;
	*taken = cursor->pos;
	cursor->pos += size;
	return 1;
}

/* RFC 791 section 3.1. Options are required to be there, as the stack requires it
 * (ip_rcv_core in net/ipv4/ip_input.c), but are not read. */
fw_inline enum fw_parsed fw_parse_ipv4(struct fw_cursor *cursor, struct fw_source *source)
{
	const struct iphdr *ip;
	const void *option_word;

	if (!fw_take(cursor, sizeof(*ip), (const void **)&ip))
		return FW_PARSED_TRUNCATED;
	if (ip->version != 4 || ip->ihl < 5)
		return FW_PARSED_MALFORMED;
	source->v4.address_be = ip->saddr;
#pragma unroll
	for (int words = 5; words < FW_IPV4_WORDS_MAX; words++) {
		if (words >= ip->ihl)
			break;
		if (!fw_take(cursor, 4, &option_word))
			return FW_PARSED_TRUNCATED;
	}
	return FW_PARSED_V4;
}

/* RFC 8200 section 3. Extension headers follow the source address and cannot change it. */
fw_inline enum fw_parsed fw_parse_ipv6(struct fw_cursor *cursor, struct fw_source *source)
{
	const struct ipv6hdr *ip;

	if (!fw_take(cursor, sizeof(*ip), (const void **)&ip))
		return FW_PARSED_TRUNCATED;
	if (ip->version != 6)
		return FW_PARSED_MALFORMED;
	source->v6.network_be[0] = ip->saddr.in6_u.u6_addr32[0];
	source->v6.network_be[1] = ip->saddr.in6_u.u6_addr32[1];
	return FW_PARSED_V6;
}

fw_inline int fw_is_vlan(__be16 ether_type)
{
	return ether_type == bpf_htons(ETH_P_8021Q) || ether_type == bpf_htons(ETH_P_8021AD);
}

/* An Ethernet frame with up to FW_VLAN_TAGS_MAX tags. */
fw_inline enum fw_parsed fw_parse_frame(struct fw_cursor *cursor, struct fw_source *source)
{
	const struct ethhdr *ethernet;
	__be16 ether_type;

	if (!fw_take(cursor, sizeof(*ethernet), (const void **)&ethernet))
		return FW_PARSED_TRUNCATED;
	ether_type = ethernet->h_proto;

#pragma unroll
	for (int tags = 0; tags < FW_VLAN_TAGS_MAX; tags++) {
		const struct fw_vlan_tag *tag;

		if (!fw_is_vlan(ether_type))
			break;
		if (!fw_take(cursor, sizeof(*tag), (const void **)&tag))
			return FW_PARSED_TRUNCATED;
		ether_type = tag->ether_type;
	}

	if (ether_type == bpf_htons(ETH_P_IP))
		return fw_parse_ipv4(cursor, source);
	if (ether_type == bpf_htons(ETH_P_IPV6))
		return fw_parse_ipv6(cursor, source);
	return FW_PARSED_NOT_IP;
}

#endif
