// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The least that each question to the kernel costs: XDP programs that check the bounds, ask once and
 * return. The benchmark measures them in the run in which it measures the filter
 * (crates/floodwall-xdp/examples/packet_cost.rs), so that a reader sees what of a path is the
 * kernel's own. A question answered with yes drops the packet, which shows that it was. Nothing loads them but the benchmark.
 *
 * Frames are untagged IPv4 without options; keys are as long as the filter's. None of it may
 * decide anything or share a map with the filter.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/* The last three as fw_asked, fw_sources and fw_nets_v4 in maps.h. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FW_LOCAL_MAX);
	__type(key, __u8[16]);
	__type(value, __u32);
} floor_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FW_ASKED_MAX);
	__type(key, struct fw_question);
	__type(value, __u32);
} floor_lru24 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FW_SOURCES_MAX);
	__type(key, struct fw_limited);
	__type(value, struct fw_share);
} floor_lru16 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FW_NETS_MAX);
	__type(key, struct fw_prefix_v4);
	__type(value, struct fw_net);
} floor_lpm SEC(".maps");

/* TCP with the one option that the cookie helpers are shown. */
#define FLOOR_TCP (sizeof(struct tcphdr) + 4)

/* The IPv4 header of the frame, with FLOOR_TCP bytes behind it, or 0 where it is shorter. */
fw_inline struct iphdr *floor_read(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	struct iphdr *ip = data + sizeof(struct ethhdr);

	return (void *)(ip + 1) + FLOOR_TCP > (void *)(long)ctx->data_end ? 0 : ip;
}

/* So that no answer is computed for nothing. */
#define floor_use(value) asm volatile("" : : "r"(value))

SEC("xdp")
int floor_bounds(struct xdp_md *ctx)
{
	struct iphdr *ip = floor_read(ctx);

	if (ip)
		floor_use(ip->saddr);
	return XDP_PASS;
}

/* The verdict alone: a test run hands the frame to no driver. */
SEC("xdp")
int floor_tx(struct xdp_md *ctx)
{
	return floor_read(ctx) ? XDP_TX : XDP_PASS;
}

__attribute__((noinline)) int floor_called(struct xdp_md *ctx)
{
	struct iphdr *ip = floor_read(ctx);

	return ip ? ip->ttl : 0;
}

/* One function that the verifier looks at by itself, as the filter's parser is. */
SEC("xdp")
int floor_call(struct xdp_md *ctx)
{
	floor_use(floor_called(ctx));
	return XDP_PASS;
}

SEC("xdp")
int floor_socket(struct xdp_md *ctx)
{
	struct iphdr *ip = floor_read(ctx);
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *socket;
	struct tcphdr *tcp;

	if (!ip)
		return XDP_PASS;
	tcp = (void *)(ip + 1);
	tuple.ipv4.saddr = ip->saddr;
	tuple.ipv4.daddr = ip->daddr;
	tuple.ipv4.sport = tcp->source;
	tuple.ipv4.dport = tcp->dest;
	socket = bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (socket)
		bpf_sk_release(socket);
	return socket ? XDP_DROP : XDP_PASS;
}

/* A listener that is asked whether it takes a cookie, as in fw_known_tcp. */
SEC("xdp")
int floor_ask(struct xdp_md *ctx)
{
	struct iphdr *ip = floor_read(ctx);
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *socket;
	struct tcphdr *tcp;
	int taken;

	if (!ip)
		return XDP_PASS;
	tcp = (void *)(ip + 1);
	tuple.ipv4.saddr = ip->saddr;
	tuple.ipv4.daddr = ip->daddr;
	tuple.ipv4.sport = tcp->source;
	tuple.ipv4.dport = tcp->dest;
	socket = bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return XDP_ABORTED;
	taken = bpf_tcp_check_syncookie(socket, ip, sizeof(*ip), tcp, sizeof(*tcp)) == 0;
	bpf_sk_release(socket);
	return taken ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int floor_gen(struct xdp_md *ctx)
{
	struct iphdr *ip = floor_read(ctx);

	if (!ip)
		return XDP_PASS;
	return bpf_tcp_raw_gen_syncookie_ipv4(ip, (void *)(ip + 1), FLOOR_TCP) < 0 ? XDP_PASS
											    : XDP_DROP;
}

SEC("xdp")
int floor_check(struct xdp_md *ctx)
{
	struct iphdr *ip = floor_read(ctx);

	if (!ip)
		return XDP_PASS;
	return bpf_tcp_raw_check_syncookie_ipv4(ip, (void *)(ip + 1)) ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int floor_clock(struct xdp_md *ctx)
{
	if (floor_read(ctx))
		floor_use(bpf_ktime_get_ns());
	return XDP_PASS;
}

SEC("xdp")
int floor_coarse(struct xdp_md *ctx)
{
	if (floor_read(ctx))
		floor_use(bpf_ktime_get_coarse_ns());
	return XDP_PASS;
}

SEC("xdp")
int floor_in_hash(struct xdp_md *ctx)
{
	struct iphdr *ip = floor_read(ctx);
	__u8 key[16] __attribute__((aligned(8))) = {};

	if (!ip)
		return XDP_PASS;
	__builtin_memcpy(key, &ip->saddr, 4);
	return bpf_map_lookup_elem(&floor_hash, &key) ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int floor_in_lru24(struct xdp_md *ctx)
{
	struct iphdr *ip = floor_read(ctx);
	struct fw_question key = {};

	if (!ip)
		return XDP_PASS;
	__builtin_memcpy(key.remote, &ip->saddr, 4);
	return bpf_map_lookup_elem(&floor_lru24, &key) ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int floor_in_lru16(struct xdp_md *ctx)
{
	struct iphdr *ip = floor_read(ctx);
	struct fw_limited key = {};

	if (!ip)
		return XDP_PASS;
	key.network = ip->saddr;
	return bpf_map_lookup_elem(&floor_lru16, &key) ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int floor_in_lpm(struct xdp_md *ctx)
{
	struct iphdr *ip = floor_read(ctx);
	struct fw_prefix_v4 key = { .bits = 32 };

	if (!ip)
		return XDP_PASS;
	key.address_be = ip->saddr;
	return bpf_map_lookup_elem(&floor_lpm, &key) ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
