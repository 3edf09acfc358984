/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The maps of the kernel filter. User space alone inserts and removes; the programs only look up
 * and count, so nothing that arrives from the network can grow or fill a map.
 *
 * Plain hashes and not LRU ones: an LRU would let a flood of new bans push out old ones.
 */
#ifndef FLOODWALL_MAPS_H
#define FLOODWALL_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/*
 * BPF_F_NO_PREALLOC: an entry takes 72 bytes (48 of kernel header, 8 of key, 16 of value:
 * struct htab_elem in kernel/bpf/hashtab.c), a bucket 16. Preallocated, the two maps would take
 * 23 MB at the default size and 177 MB at the largest, on hosts that hold a handful of bans on
 * most days; allocated as needed they start at 4 MB and 34 MB. The usual price, an allocation in
 * the packet path that can fail under load, is not paid: only user space inserts, and it reports
 * the failure.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FW_BANS_DEFAULT);
	__type(key, struct fw_key_v4);
	__type(value, struct fw_ban);
} fw_bans_v4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FW_BANS_DEFAULT);
	__type(key, struct fw_key_v6);
	__type(value, struct fw_ban);
} fw_bans_v6 SEC(".maps");

/* Per CPU, so that counting costs no cache line shared between cores. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FW_COUNT_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} fw_counts SEC(".maps");

#endif
