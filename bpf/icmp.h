/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * How much the network needs an ICMP message: the twin of IcmpNeed in floodwall_model::packet, which
 * gives the reasons and the RFC sections one by one. A test asks both about every type, code and hop
 * limit.
 *
 * It looks at struct fw_packet alone and must never include anything but abi.h and sanity.h.
 */
#ifndef FLOODWALL_ICMP_H
#define FLOODWALL_ICMP_H

#include "abi.h"
#include "sanity.h"

/* IcmpNeed. */
enum fw_icmp_need {
	FW_ICMP_VITAL = 0,
	FW_ICMP_ERROR = 1,
	FW_ICMP_QUESTION = 2,
};

/* RFC 792, RFC 4443 section 4. */
#define FW_ICMP_ECHO 8
#define FW_ICMP_ECHO_REPLY 0
#define FW_ICMP6_ECHO 128
#define FW_ICMP6_ECHO_REPLY 129

fw_inline int fw_is_icmp(__u32 protocol)
{
	return protocol == FW_PROTO_ICMP || protocol == FW_PROTO_ICMP6;
}

/* Fragmentation needed (RFC 1191 section 4). */
fw_inline enum fw_icmp_need fw_icmp_need_v4(__u32 type, __u32 code)
{
	if (type == 3 && code == 4)
		return FW_ICMP_VITAL;
	return type == 3 || type == 5 || type == 11 || type == 12 ? FW_ICMP_ERROR
								   : FW_ICMP_QUESTION;
}

/* Packet too big (RFC 8201 section 4); neighbours and routers, whom no router has touched (RFC 4861
 * section 7.1); who listens to multicast, from a link-local address (RFC 3810 section 5). */
fw_inline enum fw_icmp_need fw_icmp_need_v6(const struct fw_packet *packet, __u32 type)
{
	__u32 hops = packet->values[FW_DIM_TTL];

	if (type == 2)
		return FW_ICMP_VITAL;
	if (hops == 255 && ((type >= 133 && type <= 137) || type == 141 || type == 142 ||
			    type == 148 || type == 149))
		return FW_ICMP_VITAL;
	if (hops == 1 && packet->source[0] == 0xfe && (packet->source[1] & 0xc0) == 0x80 &&
	    ((type >= 130 && type <= 132) || type == 143 || (type >= 151 && type <= 153)))
		return FW_ICMP_VITAL;
	return type == 1 || type == 3 || type == 4 ? FW_ICMP_ERROR : FW_ICMP_QUESTION;
}

/* Of a packet whose protocol fw_is_icmp. No vital message is ever fragmented (RFC 1122 section
 * 3.2.2, RFC 4443 section 2.4(c), RFC 6980 section 5). */
fw_inline enum fw_icmp_need fw_icmp_need(const struct fw_packet *packet)
{
	int is_v4 = packet->values[FW_DIM_PROTOCOL] == FW_PROTO_ICMP;

	if ((packet->values[FW_DIM_IP_MARKS] & (FW_IP_FIRST_FRAGMENT | FW_IP_LATER_FRAGMENT)) ||
	    is_v4 != (packet->version == 4))
		return FW_ICMP_QUESTION;
	return is_v4 ? fw_icmp_need_v4(packet->values[FW_DIM_SOURCE_PORT],
				       packet->values[FW_DIM_DESTINATION_PORT])
		     : fw_icmp_need_v6(packet, packet->values[FW_DIM_SOURCE_PORT]);
}

/* The type of the request that `packet` answers, or -1 where it is no echo reply. */
fw_inline int fw_icmp_request_of(const struct fw_packet *packet)
{
	__u32 type = packet->values[FW_DIM_SOURCE_PORT];

	if (!packet->l4_offset)
		return -1;
	if (packet->version == 4)
		return type == FW_ICMP_ECHO_REPLY ? FW_ICMP_ECHO : -1;
	return type == FW_ICMP6_ECHO_REPLY ? FW_ICMP6_ECHO : -1;
}

/* Whether `packet` is an echo request. */
fw_inline int fw_icmp_is_request(const struct fw_packet *packet)
{
	__u32 type = packet->values[FW_DIM_SOURCE_PORT];

	return packet->l4_offset &&
	       type == (packet->version == 4 ? FW_ICMP_ECHO : FW_ICMP6_ECHO);
}

#endif
