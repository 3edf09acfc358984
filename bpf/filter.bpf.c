// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The kernel filter: drops packets of banned sources and counts every packet it sees.
 *
 * Two programs share the maps. floodwall_xdp sits on an interface; floodwall_sock sits on listening
 * TCP sockets where XDP cannot be had. Both end in fw_exit: no path leaves uncounted.
 *
 * It must never drop a packet whose source it could not read, and never change a packet.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "maps.h"
#include "parse.h"

/* Offsets of the source address in the IP header: RFC 791 section 3.1, RFC 8200 section 3. */
#define FW_IPV4_SOURCE_OFFSET 12
#define FW_IPV6_SOURCE_OFFSET 8

/* The one exit. A plain increment is exact: the slot belongs to this CPU, and both programs run in
 * softirq, which does not nest on one CPU. */
fw_inline enum fw_verdict fw_exit(enum fw_reason reason)
{
	enum fw_verdict verdict = reason == FW_REASON_BANNED ? FW_VERDICT_DROP : FW_VERDICT_PASS;
	__u32 slot = FW_COUNT_SLOT(verdict, reason);
	__u64 *packets = bpf_map_lookup_elem(&fw_counts, &slot);

	if (packets)
		(*packets)++;
	return verdict;
}

/* The ban's own end is obeyed here, so that bans end although user space is gone. The coarse clock
 * stands at the last timer tick: a ban may end a tick (at most 10 ms) late, never early, and the
 * packet of a banned source costs 11 ns less. */
fw_inline enum fw_reason fw_weigh_ban(struct fw_ban *ban)
{
	if (!ban)
		return FW_REASON_NO_BAN;
	if (ban->expires_ktime_ns <= bpf_ktime_get_coarse_ns())
		return FW_REASON_BAN_EXPIRED;
	/* Atomic: one source's packets may arrive on several CPUs. */
	__sync_fetch_and_add(&ban->packets, 1);
	return FW_REASON_BANNED;
}

fw_inline enum fw_reason fw_decide(enum fw_parsed parsed, const struct fw_source *source)
{
	switch (parsed) {
	case FW_PARSED_V4:
		return fw_weigh_ban(bpf_map_lookup_elem(&fw_bans_v4, &source->v4));
	case FW_PARSED_V6:
		return fw_weigh_ban(bpf_map_lookup_elem(&fw_bans_v6, &source->v6));
	case FW_PARSED_TRUNCATED:
		return FW_REASON_TRUNCATED;
	case FW_PARSED_MALFORMED:
		return FW_REASON_MALFORMED;
	case FW_PARSED_NOT_IP:
		break;
	}
	return FW_REASON_NOT_IP;
}

SEC("xdp")
int floodwall_xdp(struct xdp_md *ctx)
{
	struct fw_cursor cursor = {
		.pos = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
	};
	struct fw_source source = {};
	enum fw_parsed parsed = fw_parse_frame(&cursor, &source);

	return fw_exit(fw_decide(parsed, &source)) == FW_VERDICT_DROP ? XDP_DROP : XDP_PASS;
}

/* The source as the stack sees it. On a TCP socket skb->data stands at the TCP header
 * (tcp_v4_rcv in net/ipv4/tcp_ipv4.c), so the addresses are read relative to the network header.
 * The version comes from the header and not from skb->protocol: a socket that serves both families
 * gets both. */
fw_inline enum fw_parsed fw_parse_socket(struct __sk_buff *skb, struct fw_source *source)
{
	__u8 first;

	if (bpf_skb_load_bytes_relative(skb, 0, &first, sizeof(first), BPF_HDR_START_NET))
		return FW_PARSED_TRUNCATED;
	if (first >> 4 == 4) {
		if (bpf_skb_load_bytes_relative(skb, FW_IPV4_SOURCE_OFFSET, &source->v4,
						sizeof(source->v4), BPF_HDR_START_NET))
			return FW_PARSED_TRUNCATED;
		return FW_PARSED_V4;
	}
	if (first >> 4 == 6) {
		if (bpf_skb_load_bytes_relative(skb, FW_IPV6_SOURCE_OFFSET, &source->v6,
						sizeof(source->v6), BPF_HDR_START_NET))
			return FW_PARSED_TRUNCATED;
		return FW_PARSED_V6;
	}
	return FW_PARSED_NOT_IP;
}

/* A socket filter returns how many bytes of the packet to keep; none is a drop
 * (sk_filter_trim_cap in net/core/filter.c). */
SEC("socket")
int floodwall_sock(struct __sk_buff *skb)
{
	struct fw_source source = {};
	enum fw_parsed parsed = fw_parse_socket(skb, &source);

	return fw_exit(fw_decide(parsed, &source)) == FW_VERDICT_DROP ? 0 : skb->len;
}

/* Both, so that helpers reserved for GPL programs may be called (include/linux/license.h). */
char _license[] SEC("license") = "Dual MIT/GPL";
