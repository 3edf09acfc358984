/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What the kernel filter and its loader agree on: sizes, enums, maxima and map names. The only
 * file that both sides know; crates/floodwall-xdp/src/abi.rs repeats it in Rust and a test compiles
 * this file against that repetition. It must never include anything but <linux/types.h>, so that
 * it compiles on the host too.
 */
#ifndef FLOODWALL_ABI_H
#define FLOODWALL_ABI_H

#include <linux/types.h>

/* Map names as the loader looks them up; at most 15 characters (BPF_OBJ_NAME_LEN in linux/bpf.h). */
#define FW_MAP_BANS_V4 "fw_bans_v4"
#define FW_MAP_BANS_V6 "fw_bans_v6"
#define FW_MAP_COUNTS "fw_counts"

/* Program names as the loader looks them up. */
#define FW_PROGRAM_XDP "floodwall_xdp"
#define FW_PROGRAM_SOCKET "floodwall_sock"

/* Exact bans per family unless the loader says otherwise; the next power of two above
 * floodwall_model::limits::BANS_MAX, since the kernel rounds the bucket table up to one anyway. */
#define FW_BANS_DEFAULT 131072

/* Most exact bans per family that the loader may ask for. Beyond it the loader refuses to attach. */
#define FW_BANS_MAX 1000000

/* VLAN tags looked through: one provider tag around one customer tag (IEEE 802.1ad). A third is
 * "not IP" and passes. */
#define FW_VLAN_TAGS_MAX 2

/* What happens to a packet. */
enum fw_verdict {
	FW_VERDICT_PASS = 0,
	FW_VERDICT_DROP = 1,
	FW_VERDICTS = 2,
};

/* Why. Every packet is counted under exactly one verdict and reason. */
enum fw_reason {
	FW_REASON_NO_BAN = 0,      /* IPv4 or IPv6 from a source that is not banned */
	FW_REASON_BAN_EXPIRED = 1, /* a ban whose end has come and that is not swept yet */
	FW_REASON_NOT_IP = 2,      /* ARP, LLDP, more VLAN tags than FW_VLAN_TAGS_MAX, ... */
	FW_REASON_TRUNCATED = 3,   /* the packet ends before its IP header does */
	FW_REASON_MALFORMED = 4,   /* the IP header contradicts itself; the stack will drop it */
	FW_REASON_BANNED = 5,      /* the source is banned */
	FW_REASONS = 6,
};

/* Key of FW_MAP_BANS_V4: the address as it stands in the packet. */
struct fw_key_v4 {
	__be32 address_be;
};

/* Key of FW_MAP_BANS_V6: the /64 as it stands in the packet, that is, the address's first half.
 * Two words and no 64-bit one: an IPv6 header is only 4-byte aligned behind a VLAN tag. */
struct fw_key_v6 {
	__be32 network_be[2];
};

/* Value of both ban maps. */
struct fw_ban {
	__u64 expires_ktime_ns; /* on CLOCK_MONOTONIC, the clock of bpf_ktime_get_ns() */
	__u64 packets;          /* dropped on account of this ban */
};

/* FW_MAP_COUNTS is a per-CPU array of __u64 packet counts; this is the index of a pair. */
#define FW_COUNT_SLOT(verdict, reason) ((verdict) * FW_REASONS + (reason))
#define FW_COUNT_SLOTS (FW_VERDICTS * FW_REASONS)

#endif
