/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Packets that no working stack sends to another host, whatever it wants, or that every receiver
 * discards: these may be dropped at any time, attack or not. What is merely rare or old-fashioned
 * is none of them and must pass. docs/decisions/0008-kernel-filter.md justifies each kind.
 *
 * It looks at struct fw_packet alone and must never include anything but abi.h.
 */
#ifndef FLOODWALL_SANITY_H
#define FLOODWALL_SANITY_H

#include "abi.h"

/* IP protocol numbers (IANA). */
#define FW_PROTO_ICMP 1
#define FW_PROTO_IGMP 2
#define FW_PROTO_TCP 6
#define FW_PROTO_UDP 17
#define FW_PROTO_ICMP6 58

/* TCP flags, byte 13 of the header (RFC 9293 section 3.1). */
#define FW_TCP_FIN 0x01
#define FW_TCP_SYN 0x02
#define FW_TCP_RST 0x04
#define FW_TCP_PSH 0x08
#define FW_TCP_ACK 0x10
#define FW_TCP_URG 0x20

/* Flags that no receiver acts upon together: SYN with FIN or RST, none of the six at all, and
 * FIN without ACK, the "Xmas" packet among them (RFC 9293 sections 3.10.7.2 and 3.10.7.4). ECN's
 * two bits say nothing here (RFC 3168). */
fw_inline int fw_flags_are_impossible(__u32 flags)
{
	flags &= 0x3f;
	return !flags || ((flags & FW_TCP_SYN) && (flags & (FW_TCP_FIN | FW_TCP_RST))) ||
	       (flags & (FW_TCP_FIN | FW_TCP_ACK)) == FW_TCP_FIN;
}

/* 16 bytes as four words; memcpy, since the host's copy may stand anywhere. */
struct fw_words {
	__u32 word[4];
};

fw_inline struct fw_words fw_words_of(const __u8 *address)
{
	struct fw_words words;

	__builtin_memcpy(&words, address, sizeof(words));
	return words;
}

fw_inline int fw_is_same(const struct fw_words *a, const struct fw_words *b)
{
	return !((a->word[0] ^ b->word[0]) | (a->word[1] ^ b->word[1]) |
		 (a->word[2] ^ b->word[2]) | (a->word[3] ^ b->word[3]));
}

/* ::1, or 127.0.0.0/8. */
fw_inline int fw_is_loopback(const struct fw_packet *packet, const __u8 *address)
{
	struct fw_words words;

	if (packet->version == 4)
		return address[0] == 127;
	if (address[15] != 1)
		return 0;
	words = fw_words_of(address);
	return !(words.word[0] | words.word[1] | words.word[2]) && !(address[12] | address[13]) &&
	       !address[14];
}

/* Where who has no address yet may speak to: everybody on the link, and the multicast groups that
 * stay on it. The stack takes such packets from 0.0.0.0 and no others (ip_route_input_slow and
 * ip_mc_validate_source in net/ipv4/route.c). */
fw_inline int fw_is_for_the_link_v4(const __u8 *to)
{
	return (to[0] & to[1] & to[2] & to[3]) == 255 || (to[0] == 224 && !(to[1] | to[2]));
}

/* RFC 1122 section 3.2.1.3. 0.0.0.0 is the rightful source of who has no address yet: DHCP clients
 * (RFC 2131 section 4.1), IGMP reports (RFC 3376 section 4.2.13), and whatever else is for the link
 * alone. */
fw_inline int fw_is_martian_v4(const struct fw_packet *packet)
{
	__u8 first = packet->source[0];

	if (first != 0 && first != 127 && first < 224)
		return 0;
	if (first == 127)
		return packet->destination[0] != 127;
	if (first != 0) /* 240.0.0.0/4 is unassigned, not impossible; 255.255.255.255 is */
		return first < 240 || (first == 255 && packet->source[1] == 255 &&
				       packet->source[2] == 255 && packet->source[3] == 255);
	if (packet->source[1] | packet->source[2] | packet->source[3])
		return 1;
	if (packet->values[FW_DIM_PROTOCOL] == FW_PROTO_IGMP ||
	    fw_is_for_the_link_v4(packet->destination))
		return 0;
	return packet->values[FW_DIM_PROTOCOL] != FW_PROTO_UDP ||
	       packet->values[FW_DIM_SOURCE_PORT] != 68;
}

/* RFC 4291 sections 2.5.2, 2.5.3 and 2.7. The unspecified address is the rightful source of
 * duplicate address detection (RFC 4862 section 5.4.2, ICMPv6); DHCPv6 clients use a link-local
 * one (RFC 8415 section 18.2), some early in boot do not. */
fw_inline int fw_is_martian_v6(const struct fw_packet *packet)
{
	struct fw_words words;
	__u32 protocol;

	if (packet->source[0] == 0xff)
		return 1;
	if (packet->source[0] != 0)
		return 0;
	words = fw_words_of(packet->source);
	if (words.word[0] | words.word[1] | words.word[2])
		return 0;
	if (fw_is_loopback(packet, packet->source))
		return !fw_is_loopback(packet, packet->destination);
	if (words.word[3])
		return 0;
	protocol = packet->values[FW_DIM_PROTOCOL];
	if (protocol == FW_PROTO_ICMP6)
		return 0;
	return protocol != FW_PROTO_UDP || packet->values[FW_DIM_SOURCE_PORT] != 546;
}

/* The attack of 1997 that made a host answer itself. Over loopback a program may well talk to
 * itself from one port (a TCP self-connection). */
fw_inline int fw_is_land(const struct fw_packet *packet)
{
	struct fw_words source, destination;

	if (!(packet->values[FW_DIM_TRANSPORT_MARKS] & FW_TP_SAME_PORT))
		return 0;
	source = fw_words_of(packet->source);
	destination = fw_words_of(packet->destination);
	return fw_is_same(&source, &destination) && !fw_is_loopback(packet, packet->source);
}

/* Every link carries 68 bytes of IPv4 in one piece (RFC 791 section 3.2). */
#define FW_IPV4_MTU_MIN 68

/* A first fragment that ends inside its TCP header. That header takes up to 60 bytes, so one of 68
 * bytes or more may be a router's work; a shorter one is cut on purpose, to hide what is in it
 * (RFC 1858 section 3). In IPv6 all headers stand in the first fragment (RFC 7112 section 5). */
fw_inline int fw_was_cut_by_a_router(const struct fw_packet *packet)
{
	return packet->version == 4 && packet->values[FW_DIM_PROTOCOL] == FW_PROTO_TCP &&
	       (packet->values[FW_DIM_IP_MARKS] & FW_IP_FIRST_FRAGMENT) &&
	       packet->values[FW_DIM_LENGTH] >= FW_IPV4_MTU_MIN;
}

/* Nobody can be reached at port 0 (RFC 6335 section 6). From it come UDP whose sender wants no
 * answer (RFC 768) and the refusal of TCP that somebody sent to port 0. */
fw_inline int fw_has_port_zero(const struct fw_packet *packet)
{
	if (!packet->values[FW_DIM_DESTINATION_PORT])
		return 1;
	return !packet->values[FW_DIM_SOURCE_PORT] &&
	       packet->values[FW_DIM_PROTOCOL] == FW_PROTO_TCP &&
	       !(packet->values[FW_DIM_TCP_FLAGS] & FW_TCP_RST);
}

/* FW_REASON_NO_OBJECTION, or what is wrong with `packet`. */
fw_inline enum fw_reason fw_sanity(const struct fw_packet *packet)
{
	__u32 protocol = packet->values[FW_DIM_PROTOCOL];
	int later = packet->values[FW_DIM_IP_MARKS] & FW_IP_LATER_FRAGMENT;

	if (packet->version == 4 ? fw_is_martian_v4(packet) : fw_is_martian_v6(packet))
		return FW_REASON_MARTIAN_SOURCE;
	if (later)
		return FW_REASON_NO_OBJECTION;
	if (packet->values[FW_DIM_TRANSPORT_MARKS] & FW_TP_CUT)
		return fw_was_cut_by_a_router(packet) ? FW_REASON_NO_OBJECTION :
							FW_REASON_HEADER_TOO_SHORT;
	if ((protocol != FW_PROTO_TCP && protocol != FW_PROTO_UDP) || !packet->l4_offset)
		return FW_REASON_NO_OBJECTION;
	if (protocol == FW_PROTO_TCP &&
	    fw_flags_are_impossible(packet->values[FW_DIM_TCP_FLAGS]))
		return FW_REASON_IMPOSSIBLE_FLAGS;
	if (fw_is_land(packet))
		return FW_REASON_LAND;
	if (fw_has_port_zero(packet))
		return FW_REASON_PORT_ZERO;
	return FW_REASON_NO_OBJECTION;
}

#endif
