/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What is known of one packet: the names and numbers that parser, rules, loader and engine share.
 * floodwall_model::packet repeats them in Rust; a test holds the two together.
 *
 * It must never include anything but <linux/types.h>, so that it compiles on the host too.
 */
#ifndef FLOODWALL_PACKET_H
#define FLOODWALL_PACKET_H

#include <linux/types.h>

/* What a rule may look at (PacketAttr). Up to FW_DIM_TTL a value has 8 bits, from
 * FW_DIM_SOURCE_PORT on 16. All values are in host byte order. */
enum fw_dimension {
	FW_DIM_PROTOCOL = 0,         /* IP protocol behind IPv6 extension headers */
	FW_DIM_TCP_FLAGS = 1,        /* byte 13 of the TCP header; 0 for others */
	FW_DIM_IP_MARKS = 2,         /* enum fw_ip_mark */
	FW_DIM_TRANSPORT_MARKS = 3,  /* enum fw_transport_mark */
	FW_DIM_TTL = 4,              /* TTL or hop limit */
	FW_DIM_SOURCE_PORT = 5,      /* TCP, UDP; ICMP type; 0 where there is none */
	FW_DIM_DESTINATION_PORT = 6, /* TCP, UDP; ICMP code; 0 where there is none */
	FW_DIM_LENGTH = 7,           /* IPv4 total length; IPv6 payload length + 40, at most 65535 */
	FW_DIM_WINDOW = 8,           /* TCP window as sent */
	FW_DIM_OPTIONS = 9,          /* TCP: fw_fold_options over the kinds in order; 0 without */
	FW_DIM_MSS = 10,             /* TCP MSS option; 0 without */
	FW_DIM_ID = 11,              /* identification; of an IPv6 fragment folded, else 0 for IPv6 */
	FW_DIM_SEQUENCE = 12,        /* TCP: fw_fold16(sequence number) */
	FW_DIM_PAYLOAD = 13,         /* fold of the first 8 payload bytes of TCP and UDP; 0 without */
	FW_DIM_DESTINATION = 14,     /* fold of the destination address */
	FW_DIMS = 15,
};

/* Dimensions with 8-bit values. */
#define FW_DIMS_NARROW 5

/* FW_DIM_IP_MARKS (IpMark). */
enum fw_ip_mark {
	FW_IP_FIRST_FRAGMENT = 0x01,
	FW_IP_LATER_FRAGMENT = 0x02,
	FW_IP_DONT_FRAGMENT = 0x04,
	FW_IP_ID_ZERO = 0x08,  /* IPv4 only */
	FW_IP_OPTIONS = 0x10,  /* IPv4 options or IPv6 extension headers */
	FW_IP_TUNNEL = 0x20,   /* protocol is GRE, IP-in-IP or IPv6-in-IP */
	FW_IP_V6 = 0x40,
	FW_IP_RESERVED = 0x80, /* IPv4 reserved flag bit */
};

/* FW_DIM_TRANSPORT_MARKS (TransportMark). Only on packets whose transport header was read. */
enum fw_transport_mark {
	FW_TP_SOLICITED = 0x01,         /* never set by the parser */
	FW_TP_SEQUENCE_LOW_ZERO = 0x02, /* TCP, sequence % 65536 == 0 */
	FW_TP_ACK_ZERO = 0x04,          /* TCP, acknowledgement == 0 */
	FW_TP_SAME_PORT = 0x08,         /* TCP, UDP: source port == destination port */
	FW_TP_PAYLOAD = 0x10,           /* TCP, UDP: bytes behind the transport header */
	FW_TP_LOW_SOURCE_PORT = 0x20,   /* TCP, UDP: source port < 1024 */
	FW_TP_CUT = 0x40,               /* TCP, UDP, ICMP: header shorter than its minimum, or its
					 * own length field contradicts the packet */
};

/* Kinds of packets counted apart (PacketClass). */
enum fw_class {
	FW_CLASS_NOT_IP = 0,
	FW_CLASS_SYN = 1,      /* SYN without ACK and RST */
	FW_CLASS_SYN_ACK = 2,  /* SYN and ACK without RST */
	FW_CLASS_RST = 3,      /* RST */
	FW_CLASS_FIN = 4,      /* FIN without SYN and RST */
	FW_CLASS_ACK = 5,      /* ACK without SYN, RST, FIN and payload */
	FW_CLASS_DATA = 6,     /* ACK and payload without SYN, RST, FIN */
	FW_CLASS_TCP_ODD = 7,  /* any other TCP whose header was read, and TCP cut short */
	FW_CLASS_UDP = 8,
	FW_CLASS_ICMP = 9,     /* ICMP and ICMPv6 */
	FW_CLASS_FRAGMENT = 10, /* FW_IP_LATER_FRAGMENT, whatever the protocol */
	FW_CLASS_OTHER = 11,
	FW_CLASSES = 12,
};

/* What the parser makes of a packet. */
struct fw_packet {
	__u8 source[16];      /* network order; IPv4 in the first four bytes, the rest 0 */
	__u8 destination[16]; /* likewise */
	__u32 sequence;       /* TCP, host order */
	__u32 acknowledgement;
	__u16 values[FW_DIMS + 1]; /* by enum fw_dimension; one more for alignment, 0 */
	__u16 l3_offset;       /* of the IP header, from the start of the frame */
	__u16 l4_offset;       /* of the transport header; 0 where none was read */
	__u16 payload_offset;  /* of what is behind it; 0 where none was read */
	__u8 version;          /* 4 or 6; 0 unless parsed */
	__u8 class;            /* enum fw_class */
};

/* Folds 32 bits to 16; 0 stays 0 and nothing else becomes 0 (floodwall_model::packet::fold16). */
static inline __attribute__((always_inline)) __u16 fw_fold16(__u32 value)
{
	__u16 high = (__u16)((value * 0x9e3779b1u) >> 16);

	return value == 0 ? 0 : (high ? high : 1);
}

/* One step of the fold over option kinds, in order, no-operations included, end-of-list excluded:
 * folded = fw_fold_option(folded, kind), from 0. Never returns 0. */
static inline __attribute__((always_inline)) __u16 fw_fold_option(__u16 folded, __u8 kind)
{
	return fw_fold16(((__u32)folded << 8) + kind + 1);
}

/* Two words of payload, missing bytes 0, read as big-endian. Never returns 0. */
static inline __attribute__((always_inline)) __u16 fw_fold_payload(__u32 first, __u32 second)
{
	return fw_fold16((first ^ (second * 0x85ebca6bu)) | 1u);
}

#endif
