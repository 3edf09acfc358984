/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The guards of the flood state: proofs asked of packets that no signature tells apart. Each drops
 * only what it can prove to be useless to this host; of ICMP, which proves nothing, it drops what
 * exceeds a rate.
 *
 * "This host" is taken literally: what is only forwarded has no sockets and no questions here, so
 * the guards look at packets to the addresses in fw_local and at no others. The look is the last
 * one before a drop, so that wanted packets do not pay for it.
 *
 * None of it may run at rest but the share of each source, where the operator gave one; and none may drop what it could not look up.
 */
#ifndef FLOODWALL_GUARDS_H
#define FLOODWALL_GUARDS_H

#include <bpf/bpf_endian.h>

#include "bans.h"
#include "cookie.h"
#include "icmp.h"
#include "limit.h"
#include "maps.h"
#include "sanity.h"

/* TCP_LISTEN in net/tcp_states.h. */
#define FW_LISTEN 10

/* What the kernel knows of the connection a packet belongs to. */
enum fw_known {
	FW_KNOWN_NOTHING = 0,
	FW_KNOWN_LISTENER = 1,
	FW_KNOWN_CONNECTION = 2, /* established, on the way there, or in TIME-WAIT */
	FW_KNOWN_PROOF = 3,      /* a listener, and the packet brings back a cookie of its */
};

/* `may_prove`: the packet has the form of a handshake's last, so a listener is asked for a proof. */
static __attribute__((noinline)) int
fw_known_tcp(struct xdp_md *ctx, const struct fw_packet *packet, int may_prove)
{
	struct bpf_sock_tuple tuple = {};
	__be16 source_port = bpf_htons(packet->values[FW_DIM_SOURCE_PORT]);
	__be16 destination_port = bpf_htons(packet->values[FW_DIM_DESTINATION_PORT]);
	struct bpf_sock *socket;
	int known;

	if (packet->version == 4) {
		tuple.ipv4.saddr = *(const __be32 *)packet->source;
		tuple.ipv4.daddr = *(const __be32 *)packet->destination;
		tuple.ipv4.sport = source_port;
		tuple.ipv4.dport = destination_port;
		socket = bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, packet->source, 16);
		__builtin_memcpy(tuple.ipv6.daddr, packet->destination, 16);
		tuple.ipv6.sport = source_port;
		tuple.ipv6.dport = destination_port;
		socket = bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	}
	if (!socket)
		return FW_KNOWN_NOTHING;
	known = FW_KNOWN_CONNECTION;
	if (socket->state == FW_LISTEN)
		known = may_prove && fw_listener_takes_cookie(socket, packet) ? FW_KNOWN_PROOF
									       : FW_KNOWN_LISTENER;
	bpf_sk_release(socket);
	return known;
}

fw_inline int fw_is_local(const struct fw_packet *packet)
{
	__u64 first = fw_network_of(packet->destination);
	__u64 second = fw_network_of(packet->destination + 8);
	__u32 number = fw_mix(first ^ second * FW_MIX_THIRD) >> (64 - FW_LOCAL_BUCKET_BITS);
	const struct fw_local_bucket *bucket = bpf_map_lookup_elem(&fw_local, &number);

	if (!bucket || !(first | second))
		return 0;
#pragma unroll
	for (int place = 0; place < FW_LOCAL_PLACES; place++) {
		const volatile __u64 *held = bucket->places[place];

		if (held[0] == first && held[1] == second)
			return 1;
	}
	return 0;
}

fw_inline int fw_lives(const __u32 *expires, __u32 now)
{
	return expires && !fw_is_over(*expires, now);
}

/* Whether a datagram answers a question that this host asked lately. */
static __attribute__((noinline)) int fw_is_answer(const struct fw_packet *packet, __u32 now)
{
	struct fw_question question = {
		.remote_port = packet->values[FW_DIM_SOURCE_PORT],
		.local_port = packet->values[FW_DIM_DESTINATION_PORT],
		.version = packet->version,
	};

	__builtin_memcpy(question.remote, packet->source, sizeof(question.remote));
	return fw_lives(bpf_map_lookup_elem(&fw_asked, &question), now);
}

/* Notes a welcome datagram's first fragment, or asks whether it was noted for a later one. */
static __attribute__((noinline)) int fw_fragment(const struct fw_packet *packet, __u32 expires,
						  __u32 now)
{
	struct fw_datagram datagram = {
		.id = packet->values[FW_DIM_ID],
		.version = packet->version,
	};

	__builtin_memcpy(datagram.source, packet->source, sizeof(datagram.source));
	__builtin_memcpy(datagram.destination, packet->destination, sizeof(datagram.destination));
	if (packet->values[FW_DIM_IP_MARKS] & FW_IP_LATER_FRAGMENT)
		return fw_lives(bpf_map_lookup_elem(&fw_fragments, &datagram), now);
	/* BPF_ANY: the kernel reuses identifications. Failure leaves the fragment unknown. */
	return bpf_map_update_elem(&fw_fragments, &datagram, &expires, BPF_ANY) == 0;
}

/* Whether a datagram is wanted: it goes to a service, or answers a question. */
fw_inline int fw_is_welcome(const struct fw_packet *packet, __u32 now)
{
	__u32 number = packet->values[FW_DIM_DESTINATION_PORT];
	const struct fw_port *port = bpf_map_lookup_elem(&fw_ports, &number);

	return (port && (port->services & FW_SERVICE_UDP)) || fw_is_answer(packet, now);
}

/* A welcome datagram's later fragments carry no ports: its first is remembered, guard or no guard,
 * so that rule and guard alike can tell the rest of an answer from the rest of a flood. Only
 * beginnings of fragmented UDP pay for it. */
fw_inline void fw_note_beginning(const struct fw_packet *packet, const struct fw_policy *policy,
				 __u32 now)
{
	if (!(packet->values[FW_DIM_IP_MARKS] & FW_IP_FIRST_FRAGMENT) ||
	    packet->values[FW_DIM_PROTOCOL] != FW_PROTO_UDP || !packet->l4_offset)
		return;
	if (fw_is_welcome(packet, now))
		fw_fragment(packet, now + FW_ASKED_SECONDS * policy->second, now);
}

/* Datagrams pass to services, as answers, and as later fragments of either. */
fw_inline enum fw_reason fw_guard_udp(const struct fw_packet *packet, __u32 now)
{
	int welcome;

	if (packet->values[FW_DIM_IP_MARKS] & FW_IP_LATER_FRAGMENT)
		welcome = fw_fragment(packet, 0, now);
	else
		welcome = !packet->l4_offset || fw_is_welcome(packet, now);
	return welcome || !fw_is_local(packet) ? FW_REASON_NO_OBJECTION
					       : FW_REASON_UNSOLICITED_UDP;
}

/* TCP other than SYNs. A bare ACK that brings a valid cookie is a handshake coming to its end. */
fw_inline enum fw_reason fw_guard_tcp(struct xdp_md *ctx, const struct fw_packet *packet,
				      __u32 guards, int *known)
{
	__u32 flags = packet->values[FW_DIM_TCP_FLAGS];
	/* Whoever made the cookie: where the SYN proof does not stand the kernel sends its own as soon
	 * as a queue is full (net.ipv4.tcp_syncookies), and the proof of one is a connection. Where
	 * nobody listens it proves nothing to anybody. */
	int may_prove = (flags & (FW_TCP_SYN | FW_TCP_RST | FW_TCP_ACK)) == FW_TCP_ACK;

	if (!packet->l4_offset)
		return FW_REASON_NO_OBJECTION;
	if (!(guards & FW_GUARD_TCP_STATE)) {
		/* Nothing will be dropped; only the handshake's last packet is worth the sum. */
		return may_prove && packet->class == FW_CLASS_ACK && fw_cookie_is_valid(packet)
			       ? FW_REASON_COOKIE_VALID
			       : FW_REASON_NO_OBJECTION;
	}
	/* What the signatures learned says nothing of a proof. */
	if (*known < 0 || (*known == FW_KNOWN_LISTENER && may_prove))
		*known = fw_known_tcp(ctx, packet, may_prove);
	if (*known == FW_KNOWN_CONNECTION)
		return FW_REASON_NO_OBJECTION;
	if (*known == FW_KNOWN_PROOF)
		return FW_REASON_COOKIE_VALID;
	return fw_is_local(packet) ? FW_REASON_OUT_OF_STATE : FW_REASON_NO_OBJECTION;
}

/* One bucket of a source. The value is read and written without a lock: two CPUs may let a packet
 * too many pass, which a limit can bear. */
static __attribute__((noinline)) int fw_within(const struct fw_policy *policy, __u64 network,
						__u32 width, __u32 is_syn, __u32 now)
{
	struct fw_limited key = { .network = network, .width = width };
	const struct fw_rate *packets, *connections;
	struct fw_share *share;
	int within;

	width &= FW_WIDTHS - 1;
	packets = &policy->packets[width];
	connections = &policy->connections[width];
	share = bpf_map_lookup_elem(&fw_sources, &key);
	if (!share) {
		struct fw_share fresh = {
			.packets = { .left = packets->burst, .refilled = now },
			.connections = { .left = connections->burst, .refilled = now },
		};

		fw_take_token(&fresh.packets, packets, now);
		if (is_syn)
			fw_take_token(&fresh.connections, connections, now);
		bpf_map_update_elem(&fw_sources, &key, &fresh, BPF_ANY);
		return 1;
	}
	within = fw_take_token(&share->packets, packets, now);
	if (is_syn)
		within &= fw_take_token(&share->connections, connections, now);
	return within;
}

/* The high `bits` of a network, as it stands in the packet. */
fw_inline __u64 fw_widened(__u64 network, __u32 bits)
{
	return network & bpf_cpu_to_be64(~0ull << (64 - bits));
}

/* Whether an echo reply answers a request that this host sent lately. */
static __attribute__((noinline)) int fw_is_echo_answer(const struct fw_packet *packet, __u32 now)
{
	int request = fw_icmp_request_of(packet);
	struct fw_question question = {
		.local_port = request,
		.version = packet->version,
	};

	if (request < 0)
		return 0;
	__builtin_memcpy(question.remote, packet->source, sizeof(question.remote));
	return fw_lives(bpf_map_lookup_elem(&fw_asked, &question), now);
}

/* ICMP: what the network needs and what answers us passes, and of the rest a small rate, because
 * errors are good to know and a host should answer a ping. Sources are spread over shares by a hash
 * that outsiders cannot know: a flood from one takes one share, a flood from everywhere all. As in
 * fw_within, two CPUs may let a packet too many pass. */
fw_inline enum fw_reason fw_guard_icmp(const struct fw_packet *packet,
				       const struct fw_policy *policy, __u32 now)
{
	enum fw_icmp_need need = fw_icmp_need(packet);
	struct fw_icmp_share *share;
	__u64 source;
	__u32 number;
	int within;

	if (need == FW_ICMP_VITAL || !fw_is_local(packet) || fw_is_echo_answer(packet, now))
		return FW_REASON_NO_OBJECTION;
	source = packet->version == 4 ? *(const __u32 *)packet->source
				      : fw_network_of(packet->source);
	number = fw_mix(source) >> (64 - FW_ICMP_SHARE_BITS);
	share = bpf_map_lookup_elem(&fw_icmp, &number);
	if (!share)
		return FW_REASON_NO_OBJECTION;
	within = need == FW_ICMP_ERROR
			 ? fw_take_token(&share->errors, &policy->icmp_errors, now)
			 : fw_take_token(&share->questions, &policy->icmp_questions, now);
	return within ? FW_REASON_NO_OBJECTION : FW_REASON_ICMP_RATE;
}

/* No guard but the operator's standing order: each source to its share; of IPv6 also what it could
 * pass off as many sources. */
fw_inline enum fw_reason fw_hold_to_share(const struct fw_packet *packet,
					  const struct fw_policy *policy, __u32 now)
{
	__u32 is_syn = packet->class == FW_CLASS_SYN;
	__u64 network;
	int within;

	if (packet->version == 4) {
		within = fw_within(policy, *(const __u32 *)packet->source, FW_WIDTH_V4, is_syn, now);
	} else {
		network = fw_network_of(packet->source);
		within = fw_within(policy, network, FW_WIDTH_64, is_syn, now);
		if (within)
			within = fw_within(policy, fw_widened(network, 56), FW_WIDTH_56, is_syn, now);
		if (within)
			within = fw_within(policy, fw_widened(network, 48), FW_WIDTH_48, is_syn, now);
	}
	return within ? FW_REASON_NO_OBJECTION : FW_REASON_SOURCE_RATE;
}

#endif
