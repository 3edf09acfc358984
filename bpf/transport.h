/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * TCP, UDP and ICMP headers. Part of parse.h, which says what holds for all of it.
 *
 * What a transport header says wrongly about itself is a fact (FW_TP_CUT) and no parse error.
 */
#ifndef FLOODWALL_TRANSPORT_H
#define FLOODWALL_TRANSPORT_H

#include "cursor.h"

/* TCP options take at most 40 bytes (RFC 9293 section 3.1), so there are at most 40. */
#define FW_TCP_OPTION_BYTES_MAX 40

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

#endif
