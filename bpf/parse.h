/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * From bytes to struct fw_packet: every bounds check of the filter is in this file and in the two
 * that it reads with, cursor.h and transport.h. They call no BPF helper and touch no map, so that
 * bpf/host.c compiles the same lines for replays, tests and the fuzzer.
 *
 * It never guesses: a packet is FW_PARSED_IP when every header that its IP length covers and that
 * is read at all was read to its end; else it has no facts and the caller lets it pass. What the
 * transport header says wrongly about itself is a fact (FW_TP_CUT) and no parse error.
 *
 * Lengths are taken from the IP header and not from the frame: Ethernet pads short packets
 * (RFC 894), and the stack trims what is beyond the IP length before anybody reads it (ip_rcv_core
 * in net/ipv4/ip_input.c, ip6_rcv_core in net/ipv6/ip6_input.c).
 *
 * For the verifier: packet pointers are moved by bounded numbers from the packet, which needs a
 * loader with CAP_PERFMON (sanitize_ptr_alu in kernel/bpf/verifier.c), and multi-byte fields are
 * read in one go at any alignment, which it allows where the machine does (x86-64, arm64, s390x).
 */
#ifndef FLOODWALL_PARSE_H
#define FLOODWALL_PARSE_H

#include "cursor.h"
#include "transport.h"

/* VLAN tags looked through: one provider tag around one customer tag (IEEE 802.1ad). A third is
 * "not IP" and passes. */
#ifndef FW_VLAN_TAGS_MAX
#define FW_VLAN_TAGS_MAX 2
#endif

/* IPv6 extension headers walked. RFC 8200 section 4.1 recommends an order with at most six before
 * the transport header; what is behind more is not read. */
#define FW_EXTENSIONS_MAX 6

/* Ethernet types (IEEE 802), written out like the protocol numbers. */
#define FW_ETHER_IPV4 0x0800
#define FW_ETHER_IPV6 0x86dd
#define FW_ETHER_VLAN 0x8100
#define FW_ETHER_PROVIDER_VLAN 0x88a8

/* fw_fold16 over all four words: IPv6 addresses of one network differ in the last. */
fw_inline __u16 fw_fold_address_v6(const __u8 *address)
{
	return fw_fold16(fw_load32(address) ^ (fw_load32(address + 4) * 0x85ebca6bu) ^
			 (fw_load32(address + 8) * 0xc2b2ae35u) ^
			 (fw_load32(address + 12) * 0x27d4eb2fu));
}

fw_inline __u16 fw_tunnel_mark(__u8 protocol)
{
	return protocol == FW_PROTOCOL_GRE || protocol == FW_PROTOCOL_IP_IN_IP ||
			       protocol == FW_PROTOCOL_IPV6_IN_IP ?
		       FW_IP_TUNNEL :
		       0;
}

/* RFC 791 section 3.1. Options have to be there, as the stack requires it, but are not read. */
fw_inline enum fw_parsed fw_parse_ipv4(struct fw_cursor *cursor, struct fw_packet *packet,
				       struct fw_body *body)
{
	const __u8 *ip, *options;
	__u32 header_length, total_length;
	__u16 fragment, id, marks = 0;

	if (!fw_take(cursor, 20, &ip))
		return FW_PARSED_TRUNCATED;
	header_length = (ip[0] & 15) * 4;
	total_length = fw_load16(ip + 2);
	if (ip[0] >> 4 != 4 || header_length < 20 || total_length < header_length)
		return FW_PARSED_MALFORMED;
	if (header_length > 20) {
		if (!fw_take(cursor, header_length - 20, &options))
			return FW_PARSED_TRUNCATED;
		marks |= FW_IP_OPTIONS;
	}

	id = fw_load16(ip + 4);
	if (id == 0)
		marks |= FW_IP_ID_ZERO;
	fragment = fw_load16(ip + 6);
	marks |= (fragment >> 12) & FW_IP_DONT_FRAGMENT;
	marks |= (fragment >> 8) & FW_IP_RESERVED;
	if (fragment & 0x1fff)
		marks |= FW_IP_LATER_FRAGMENT;
	else if (fragment & 0x2000)
		marks |= FW_IP_FIRST_FRAGMENT;
	marks |= fw_tunnel_mark(ip[9]);

	fw_copy32(packet->source, ip + 12);
	fw_copy32(packet->destination, ip + 16);
	packet->version = 4;
	packet->values[FW_DIM_PROTOCOL] = ip[9];
	packet->values[FW_DIM_IP_MARKS] = marks;
	packet->values[FW_DIM_TTL] = ip[8];
	packet->values[FW_DIM_LENGTH] = total_length;
	packet->values[FW_DIM_ID] = id;
	packet->values[FW_DIM_DESTINATION] = fw_fold16(fw_load32(ip + 16));
	body->offset = packet->l3_offset + header_length;
	body->length = total_length - header_length;
	return FW_PARSED_IP;
}

/* The extension headers that are walked: all below 64, so they are bits of one word. */
fw_inline int fw_is_extension(__u8 protocol)
{
	const __u64 extensions = 1ull << FW_PROTOCOL_HOP_BY_HOP | 1ull << FW_PROTOCOL_ROUTING |
				 1ull << FW_PROTOCOL_FRAGMENT | 1ull << FW_PROTOCOL_AUTHENTICATION |
				 1ull << FW_PROTOCOL_DESTINATION_OPTIONS;

	return protocol < 64 && (extensions >> protocol & 1);
}

/* RFC 8200 section 4, RFC 4302 section 2. Walks to the transport header, or to where the walk ends:
 * a later fragment, a header that is none of these, or FW_EXTENSIONS_MAX. Stores the protocol and a
 * fragment's identification, adds to the marks, and moves `body` along. */
fw_inline enum fw_parsed fw_parse_extensions(const __u8 *frame, const void *end, __u8 *protocol,
					     __u16 *marks, __u16 *id, struct fw_body *body)
{
	for (int walked = 0; walked < FW_EXTENSIONS_MAX; walked++) {
		const __u8 *header = frame + (body->offset & FW_BODY_OFFSET_MASK);
		__u32 size, fragment = 0;

		if (!fw_is_extension(*protocol))
			break;
		*marks |= FW_IP_OPTIONS;
		if (body->length < 8)
			return FW_PARSED_MALFORMED;
		if ((const void *)(header + 8) > end)
			return FW_PARSED_TRUNCATED;
		size = (header[1] + 1) * 8;
		if (*protocol == FW_PROTOCOL_AUTHENTICATION)
			size = (header[1] + 2) * 4;
		if (*protocol == FW_PROTOCOL_FRAGMENT) {
			size = 8;
			fragment = fw_load16(header + 2);
			*id = fw_fold16(fw_load32(header + 4));
		}
		if (size > body->length)
			return FW_PARSED_MALFORMED;
		*protocol = header[0];
		body->offset += size;
		body->length -= size;
		if ((const void *)(frame + (body->offset & FW_BODY_OFFSET_MASK)) > end)
			return FW_PARSED_TRUNCATED;
		if (fragment & 0xfff8) {
			*marks |= FW_IP_LATER_FRAGMENT;
			break;
		}
		if (fragment & 1)
			*marks |= FW_IP_FIRST_FRAGMENT;
	}
	return FW_PARSED_IP;
}

/* RFC 8200 section 3. Payload length 0 before a hop-by-hop header announces a jumbogram (RFC 2675
 * section 3): the packet is as long as the frame, as ip6_rcv_core takes it. */
fw_inline enum fw_parsed fw_parse_ipv6(const __u8 *frame, struct fw_cursor *cursor,
				       struct fw_packet *packet, struct fw_body *body)
{
	const __u8 *ip;
	enum fw_parsed parsed;
	__u16 marks = FW_IP_V6, id = 0;
	__u32 length;
	__u8 protocol;

	if (!fw_take(cursor, 40, &ip))
		return FW_PARSED_TRUNCATED;
	if (ip[0] >> 4 != 6)
		return FW_PARSED_MALFORMED;
	protocol = ip[6];
	body->offset = packet->l3_offset + 40;
	length = fw_load16(ip + 4);
	if (length == 0 && protocol == FW_PROTOCOL_HOP_BY_HOP) {
		__u64 captured = cursor->end - cursor->pos;

		length = captured < 0xffff ? captured : 0xffff;
	}
	body->length = length;
	packet->values[FW_DIM_LENGTH] = length < 0xffff - 40 ? length + 40 : 0xffff;

	for (int word = 0; word < 16; word += 4) {
		fw_copy32(packet->source + word, ip + 8 + word);
		fw_copy32(packet->destination + word, ip + 24 + word);
	}
	packet->version = 6;
	packet->values[FW_DIM_TTL] = ip[7];
	packet->values[FW_DIM_DESTINATION] = fw_fold_address_v6(ip + 24);

	parsed = fw_parse_extensions(frame, cursor->end, &protocol, &marks, &id, body);
	packet->values[FW_DIM_PROTOCOL] = protocol;
	packet->values[FW_DIM_IP_MARKS] = marks | fw_tunnel_mark(protocol);
	packet->values[FW_DIM_ID] = id;
	return parsed;
}

/* What both entries share, once the Ethernet type or the version has told the family. */
fw_inline enum fw_parsed fw_parse_network(const __u8 *frame, struct fw_cursor *cursor,
					  struct fw_packet *packet, int is_v6, int wants_options)
{
	struct fw_body body;
	enum fw_parsed parsed;

	/* Whose address is known elsewhere stays in one piece on the stack. */
	asm volatile("" : : "r"(&body));
	parsed = is_v6 ? fw_parse_ipv6(frame, cursor, packet, &body) :
			 fw_parse_ipv4(cursor, packet, &body);
	if (parsed != FW_PARSED_IP)
		return parsed;
	return fw_parse_transport(frame, cursor, packet, &body, wants_options);
}

/* An Ethernet frame with up to FW_VLAN_TAGS_MAX tags. Every member of `packet` is written, whatever
 * is returned. TCP options are read when `wants_options` is set, and of packets with SYN always;
 * else values[FW_DIM_OPTIONS] and values[FW_DIM_MSS] are 0. */
fw_inline enum fw_parsed fw_parse_frame(struct fw_cursor *cursor, struct fw_packet *packet,
					int wants_options)
{
	const __u8 *ethernet, *tag;
	__u16 ether_type;

	__builtin_memset(packet, 0, sizeof(*packet));
	if (!fw_take(cursor, 14, &ethernet))
		return FW_PARSED_TRUNCATED;
	ether_type = fw_load16(ethernet + 12);
	packet->l3_offset = 14;

#pragma GCC unroll 2
	for (int tags = 0; tags < FW_VLAN_TAGS_MAX; tags++) {
		if (ether_type != FW_ETHER_VLAN && ether_type != FW_ETHER_PROVIDER_VLAN)
			break;
		if (!fw_take(cursor, 4, &tag))
			return FW_PARSED_TRUNCATED;
		ether_type = fw_load16(tag + 2);
		packet->l3_offset += 4;
	}

	if (ether_type != FW_ETHER_IPV4 && ether_type != FW_ETHER_IPV6)
		return FW_PARSED_NOT_IP;
	return fw_parse_network(ethernet, cursor, packet, ether_type == FW_ETHER_IPV6,
				wants_options);
}

/* What fw_peek says of a packet. */
struct fw_glance {
	__u64 source; /* as it stands in the packet: of IPv4 the address, of IPv6 its first half */
	__u32 version;
	__u32 class; /* enum fw_class */
};

/* The transport header's part of fw_peek: `length` bytes at `l4` by the IP header, at least eight of
 * which are there. */
fw_inline int fw_peek_transport(const __u8 *l4, const void *end, __u32 protocol, __u32 length,
				struct fw_glance *glance)
{
	__u32 header_length;

	glance->class = FW_CLASS_UDP;
	if (protocol == FW_PROTOCOL_UDP)
		return 1;
	if (protocol != FW_PROTOCOL_TCP || (const void *)(l4 + 20) > end)
		return 0;
	header_length = (l4[12] >> 4) * 4;
	if (header_length < 20 || header_length > length)
		return 0;
	glance->class = fw_tcp_class(l4[13], header_length != length);
	return 1;
}

fw_inline int fw_peek_v4(const __u8 *ip, const void *end, struct fw_glance *glance)
{
	const __u8 *l4 = ip + 20;
	__u32 total_length;

	/* Of the fragment field all but "do not fragment" and the reserved bit must be 0. */
	if ((const void *)(l4 + 8) > end || ip[0] != 0x45 || (fw_load16(ip + 6) & 0x3fff))
		return 0;
	total_length = fw_load16(ip + 2);
	if (total_length < 28 || (const void *)(ip + total_length) > end)
		return 0;
	glance->version = 4;
	glance->source = fw_load_raw32(ip + 12);
	return fw_peek_transport(l4, end, ip[9], total_length - 20, glance);
}

fw_inline int fw_peek_v6(const __u8 *ip, const void *end, struct fw_glance *glance)
{
	const __u8 *l4 = ip + 40;
	__u32 length;

	if ((const void *)(l4 + 8) > end || ip[0] >> 4 != 6)
		return 0;
	length = fw_load16(ip + 4);
	if (length < 8 || (const void *)(l4 + length) > end)
		return 0;
	glance->version = 6;
	glance->source = fw_load_raw64(ip + 8);
	return fw_peek_transport(l4, end, ip[6], length, glance);
}

/* Whether the frame holds the plainest of packets, whole: untagged IPv4 without options and
 * fragments or IPv6 without extension headers, and TCP or UDP behind it with all of its header. Of
 * these fw_parse_frame says FW_PARSED_IP, and the same source and class; of all others this says
 * nothing. It is what a banned source mostly sends, and takes a fraction of the time. */
fw_inline int fw_peek(const void *data, const void *end, struct fw_glance *glance)
{
	const __u8 *ethernet = data, *ip = ethernet + 14;

	if ((const void *)ip > end)
		return 0;
	switch (fw_load16(ethernet + 12)) {
	case FW_ETHER_IPV4:
		return fw_peek_v4(ip, end, glance);
	case FW_ETHER_IPV6:
		return fw_peek_v6(ip, end, glance);
	}
	return 0;
}

/* A packet without link header; its first four bits tell the family. Otherwise as
 * fw_parse_frame. */
fw_inline enum fw_parsed fw_parse_ip(struct fw_cursor *cursor, struct fw_packet *packet,
				     int wants_options)
{
	const __u8 *first = cursor->pos;

	__builtin_memset(packet, 0, sizeof(*packet));
	if ((const void *)(first + 1) > cursor->end)
		return FW_PARSED_TRUNCATED;
	if (first[0] >> 4 != 4 && first[0] >> 4 != 6)
		return FW_PARSED_NOT_IP;
	return fw_parse_network(first, cursor, packet, first[0] >> 4 == 6, wants_options);
}

#endif
