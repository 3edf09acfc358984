/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * From bytes to struct fw_packet: every bounds check of the filter is in this file. It calls no
 * BPF helper and touches no map, so that bpf/host.c compiles the same lines for replays, tests and
 * the fuzzer.
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

#include <linux/types.h>

#include "packet.h"

#ifndef fw_inline
#define fw_inline static inline __attribute__((always_inline))
#endif

/* VLAN tags looked through: one provider tag around one customer tag (IEEE 802.1ad). A third is
 * "not IP" and passes. */
#ifndef FW_VLAN_TAGS_MAX
#define FW_VLAN_TAGS_MAX 2
#endif

/* IPv6 extension headers walked. RFC 8200 section 4.1 recommends an order with at most six before
 * the transport header; what is behind more is not read. */
#define FW_EXTENSIONS_MAX 6

/* TCP options take at most 40 bytes (RFC 9293 section 3.1), so there are at most 40. */
#define FW_TCP_OPTION_BYTES_MAX 40

/* Ethernet types and protocol numbers (IEEE 802, IANA). Written out so that the file depends on no
 * header that a host without libbpf lacks. */
#define FW_ETHER_IPV4 0x0800
#define FW_ETHER_IPV6 0x86dd
#define FW_ETHER_VLAN 0x8100
#define FW_ETHER_PROVIDER_VLAN 0x88a8

enum fw_protocol {
	FW_PROTOCOL_HOP_BY_HOP = 0,
	FW_PROTOCOL_ICMP = 1,
	FW_PROTOCOL_IP_IN_IP = 4,
	FW_PROTOCOL_TCP = 6,
	FW_PROTOCOL_UDP = 17,
	FW_PROTOCOL_IPV6_IN_IP = 41,
	FW_PROTOCOL_ROUTING = 43,
	FW_PROTOCOL_FRAGMENT = 44,
	FW_PROTOCOL_GRE = 47,
	FW_PROTOCOL_AUTHENTICATION = 51,
	FW_PROTOCOL_ICMPV6 = 58,
	FW_PROTOCOL_DESTINATION_OPTIONS = 60,
};

/* TCP flags (RFC 9293 section 3.1). Macros, in the words of sanity.h, which looks at them too. */
#define FW_TCP_FIN 0x01
#define FW_TCP_SYN 0x02
#define FW_TCP_RST 0x04
#define FW_TCP_ACK 0x10

/* What is left of the packet. `pos` only moves forward, and only past bytes that exist. */
struct fw_cursor {
	const void *pos;
	const void *end;
};

/* How far parsing came. struct fw_packet is to be read only after FW_PARSED_IP. */
enum fw_parsed {
	FW_PARSED_IP,
	FW_PARSED_NOT_IP,
	FW_PARSED_TRUNCATED, /* the captured bytes end before the headers do */
	FW_PARSED_MALFORMED, /* the IP header contradicts itself; the stack will drop it */
};

/* What the IP header says about what is behind it.
 *
 * Volatile, and away from the start of its 8-byte stack slot, so that the verifier forgets what it
 * knew of the two numbers (check_stack_write_fixed_off in kernel/bpf/verifier.c): it then sees the
 * transport headers behind every mixture of tags, options and extension headers as one case and not
 * as hundreds. */
struct fw_body {
	__u16 unused;
	volatile __u16 offset; /* of its first byte, from the start of the frame */
	volatile __u16 length; /* in bytes, by the IP header */
} __attribute__((aligned(8)));

/* More than any offset of a transport header: 2 tags, 40 bytes of IPv6, 6 extension headers of at
 * most 2,048 bytes. A mask for the verifier. */
#define FW_BODY_OFFSET_MASK 0x3fff

/* Fields in packets stand at any alignment. The filter's targets read them so in one go; on the
 * host only a copy is defined behaviour, and the compiler makes the same load of it. */
#ifdef __bpf__
typedef __u16 __attribute__((may_alias)) fw_bits16;
typedef __u32 __attribute__((may_alias)) fw_bits32;
#define fw_load_raw16(at) (*(const fw_bits16 *)(at))
#define fw_load_raw32(at) (*(const fw_bits32 *)(at))
#else
fw_inline __u16 fw_load_raw16(const void *at)
{
	__u16 raw;

	__builtin_memcpy(&raw, at, sizeof(raw));
	return raw;
}

fw_inline __u32 fw_load_raw32(const void *at)
{
	__u32 raw;

	__builtin_memcpy(&raw, at, sizeof(raw));
	return raw;
}
#endif

/* Big-endian fields as numbers. */
fw_inline __u16 fw_load16(const __u8 *at)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return __builtin_bswap16(fw_load_raw16(at));
#else
	return fw_load_raw16(at);
#endif
}

fw_inline __u32 fw_load32(const __u8 *at)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return __builtin_bswap32(fw_load_raw32(at));
#else
	return fw_load_raw32(at);
#endif
}

/* Copies a word as it stands; `to` is a member of struct fw_packet and thereby aligned. */
fw_inline void fw_copy32(__u8 *to, const __u8 *from)
{
	__u32 raw = fw_load_raw32(from);

	/* Said aloud, so that it is one store: whoever reads it back as a word would else wait for
	 * four of them. */
	__builtin_memcpy(__builtin_assume_aligned(to, 4), &raw, sizeof(raw));
}

/* Points `taken` at the next `size` bytes and moves past them; 0 when the packet is shorter, 1 when
 * not. */
fw_inline int fw_take(struct fw_cursor *cursor, __u64 size, const __u8 **taken)
{
	if (cursor->pos + size > cursor->end)
		return 0;
	*taken = cursor->pos;
	cursor->pos += size;
	return 1;
}

/* fw_fold16 over all four words: IPv6 addresses of one network differ in the last. */
fw_inline __u16 fw_fold_address_v6(const __u8 *address)
{
	return fw_fold16(fw_load32(address) ^ (fw_load32(address + 4) * 0x85ebca6bu) ^
			 (fw_load32(address + 8) * 0xc2b2ae35u) ^
			 (fw_load32(address + 12) * 0x27d4eb2fu));
}

/* A number below 64, of which the compiler forgets how it came about: else it would drop the mask
 * as useless, and the verifier, which follows less arithmetic, would miss it. */
fw_inline __u32 fw_below_64(__u32 number)
{
	asm volatile("" : "+r"(number));
	return number & 63;
}

/* Fold of the first up to eight of `length` payload bytes behind a header of 8 to 60 bytes. They
 * are read with eight bytes that end where the wanted ones do: what stands before them is header,
 * and no loop is needed. 0 without payload, and where it was not captured. */
fw_inline __u16 fw_payload_fold(const __u8 *header, __u32 header_length, const void *end,
				__u32 length)
{
	__u32 wanted = length < 8 ? length : 8;
	const __u8 *window = header + fw_below_64(header_length - 8 + wanted);
	__u64 bytes;

	if (wanted == 0 || (const void *)(window + 8) > end)
		return 0;
	bytes = ((__u64)fw_load32(window) << 32) | fw_load32(window + 4);
	bytes <<= 64 - 8 * wanted;
	return fw_fold_payload((__u32)(bytes >> 32), (__u32)bytes);
}

/* RFC 9293 section 3.2: the kinds in order, and the segment size. `length` bytes of options, at
 * most 40, stand at `options` and were captured. A list that contradicts itself ends there; what
 * was read is kept, as tcp_parse_options in net/ipv4/tcp_input.c does. */
fw_inline void fw_parse_tcp_options(const __u8 *options, const void *end, __u32 length,
				    struct fw_packet *packet)
{
	__u32 at = 0;
	__u16 folded = 0;

	for (int walked = 0; walked < FW_TCP_OPTION_BYTES_MAX; walked++) {
		const __u8 *option, *next;
		__u32 size = 1;
		__u8 kind;

		/* The mask changes nothing: `at` is below `length`, so below 40. It is for the
		 * verifier, which forgets what it compared in earlier rounds. */
		at &= 63;
		if (at >= length)
			break;
		option = options + at;
		if ((const void *)(option + 1) > end)
			break;
		kind = option[0];
		if (kind == 0)
			break;
		if (kind != 1) {
			if ((const void *)(option + 2) > end)
				break;
			size = option[1];
			if (size < 2 || at + size > length)
				break;
			if (kind == 2 && size == 4) {
				if ((const void *)(option + 4) > end)
					break;
				packet->values[FW_DIM_MSS] = fw_load16(option + 2);
			}
		}
		folded = fw_fold_option(folded, kind);
		/* at += size, by way of a pointer: of a difference of pointers the verifier knows
		 * nothing, so that all rounds look alike to it and it need not follow them all. */
		next = option + size;
		asm volatile("" : "+r"(next));
		at = next - options;
	}
	packet->values[FW_DIM_OPTIONS] = folded;
}

fw_inline __u8 fw_tcp_class(__u8 flags, int has_payload)
{
	if (flags & FW_TCP_RST)
		return FW_CLASS_RST;
	if (flags & FW_TCP_SYN)
		return flags & FW_TCP_ACK ? FW_CLASS_SYN_ACK : FW_CLASS_SYN;
	if (flags & FW_TCP_FIN)
		return FW_CLASS_FIN;
	if (flags & FW_TCP_ACK)
		return has_payload ? FW_CLASS_DATA : FW_CLASS_ACK;
	return FW_CLASS_TCP_ODD;
}

/* Ports, which stand alike in TCP and UDP, and the marks that follow from them. */
fw_inline __u16 fw_parse_ports(const __u8 *header, struct fw_packet *packet)
{
	__u16 source = fw_load16(header);
	__u16 destination = fw_load16(header + 2);

	packet->values[FW_DIM_SOURCE_PORT] = source;
	packet->values[FW_DIM_DESTINATION_PORT] = destination;
	return (source == destination ? FW_TP_SAME_PORT : 0) |
	       (source < 1024 ? FW_TP_LOW_SOURCE_PORT : 0);
}

/* RFC 9293 section 3.1. */
fw_inline enum fw_parsed fw_parse_tcp(const __u8 *tcp, const void *end, struct fw_packet *packet,
				      const struct fw_body *body, int wants_options)
{
	__u32 header_length, payload_length;
	__u16 marks;
	__u8 flags;

	packet->class = FW_CLASS_TCP_ODD;
	if (body->length < 20) {
		packet->values[FW_DIM_TRANSPORT_MARKS] = FW_TP_CUT;
		return FW_PARSED_IP;
	}
	if ((const void *)(tcp + 20) > end)
		return FW_PARSED_TRUNCATED;
	packet->l4_offset = body->offset;
	marks = fw_parse_ports(tcp, packet);
	packet->sequence = fw_load32(tcp + 4);
	packet->acknowledgement = fw_load32(tcp + 8);
	flags = tcp[13];
	packet->values[FW_DIM_TCP_FLAGS] = flags;
	packet->values[FW_DIM_WINDOW] = fw_load16(tcp + 14);
	packet->values[FW_DIM_SEQUENCE] = fw_fold16(packet->sequence);
	if ((packet->sequence & 0xffff) == 0)
		marks |= FW_TP_SEQUENCE_LOW_ZERO;
	if (packet->acknowledgement == 0)
		marks |= FW_TP_ACK_ZERO;

	header_length = (tcp[12] >> 4) * 4;
	if (header_length < 20 || header_length > body->length) {
		packet->values[FW_DIM_TRANSPORT_MARKS] = marks | FW_TP_CUT;
		return FW_PARSED_IP;
	}
	if (header_length > 20) {
		if ((const void *)(tcp + header_length) > end)
			return FW_PARSED_TRUNCATED;
		if (wants_options || (flags & FW_TCP_SYN))
			fw_parse_tcp_options(tcp + 20, end, header_length - 20, packet);
	}
	payload_length = body->length - header_length;
	packet->payload_offset = body->offset + header_length;
	if (payload_length) {
		marks |= FW_TP_PAYLOAD;
		packet->values[FW_DIM_PAYLOAD] =
			fw_payload_fold(tcp, header_length, end, payload_length);
	}
	packet->class = fw_tcp_class(flags, payload_length != 0);
	packet->values[FW_DIM_TRANSPORT_MARKS] = marks;
	return FW_PARSED_IP;
}

/* RFC 768. The length field of a first fragment speaks about the whole datagram. Length 0 in IPv6
 * is a jumbogram (RFC 2675 section 4), which the stack takes as "to the end" in any packet
 * (__udp6_lib_rcv in net/ipv6/udp.c). */
fw_inline enum fw_parsed fw_parse_udp(const __u8 *udp, const void *end, struct fw_packet *packet,
				      const struct fw_body *body)
{
	__u32 datagram_length, payload_length;
	__u16 marks;

	packet->class = FW_CLASS_UDP;
	if (body->length < 8) {
		packet->values[FW_DIM_TRANSPORT_MARKS] = FW_TP_CUT;
		return FW_PARSED_IP;
	}
	if ((const void *)(udp + 8) > end)
		return FW_PARSED_TRUNCATED;
	packet->l4_offset = body->offset;
	packet->payload_offset = body->offset + 8;
	marks = fw_parse_ports(udp, packet);

	datagram_length = fw_load16(udp + 4);
	payload_length = body->length - 8;
	if (datagram_length < 8) {
		if (datagram_length || packet->version == 4)
			marks |= FW_TP_CUT;
	} else if (datagram_length > body->length) {
		if (!(packet->values[FW_DIM_IP_MARKS] & FW_IP_FIRST_FRAGMENT))
			marks |= FW_TP_CUT;
	} else {
		payload_length = datagram_length - 8;
	}
	if (payload_length) {
		marks |= FW_TP_PAYLOAD;
		packet->values[FW_DIM_PAYLOAD] = fw_payload_fold(udp, 8, end, payload_length);
	}
	packet->values[FW_DIM_TRANSPORT_MARKS] = marks;
	return FW_PARSED_IP;
}

/* RFC 792, RFC 4443 section 2.1: eight bytes that every kind has (icmp_rcv in net/ipv4/icmp.c and
 * icmpv6_rcv in net/ipv6/icmp.c ask for as many). */
fw_inline enum fw_parsed fw_parse_icmp(const __u8 *icmp, const void *end, struct fw_packet *packet,
				       const struct fw_body *body)
{
	packet->class = FW_CLASS_ICMP;
	if (body->length < 8) {
		packet->values[FW_DIM_TRANSPORT_MARKS] = FW_TP_CUT;
		return FW_PARSED_IP;
	}
	if ((const void *)(icmp + 8) > end)
		return FW_PARSED_TRUNCATED;
	packet->l4_offset = body->offset;
	packet->payload_offset = body->offset + 8;
	packet->values[FW_DIM_SOURCE_PORT] = icmp[0];
	packet->values[FW_DIM_DESTINATION_PORT] = icmp[1];
	return FW_PARSED_IP;
}

fw_inline enum fw_parsed fw_parse_transport(const __u8 *frame, const struct fw_cursor *cursor,
					    struct fw_packet *packet, const struct fw_body *body,
					    int wants_options)
{
	const __u8 *header = frame + (body->offset & FW_BODY_OFFSET_MASK);

	if (packet->values[FW_DIM_IP_MARKS] & FW_IP_LATER_FRAGMENT) {
		packet->class = FW_CLASS_FRAGMENT;
		return FW_PARSED_IP;
	}
	switch (packet->values[FW_DIM_PROTOCOL]) {
	case FW_PROTOCOL_TCP:
		return fw_parse_tcp(header, cursor->end, packet, body, wants_options);
	case FW_PROTOCOL_UDP:
		return fw_parse_udp(header, cursor->end, packet, body);
	case FW_PROTOCOL_ICMP:
	case FW_PROTOCOL_ICMPV6:
		return fw_parse_icmp(header, cursor->end, packet, body);
	}
	packet->class = FW_CLASS_OTHER;
	return FW_PARSED_IP;
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
	__u32 source_be;
	__u32 class; /* enum fw_class */
};

/* Whether the frame holds the plainest of packets, whole: untagged IPv4 without options and
 * fragments, and TCP or UDP behind it with all of its header. Of these fw_parse_frame says
 * FW_PARSED_IP, and the same source and class; of all others this says nothing. It is what a
 * banned source mostly sends, and takes a fraction of the time. */
fw_inline int fw_peek(const void *data, const void *end, struct fw_glance *glance)
{
	const __u8 *ethernet = data, *ip = ethernet + 14, *l4 = ip + 20;
	__u32 total_length, header_length;

	if ((const void *)(l4 + 8) > end || fw_load16(ethernet + 12) != FW_ETHER_IPV4)
		return 0;
	/* Of the fragment field all but "do not fragment" and the reserved bit must be 0. */
	if (ip[0] != 0x45 || (fw_load16(ip + 6) & 0x3fff))
		return 0;
	total_length = fw_load16(ip + 2);
	if (total_length < 28 || (const void *)(ip + total_length) > end)
		return 0;
	glance->source_be = fw_load_raw32(ip + 12);
	glance->class = FW_CLASS_UDP;
	if (ip[9] == FW_PROTOCOL_UDP)
		return 1;
	if (ip[9] != FW_PROTOCOL_TCP || (const void *)(l4 + 20) > end)
		return 0;
	header_length = (l4[12] >> 4) * 4;
	if (header_length < 20 || header_length + 20 > total_length)
		return 0;
	glance->class = fw_tcp_class(l4[13], header_length + 20 != total_length);
	return 1;
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
