/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The maps of the kernel filter. What decides over packets is written by user space alone; what
 * packets themselves fill is least-recently-used and of a fixed size, so that no flood can do more
 * than push out what a flood pushed in.
 *
 * Arrays wherever it can be: the verifier turns a look into an array into a few instructions,
 * where one into a hash is a call of 20 ns. BPF_F_MMAPABLE: the loader writes through its own
 * mapping, each word whole, without a call per entry.
 */
#ifndef FLOODWALL_MAPS_H
#define FLOODWALL_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fw_policy);
} fw_policy SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fw_rules);
} fw_rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fw_counts);
} fw_counts SEC(".maps");

/* Exact bans. The loader sets the number of buckets: twice as many places as bans asked for. A
 * hash would cost a call; this costs one cache line (bans.h). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct fw_bucket_v4);
} fw_bans_v4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct fw_hits_v4);
} fw_hits_v4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct fw_bucket_v6);
} fw_bans_v6 SEC(".maps");

/* Tries must allocate as they go (kernel/bpf/lpm_trie.c); only user space inserts. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FW_NETS_MAX);
	__type(key, struct fw_prefix_v4);
	__type(value, struct fw_net);
} fw_nets_v4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FW_NETS_MAX);
	__type(key, struct fw_prefix_v6);
	__type(value, struct fw_net);
} fw_nets_v6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FW_ALLOW_MAX);
	__type(key, struct fw_prefix_v4);
	__type(value, __u32);
} fw_allow_v4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FW_ALLOW_MAX);
	__type(key, struct fw_prefix_v6);
	__type(value, __u32);
} fw_allow_v6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct fw_port);
} fw_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FW_LOCAL_BUCKETS);
	__type(key, __u32);
	__type(value, struct fw_local_bucket);
} fw_local SEC(".maps");

/* Question to the jiffies, low half, at which its answer ceases to be welcome. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FW_ASKED_MAX);
	__type(key, struct fw_question);
	__type(value, __u32);
} fw_asked SEC(".maps");

/* Likewise. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FW_FRAGMENTS_MAX);
	__type(key, struct fw_datagram);
	__type(value, __u32);
} fw_fragments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FW_SOURCES_MAX);
	__type(key, struct fw_limited);
	__type(value, struct fw_share);
} fw_sources SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FW_ICMP_SHARES);
	__type(key, __u32);
	__type(value, struct fw_icmp_share);
} fw_icmp SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, FW_EGRESS_MAX);
	__type(key, struct fw_egress_net);
	__type(value, struct fw_volume);
} fw_egress SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, FW_SAMPLES_BYTES);
} fw_samples SEC(".maps");

/* Keeps `value` in the register whose bounds are checked next: the compiler may otherwise check one
 * copy and use another, which the verifier cannot follow. */
#define fw_pin(value) asm volatile("" : "+r"(value))

/* Settings, given at load and frozen. A key that outsiders cannot know decides where a ban stands
 * in its table; shifts are 64 minus the bits of the number of buckets. */
const volatile __u64 fw_key = 1;
const volatile __u32 fw_shift_v4 = 63;
const volatile __u32 fw_shift_v6 = 63;
const volatile __u32 fw_sanity_on = 1;

#endif
