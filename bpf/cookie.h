/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The SYN proof: in flood state a SYN is answered here with the kernel's own SYN cookie, and the
 * kernel hears of the connection only when the cookie comes back. A spoofed SYN so costs no memory
 * and no wake-up (RFC 4987 section 3.6).
 *
 * The SYN-ACK carries the segment size and nothing else: a cookie has no room for window scaling
 * or selective acknowledgements, and the timestamp that could carry them would have to be read
 * from the kernel's own clock. Connections made during a flood are slower and work.
 *
 * It must never answer what is not a SYN to a port that has a listener, and never send more bytes
 * than it was sent, but for padding. What it cannot answer is the kernel's, which sends cookies of
 * its own.
 */
#ifndef FLOODWALL_COOKIE_H
#define FLOODWALL_COOKIE_H

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>

#include "maps.h"
#include "sanity.h"

/* TCP header with the one option that a cookie remembers. */
struct fw_tcp {
	struct tcphdr header;
	__u8 mss_kind; /* 2, RFC 9293 section 3.2 */
	__u8 mss_length;
	__be16 mss;
};
struct fw_reply_v4 {
	struct iphdr ip;
	struct fw_tcp tcp;
};
struct fw_reply_v6 {
	struct ipv6hdr ip;
	struct fw_tcp tcp;
};

/* Least Ethernet frame without its checksum; some drivers do not pad what XDP sends back. */
#define FW_FRAME_MIN ETH_ZLEN

/* Furthest that an IP header can be from the start: behind FW_VLAN_TAGS_MAX tags. Also the mask
 * that tells the verifier so. */
#define FW_L3_MASK 31

/* As Linux offers at first. */
#define FW_COOKIE_WINDOW 64240
#define FW_COOKIE_TTL 64

/* The TCP header that `packet` had, as far as the cookie helpers look at it: they read ports,
 * numbers, flags and the segment size (bpf_tcp_raw_gen_syncookie_ipv4 in net/core/filter.c), so no
 * variable length of packet has to be shown to the verifier. */
fw_inline void fw_write_tcp(struct fw_tcp *tcp, const struct fw_packet *packet)
{
	__builtin_memset(tcp, 0, sizeof(*tcp));
	tcp->header.source = bpf_htons(packet->values[FW_DIM_SOURCE_PORT]);
	tcp->header.dest = bpf_htons(packet->values[FW_DIM_DESTINATION_PORT]);
	tcp->header.seq = bpf_htonl(packet->sequence);
	tcp->header.ack_seq = bpf_htonl(packet->acknowledgement);
	tcp->header.doff = sizeof(*tcp) / 4;
	tcp->header.syn = (packet->values[FW_DIM_TCP_FLAGS] & FW_TCP_SYN) != 0;
	tcp->header.ack = (packet->values[FW_DIM_TCP_FLAGS] & FW_TCP_ACK) != 0;
	tcp->mss_kind = 2;
	tcp->mss_length = 4;
	/* RFC 9293 section 3.7.1: 536 and 1220 where the peer says nothing. */
	tcp->mss = bpf_htons(packet->values[FW_DIM_MSS]   ? packet->values[FW_DIM_MSS]
			     : packet->version == 4 ? 536
						    : 1220);
}

fw_inline void fw_write_v4(struct fw_reply_v4 *header, const struct fw_packet *packet)
{
	__builtin_memset(&header->ip, 0, sizeof(header->ip));
	header->ip.version = 4;
	header->ip.ihl = 5;
	header->ip.protocol = FW_PROTO_TCP;
	header->ip.saddr = *(const __be32 *)packet->source;
	header->ip.daddr = *(const __be32 *)packet->destination;
	fw_write_tcp(&header->tcp, packet);
}

fw_inline void fw_write_v6(struct fw_reply_v6 *header, const struct fw_packet *packet)
{
	__builtin_memset(&header->ip, 0, sizeof(header->ip));
	header->ip.version = 6;
	header->ip.nexthdr = FW_PROTO_TCP;
	__builtin_memcpy(&header->ip.saddr, packet->source, 16);
	__builtin_memcpy(&header->ip.daddr, packet->destination, 16);
	fw_write_tcp(&header->tcp, packet);
}

/* Whether `packet`, an ACK, brings back a cookie of this host's, as far as can be told without its
 * listener. */
static __attribute__((noinline)) int fw_cookie_is_valid(const struct fw_packet *packet)
{
	if (packet->version == 4) {
		struct fw_reply_v4 header;

		fw_write_v4(&header, packet);
		return bpf_tcp_raw_check_syncookie_ipv4(&header.ip, &header.tcp.header) == 0;
	} else {
		struct fw_reply_v6 header;

		fw_write_v6(&header, packet);
		return bpf_tcp_raw_check_syncookie_ipv6(&header.ip, &header.tcp.header) == 0;
	}
}

/* Whether `listener` takes `packet`, an ACK, for one that brings back a cookie. The helper asks what the
 * kernel asks when the packet reaches it, and first whether the listener overflowed in the last two
 * minutes (tcp_synq_no_recent_overflow; TCP_SYNCOOKIE_VALID in include/net/tcp.h): before it did, no
 * cookie of its can be on the way, and a flood of ACKs costs no hash of the addresses. The kernel
 * notes the overflow before it sends the cookie (tcp_conn_request in net/ipv4/tcp_input.c), and the
 * SYN proof before it sends one (fw_stamp_listener), so that no visitor's ACK comes too early. */
fw_inline int fw_listener_takes_cookie(struct bpf_sock *listener, const struct fw_packet *packet)
{
	if (packet->version == 4) {
		struct fw_reply_v4 header;

		fw_write_v4(&header, packet);
		return bpf_tcp_check_syncookie(listener, &header.ip, sizeof(header.ip),
					       &header.tcp.header, sizeof(header.tcp)) == 0;
	} else {
		struct fw_reply_v6 header;

		fw_write_v6(&header, packet);
		return bpf_tcp_check_syncookie(listener, &header.ip, sizeof(header.ip),
					       &header.tcp.header, sizeof(header.tcp)) == 0;
	}
}

/* The kernel takes a cookie only while it remembers an overflow of the listener's queue
 * (tcp_synq_no_recent_overflow in include/net/tcp.h). bpf_tcp_gen_syncookie notes one. Once a
 * second and port is plenty. 0: there is no listener, and the kernel shall say so itself. */
static __attribute__((noinline)) int fw_stamp_listener(struct xdp_md *ctx,
							const struct fw_packet *packet)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *listener;
	__s64 made;

	if (packet->version == 4) {
		struct fw_reply_v4 header;

		fw_write_v4(&header, packet);
		tuple.ipv4.saddr = header.ip.saddr;
		tuple.ipv4.daddr = header.ip.daddr;
		tuple.ipv4.sport = header.tcp.header.source;
		tuple.ipv4.dport = header.tcp.header.dest;
		listener = bpf_sk_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
		if (!listener)
			return 0;
		made = bpf_tcp_gen_syncookie(listener, &header.ip, sizeof(header.ip),
					     &header.tcp.header, sizeof(header.tcp));
	} else {
		struct fw_reply_v6 header;

		fw_write_v6(&header, packet);
		__builtin_memcpy(tuple.ipv6.saddr, packet->source, 16);
		__builtin_memcpy(tuple.ipv6.daddr, packet->destination, 16);
		tuple.ipv6.sport = header.tcp.header.source;
		tuple.ipv6.dport = header.tcp.header.dest;
		listener = bpf_sk_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
		if (!listener)
			return 0;
		made = bpf_tcp_gen_syncookie(listener, &header.ip, sizeof(header.ip),
					     &header.tcp.header, sizeof(header.tcp));
	}
	bpf_sk_release(listener);
	return made > 0;
}

/* Cookie in the low half, segment size that it stands for above; negative on failure. */
static __attribute__((noinline)) __s64 fw_make_cookie(const struct fw_packet *packet)
{
	if (packet->version == 4) {
		struct fw_reply_v4 header;

		fw_write_v4(&header, packet);
		return bpf_tcp_raw_gen_syncookie_ipv4(&header.ip, &header.tcp.header,
						      sizeof(header.tcp));
	} else {
		struct fw_reply_v6 header;

		fw_write_v6(&header, packet);
		return bpf_tcp_raw_gen_syncookie_ipv6(&header.ip, &header.tcp.header,
						      sizeof(header.tcp));
	}
}

/* RFC 1071. The words are added as they stand; the sum folds to the same checksum in either byte
 * order. */
fw_inline __u16 fw_fold_sum(__u64 sum)
{
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return ~(__u16)sum;
}

/* `size`, a multiple of four and constant, bytes as words. */
fw_inline __u64 fw_sum(const void *bytes, int size)
{
	const __u32 *words = bytes;
	__u64 sum = 0;

#pragma unroll
	for (int word = 0; word < size / 4; word++)
		sum += words[word];
	return sum;
}

/* Turns the header of the SYN into that of the SYN-ACK, but for the IP header. */
fw_inline void fw_write_syn_ack(struct fw_tcp *tcp, const struct fw_packet *packet, __u32 cookie,
				__u16 mss)
{
	tcp->header.source = bpf_htons(packet->values[FW_DIM_DESTINATION_PORT]);
	tcp->header.dest = bpf_htons(packet->values[FW_DIM_SOURCE_PORT]);
	tcp->header.seq = bpf_htonl(cookie);
	tcp->header.ack_seq = bpf_htonl(packet->sequence + 1);
	tcp->header.syn = 1;
	tcp->header.ack = 1;
	tcp->header.window = bpf_htons(FW_COOKIE_WINDOW);
	tcp->mss = bpf_htons(mss);
}

/* Swaps who sent the frame and whom it is for. VLAN tags stay. */
fw_inline void fw_turn_around(struct ethhdr *ethernet)
{
	__u8 held[ETH_ALEN];

	__builtin_memcpy(held, ethernet->h_dest, ETH_ALEN);
	__builtin_memcpy(ethernet->h_dest, ethernet->h_source, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, held, ETH_ALEN);
}

/* Makes the frame just as long as the reply. */
fw_inline int fw_resize(struct xdp_md *ctx, __u32 wanted)
{
	int delta = (int)wanted - (int)(ctx->data_end - ctx->data);

	return !delta || !bpf_xdp_adjust_tail(ctx, delta);
}

/* Overwrites the SYN with its answer. 0 when the driver does not let frames grow or shrink; the SYN
 * is then as it was. The checks behind fw_resize are the verifier's and always hold. */
static __attribute__((noinline)) int fw_answer_v4(struct xdp_md *ctx,
						   const struct fw_packet *packet, __u32 cookie,
						   __u16 mss)
{
	__u32 l3 = packet->l3_offset & FW_L3_MASK;
	__u32 end = l3 + sizeof(struct fw_reply_v4);
	struct fw_reply_v4 reply;
	__u64 sum;
	void *data, *data_end, *place;

	fw_write_v4(&reply, packet);
	fw_write_syn_ack(&reply.tcp, packet, cookie, mss);
	reply.ip.saddr = *(const __be32 *)packet->destination;
	reply.ip.daddr = *(const __be32 *)packet->source;
	reply.ip.tot_len = bpf_htons(sizeof(reply));
	reply.ip.frag_off = bpf_htons(0x4000);
	reply.ip.ttl = FW_COOKIE_TTL;
	reply.ip.check = fw_fold_sum(fw_sum(&reply.ip, sizeof(reply.ip)));
	sum = fw_sum(&reply.tcp, sizeof(reply.tcp)) + reply.ip.saddr + (__u64)reply.ip.daddr +
	      bpf_htons(FW_PROTO_TCP) + bpf_htons(sizeof(reply.tcp));
	reply.tcp.header.check = fw_fold_sum(sum);

	if (!fw_resize(ctx, end < FW_FRAME_MIN ? FW_FRAME_MIN : end))
		return 0;
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	if (data + sizeof(struct ethhdr) > data_end)
		return 0;
	fw_turn_around(data);
	place = data + l3;
	if (place + sizeof(reply) > data_end)
		return 0;
	__builtin_memcpy(place, &reply, sizeof(reply));
	return 1;
}

/* Likewise. */
static __attribute__((noinline)) int fw_answer_v6(struct xdp_md *ctx,
						   const struct fw_packet *packet, __u32 cookie,
						   __u16 mss)
{
	__u32 l3 = packet->l3_offset & FW_L3_MASK;
	struct fw_reply_v6 reply;
	__u64 sum;
	void *data, *data_end, *place;

	fw_write_v6(&reply, packet);
	fw_write_syn_ack(&reply.tcp, packet, cookie, mss);
	__builtin_memcpy(&reply.ip.saddr, packet->destination, 16);
	__builtin_memcpy(&reply.ip.daddr, packet->source, 16);
	reply.ip.payload_len = bpf_htons(sizeof(reply.tcp));
	reply.ip.hop_limit = FW_COOKIE_TTL;
	sum = fw_sum(&reply.tcp, sizeof(reply.tcp)) + fw_sum(&reply.ip.saddr, 32) +
	      bpf_htons(FW_PROTO_TCP) + bpf_htons(sizeof(reply.tcp));
	reply.tcp.header.check = fw_fold_sum(sum);

	if (!fw_resize(ctx, l3 + sizeof(reply)))
		return 0;
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	if (data + sizeof(struct ethhdr) > data_end)
		return 0;
	fw_turn_around(data);
	place = data + l3;
	if (place + sizeof(reply) > data_end)
		return 0;
	__builtin_memcpy(place, &reply, sizeof(reply));
	return 1;
}

/* Makes room in front of the frame for the seal by which answers.bpf.c knows it. 0 where the driver
 * hands no such bytes to the stack. */
fw_inline int fw_make_room(struct xdp_md *ctx)
{
	return !bpf_xdp_adjust_meta(ctx, -(int)sizeof(__u64));
}

/* Writes into that room: fw_key, which nobody outside knows, for an answer, or 0. */
fw_inline void fw_write_seal(struct xdp_md *ctx, __u64 seal)
{
	__u64 *room = (void *)(long)ctx->data_meta;

	if ((void *)(room + 1) <= (void *)(long)ctx->data)
		*room = seal;
}

/* The port that `packet`, a SYN, asks to be proved for. None: it is the kernel's, as are fragments of
 * a SYN and SYNs over tunnels. */
fw_inline struct fw_port *fw_proved_port(const struct fw_packet *packet)
{
	__u32 number = packet->values[FW_DIM_DESTINATION_PORT];
	struct fw_port *port = bpf_map_lookup_elem(&fw_ports, &number);

	if (!port || !(port->services & FW_SERVICE_TCP) ||
	    (packet->values[FW_DIM_IP_MARKS] & FW_IP_FIRST_FRAGMENT))
		return 0;
	return port;
}

/* What becomes of a SYN to `port` while the proof is asked: FW_REASON_COOKIE_SENT when it is answered,
 * FW_REASON_NO_OBJECTION when it is the kernel's business. */
fw_inline enum fw_reason fw_prove_syn(struct xdp_md *ctx, const struct fw_packet *packet,
				      struct fw_port *port, struct fw_policy *policy,
				      struct fw_counts *counts, __u32 guards, __u32 now)
{
	__u32 mss = packet->version == 4 ? policy->mss & 0xffff : policy->mss >> 16;
	__s64 cookie;
	int sent;

	if (now - port->stamped >= policy->second) {
		if (!fw_stamp_listener(ctx, packet))
			return FW_REASON_NO_OBJECTION;
		port->stamped = now;
	}
	cookie = fw_make_cookie(packet);
	if (cookie < 0 || ((guards & FW_GUARD_VIA_STACK) && !fw_make_room(ctx))) {
		counts->unanswered++;
		return FW_REASON_NO_OBJECTION;
	}
	sent = packet->version == 4 ? fw_answer_v4(ctx, packet, cookie, mss)
				    : fw_answer_v6(ctx, packet, cookie, mss);
	if (guards & FW_GUARD_VIA_STACK)
		fw_write_seal(ctx, sent ? fw_key : 0);
	if (!sent) {
		counts->unanswered++;
		return FW_REASON_NO_OBJECTION;
	}
	return FW_REASON_COOKIE_SENT;
}

#endif
