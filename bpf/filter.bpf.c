// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The kernel filter. floodwall_xdp sits on an interface and does everything; floodwall_sock sits
 * on listening TCP sockets where XDP cannot be had and knows bans only; floodwall_out (egress.bpf.c)
 * notes what this host asks. All in one object, so that they share the maps without a file system.
 *
 * Every packet goes through the stages in one order, and ends in fw_exit: no path leaves
 * uncounted. A packet whose headers could not be read is never dropped. The allow list is looked at
 * when a stage objects and not before: most packets meet no objection, so most never pay for it.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"
#include "bans.h"
#include "cookie.h"
#include "guards.h"
#include "maps.h"
#include "parse.h"
#include "rules.h"
#include "sanity.h"

fw_inline enum fw_reason fw_reason_of(enum fw_parsed parsed)
{
	switch (parsed) {
	case FW_PARSED_TRUNCATED:
		return FW_REASON_TRUNCATED;
	case FW_PARSED_MALFORMED:
		return FW_REASON_MALFORMED;
	default:
		return FW_REASON_NOT_IP;
	}
}

/* Asks at most once whether the packet belongs to a conversation of this host, and marks it. */
fw_inline void fw_mark_solicited(struct xdp_md *ctx, struct fw_passage *passage)
{
	struct fw_packet *packet = &passage->packet;
	__u32 protocol = packet->values[FW_DIM_PROTOCOL];
	int solicited = 0;

	if (protocol == FW_PROTO_UDP &&
	    (packet->values[FW_DIM_IP_MARKS] & FW_IP_LATER_FRAGMENT)) {
		if (fw_fragment(packet, 0, passage->now))
			packet->values[FW_DIM_TRANSPORT_MARKS] |= FW_TP_SOLICITED;
		return;
	}
	if (!packet->l4_offset)
		return;
	if (protocol == FW_PROTO_TCP) {
		if (passage->known < 0)
			passage->known = fw_known_tcp(ctx, packet, 0);
		solicited = passage->known == FW_KNOWN_CONNECTION;
	} else if (protocol == FW_PROTO_UDP) {
		solicited = fw_is_answer(packet, passage->now);
	} else if (fw_is_icmp(protocol)) {
		solicited = fw_is_echo_answer(packet, passage->now);
	}
	if (solicited)
		packet->values[FW_DIM_TRANSPORT_MARKS] |= FW_TP_SOLICITED;
}

fw_inline enum fw_reason fw_signatures(struct xdp_md *ctx, struct fw_passage *passage)
{
	__u32 zero = 0;
	const struct fw_rules *table = bpf_map_lookup_elem(&fw_rules, &zero);
	struct fw_match match;

	if (!table)
		return FW_REASON_NO_OBJECTION;
	if (passage->holds & FW_HOLDS_SOLICITED)
		fw_mark_solicited(ctx, passage);
	match = fw_match_rules(table, &passage->packet, passage->now);
	passage->rule = match.rule;
	passage->shadow = match.shadow;
	return match.rule == FW_NO_RULE || match.shadow ? FW_REASON_NO_OBJECTION
							 : FW_REASON_SIGNATURE;
}

fw_inline enum fw_reason fw_stand_guard(struct xdp_md *ctx, struct fw_passage *passage,
					struct fw_policy *policy, struct fw_counts *counts)
{
	struct fw_packet *packet = &passage->packet;
	__u32 protocol = packet->values[FW_DIM_PROTOCOL];
	enum fw_reason reason = FW_REASON_NO_OBJECTION;

	if (packet->class >= FW_CLASS_SYN && packet->class <= FW_CLASS_TCP_ODD) {
		if (packet->class == FW_CLASS_SYN) {
			struct fw_port *port = 0;

			if (passage->guards & FW_GUARD_SYN_PROOF)
				port = fw_proved_port(packet);
			/* Before it is overwritten; the dearest look is the last. */
			if (port &&
			    !fw_is_allowed(passage->holds, packet->version, packet->source)) {
				/* A SYN on a connection that the kernel remembers (TIME-WAIT) or has
				 * begun is the kernel's: the ACK would reach that and no listener. */
				if (passage->known < 0)
					passage->known = fw_known_tcp(ctx, packet, 0);
				if (passage->known != FW_KNOWN_CONNECTION)
					reason = fw_prove_syn(ctx, packet, port, policy, counts,
							      passage->guards, passage->now);
			}
		} else if (passage->guards & (FW_GUARD_SYN_PROOF | FW_GUARD_TCP_STATE)) {
			reason = fw_guard_tcp(ctx, packet, passage->guards, &passage->known);
		}
	} else if (protocol == FW_PROTO_UDP && (passage->guards & FW_GUARD_UDP_SOLICITED)) {
		reason = fw_guard_udp(packet, passage->now);
	} else if (fw_is_icmp(protocol) && (passage->guards & FW_GUARD_ICMP)) {
		reason = fw_guard_icmp(packet, policy, passage->now);
	}
	return reason;
}

/* The stages after the parser, for what is IP. */
fw_inline enum fw_reason fw_decide(struct xdp_md *ctx, struct fw_passage *passage,
				   struct fw_policy *policy, struct fw_counts *counts)
{
	struct fw_packet *packet = &passage->packet;
	enum fw_reason banned = FW_REASON_NO_OBJECTION, reason;

	if (passage->leased) {
		banned = fw_bans_of(passage->holds, packet->version, packet->source, passage->now);
		/* The loader sees to it that no ban holds an allowed address. */
		if (banned > FW_REASON_COOKIE_VALID)
			return banned;
	}
	fw_note_beginning(packet, policy, passage->now);
	reason = fw_sanity_on ? fw_sanity(packet) : FW_REASON_NO_OBJECTION;
	if (reason == FW_REASON_NO_OBJECTION && passage->leased) {
		if (passage->holds & FW_HOLDS_RULES)
			reason = fw_signatures(ctx, passage);
		if (reason == FW_REASON_NO_OBJECTION && passage->guards)
			reason = fw_stand_guard(ctx, passage, policy, counts);
		if (reason == FW_REASON_NO_OBJECTION && (passage->holds & FW_HOLDS_SOURCE_RATE))
			reason = fw_hold_to_share(packet, policy, passage->now);
	}
	if (reason == FW_REASON_NO_OBJECTION)
		return banned;
	if (reason > FW_REASON_COOKIE_VALID && reason != FW_REASON_COOKIE_SENT &&
	    fw_is_allowed(passage->holds, packet->version, packet->source))
		return FW_REASON_ALLOWED;
	return reason;
}

/* Hands a packet to user space, whole. Without waking anybody: user space comes by itself. */
static __attribute__((noinline)) int fw_take_sample(struct fw_counts *counts, __u32 revision)
{
	const struct fw_passage *passage = &counts->passage;
	struct fw_sample *sample = bpf_ringbuf_reserve(&fw_samples, sizeof(*sample), 0);

	if (!sample) {
		counts->lost++;
		return 0;
	}
	sample->jiffies = passage->now;
	sample->weight = counts->sample_weight;
	sample->frame_bytes = passage->frame_bytes;
	sample->reason = passage->reason;
	sample->rule = passage->rule;
	sample->spare = passage->shadow;
	sample->revision = revision;
	sample->packet = passage->packet;
	bpf_ringbuf_submit(sample, BPF_RB_NO_WAKEUP);
	counts->samples++;
	return 1;
}

/* How many packets until the next sample: evenly from 1 to 2N - 1, so that the mean is N and no
 * regular sender can stay between two samples. */
fw_inline void fw_draw_next_sample(struct fw_counts *counts, __u32 every)
{
	__u32 drawn = bpf_get_prandom_u32() & (2 * every - 1);

	counts->until_sample = drawn ? drawn : every;
	counts->sample_weight = every;
}

/* Whether this packet is a sample of 1:N. */
fw_inline int fw_is_drawn(struct fw_counts *counts, __u32 every)
{
	if (!every)
		return 0;
	/* The second half: N has been lowered since the last draw. */
	if (!counts->until_sample || counts->until_sample > 2ull * every)
		fw_draw_next_sample(counts, every);
	return --counts->until_sample == 0;
}

/* The one exit. A plain increment is exact: the counters belong to this CPU, and the programs run
 * in softirq, which does not nest on one CPU. */
fw_inline enum fw_verdict fw_exit(struct fw_counts *counts)
{
	const struct fw_passage *passage = &counts->passage;
	__u32 reason = passage->reason, class = passage->packet.class, rule = passage->rule;

	fw_pin(reason);
	fw_pin(class);
	fw_pin(rule);
	if (reason < FW_REASONS)
		counts->reasons[reason]++;
	if (class < FW_CLASSES) {
		counts->classes[class].packets++;
		counts->classes[class].bytes += passage->frame_bytes;
	}
	if (rule < FW_RULES && reason != FW_REASON_ALLOWED)
		counts->matched[rule]++;
	if (reason <= FW_REASON_COOKIE_VALID)
		return FW_VERDICT_PASS;
	return reason == FW_REASON_COOKIE_SENT ? FW_VERDICT_TX : FW_VERDICT_DROP;
}

/* Everything that the stages may want to know beside the packet itself. */
fw_inline void fw_begin(struct fw_passage *passage, const struct fw_policy *policy,
			struct fw_counts *counts)
{
	passage->now = bpf_jiffies64();
	passage->holds = policy->holds;
	passage->guards = passage->now < policy->guards_until ? policy->guards : 0;
	passage->rule = FW_NO_RULE;
	passage->shadow = 0;
	passage->known = -1;
	passage->leased = passage->now < policy->lease_until;
	if (!passage->leased)
		counts->lapsed++;
	passage->is_sample = fw_is_drawn(counts, policy->sample_every);
}

/* Parses into this CPU's passage. Global and not inlined: the verifier then looks at the parser and
 * at the stages each by itself, and not at the stages once for every way through the parser
 * (Documentation/bpf/verifier.rst does not promise it; check_func_call in kernel/bpf/verifier.c
 * does it). */
__attribute__((noinline)) int fw_read(struct xdp_md *ctx)
{
	struct fw_cursor cursor = {
		.pos = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
	};
	__u32 zero = 0;
	struct fw_counts *counts = bpf_map_lookup_elem(&fw_counts, &zero);

	if (!counts)
		return FW_PARSED_NOT_IP;
	/* In place: copying what was just written in smaller pieces would stall the processor for
	 * longer than parsing takes. */
	return fw_parse_frame(&cursor, &counts->passage.packet, counts->passage.wants_options);
}

/* What an exact ban of either family says of a plain packet. What is known afterwards is not looked up
 * again. */
fw_inline enum fw_ban fw_ban_of_glance(const struct fw_glance *glance, struct fw_passage *passage)
{
	__u32 table = glance->version == 4 ? FW_HOLDS_BANS_V4 : FW_HOLDS_BANS_V6;
	enum fw_ban ban;

	if (!(passage->holds & table))
		return FW_BAN_NONE;
	ban = glance->version == 4 ? fw_find_v4(glance->source, passage->now)
				   : fw_find_v6(glance->source, passage->now);
	if (ban == FW_BAN_NONE)
		passage->holds &= ~table;
	return ban;
}

/* Likewise a banned IPv4 network. Of IPv6 only half the address was looked at. */
fw_inline enum fw_ban fw_net_of_glance(const struct fw_glance *glance, struct fw_passage *passage)
{
	struct fw_prefix_v4 key = { .bits = 32, .address_be = glance->source };
	enum fw_ban ban;

	if (glance->version != 4 || !(passage->holds & FW_HOLDS_NETS_V4))
		return FW_BAN_NONE;
	ban = fw_weigh_net(bpf_map_lookup_elem(&fw_nets_v4, &key), passage->now);
	if (ban == FW_BAN_NONE)
		passage->holds &= ~FW_HOLDS_NETS_V4;
	return ban;
}

/* Whether the packet comes from a banned source and is plain enough to say so before it is parsed:
 * calling the parser costs more than all the rest of this path. */
fw_inline int fw_is_banned_at_a_glance(struct xdp_md *ctx, struct fw_passage *passage)
{
	const __u32 bans = FW_HOLDS_BANS_V4 | FW_HOLDS_BANS_V6 | FW_HOLDS_NETS_V4;
	struct fw_glance glance;

	if (!(passage->holds & bans) || !passage->leased || passage->is_sample)
		return 0;
	if (!fw_peek((void *)(long)ctx->data, (void *)(long)ctx->data_end, &glance))
		return 0;
	if (fw_ban_of_glance(&glance, passage) == FW_BAN_HOLDS)
		passage->reason = FW_REASON_SOURCE_BANNED;
	else if (fw_net_of_glance(&glance, passage) == FW_BAN_HOLDS)
		passage->reason = FW_REASON_NETWORK_BANNED;
	else
		return 0;
	passage->packet.class = glance.class;
	return 1;
}

fw_inline int fw_filter(struct xdp_md *ctx)
{
	__u32 zero = 0, bytes = ctx->data_end - ctx->data;
	struct fw_policy *policy = bpf_map_lookup_elem(&fw_policy, &zero);
	struct fw_counts *counts = bpf_map_lookup_elem(&fw_counts, &zero);
	struct fw_passage *passage;
	enum fw_parsed parsed;
	enum fw_verdict verdict;

	if (!policy || !counts) /* they have one entry each */
		return XDP_PASS;
	passage = &counts->passage;
	fw_begin(passage, policy, counts);
	if (fw_is_banned_at_a_glance(ctx, passage)) {
		passage->frame_bytes = bytes;
		fw_exit(counts);
		return XDP_DROP;
	}
	passage->wants_options = passage->is_sample || (passage->holds & FW_HOLDS_OPTIONS);
	parsed = fw_read(ctx);
	if (parsed == FW_PARSED_IP) {
		/* Of a frame in several buffers only the first is seen so far. */
		if ((__u32)passage->packet.l3_offset + passage->packet.values[FW_DIM_LENGTH] > bytes)
			bytes = bpf_xdp_get_buff_len(ctx);
		passage->frame_bytes = bytes;
		passage->reason = fw_decide(ctx, passage, policy, counts);
	} else {
		passage->packet.class = FW_CLASS_NOT_IP;
		passage->frame_bytes = bytes;
		passage->reason = fw_reason_of(parsed);
	}

	verdict = fw_exit(counts);
	if (passage->is_sample && parsed == FW_PARSED_IP) {
		if (verdict != FW_VERDICT_TX) /* its headers are the answer's by now */
			fw_mark_solicited(ctx, passage);
		fw_take_sample(counts, policy->revision);
	}
	if (verdict == FW_VERDICT_TX)
		return passage->guards & FW_GUARD_VIA_STACK ? XDP_PASS : XDP_TX;
	return verdict == FW_VERDICT_PASS ? XDP_PASS : XDP_DROP;
}

/* Twice the same: a driver may refuse programs for frames of several buffers, and kernels before
 * 5.18 do not know them. Only one of them is loaded. */
SEC("xdp.frags")
int floodwall_xdp(struct xdp_md *ctx)
{
	return fw_filter(ctx);
}

SEC("xdp")
int floodwall_xdp1(struct xdp_md *ctx)
{
	return fw_filter(ctx);
}

/* What any XDP program costs; measurements subtract it. */
SEC("xdp")
int floodwall_empty(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

/* Offsets of the source address in the IP header: RFC 791 section 3.1, RFC 8200 section 3. */
#define FW_IPV4_SOURCE_OFFSET 12
#define FW_IPV6_SOURCE_OFFSET 8

/* The source as the stack sees it. On a TCP socket skb->data stands at the TCP header
 * (tcp_v4_rcv in net/ipv4/tcp_ipv4.c), so the addresses are read relative to the network header.
 * The version comes from the header and not from skb->protocol: a socket that serves both families
 * gets both. 0 where there is none. */
fw_inline __u32 fw_read_source(struct __sk_buff *skb, __u8 *source)
{
	__u8 first;

	if (bpf_skb_load_bytes_relative(skb, 0, &first, sizeof(first), BPF_HDR_START_NET))
		return 0;
	if (first >> 4 == 4 && !bpf_skb_load_bytes_relative(skb, FW_IPV4_SOURCE_OFFSET, source, 4,
							    BPF_HDR_START_NET))
		return 4;
	if (first >> 4 == 6 && !bpf_skb_load_bytes_relative(skb, FW_IPV6_SOURCE_OFFSET, source, 16,
							    BPF_HDR_START_NET))
		return 6;
	return 0;
}

/* A socket filter returns how many bytes of the packet to keep; none is a drop
 * (sk_filter_trim_cap in net/core/filter.c). */
SEC("socket")
int floodwall_sock(struct __sk_buff *skb)
{
	__u32 zero = 0, version;
	struct fw_policy *policy = bpf_map_lookup_elem(&fw_policy, &zero);
	struct fw_counts *counts = bpf_map_lookup_elem(&fw_counts, &zero);
	__u8 source[16] __attribute__((aligned(8))) = {};
	enum fw_reason reason = FW_REASON_NO_OBJECTION;
	__u64 now = bpf_jiffies64();

	if (!policy || !counts)
		return skb->len;
	version = fw_read_source(skb, source);
	if (!version)
		reason = FW_REASON_NOT_IP;
	else if (now < policy->lease_until)
		reason = fw_bans_of(policy->holds, version, source, now);
	if (reason < FW_REASONS)
		counts->reasons[reason]++;
	return reason > FW_REASON_COOKIE_VALID ? 0 : skb->len;
}

/* Tells user space what the kernel's two clocks say at one moment. A test run calls it. */
SEC("socket")
int floodwall_clock(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct fw_policy *policy = bpf_map_lookup_elem(&fw_policy, &zero);

	(void)skb;
	if (policy) {
		policy->clock_jiffies = bpf_jiffies64();
		policy->clock_ns = bpf_ktime_get_ns();
	}
	return 0;
}

#include "answers.bpf.c"
#include "egress.bpf.c"

/* Both, so that helpers reserved for GPL programs may be called (include/linux/license.h). */
char _license[] SEC("license") = "Dual MIT/GPL";
