/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Looking a source up among the bans. Exact bans stand in a table of one-line buckets with two
 * choices. A key is in its second bucket only while its first is full to the last place, so that
 * a look at one cache line answers for nearly all sources that are not banned.
 * crates/floodwall-xdp/src/ban_slots.rs writes the table and keeps that promise.
 *
 * It must never write to the table but count.
 */
#ifndef FLOODWALL_BANS_H
#define FLOODWALL_BANS_H

#include "maps.h"

/* What a stage makes of a packet. */
enum fw_ban {
	FW_BAN_NONE = 0,
	FW_BAN_OVER = 1,
	FW_BAN_HOLDS = 2,
};

/* Odd multipliers: 2^64 over the golden ratio, and those of MurmurHash3's finaliser. Repeated in
 * ban_slots.rs. */
#define FW_MIX_FIRST 0x9e3779b97f4a7c15ull
#define FW_MIX_SECOND 0xff51afd7ed558ccdull
#define FW_MIX_THIRD 0xc4ceb9fe1a85ec53ull

fw_inline __u64 fw_mix(__u64 key)
{
	key = (key ^ fw_key) * FW_MIX_FIRST;
	key ^= key >> 32;
	return key * FW_MIX_SECOND;
}

fw_inline __u64 fw_mix_again(__u64 mixed)
{
	return (mixed ^ (mixed >> 29)) * FW_MIX_THIRD;
}

/* Place of `address_be` in bucket `number`: 0 to FW_BUCKET_V4 - 1, or -1 where it is not and the
 * bucket has a place left, or -2 where it is not and the second choice must be looked at. */
fw_inline int fw_place_v4(__u32 address_be, __u32 number, __u64 *entry)
{
	const struct fw_bucket_v4 *bucket = bpf_map_lookup_elem(&fw_bans_v4, &number);
	__u64 seen = 0;

	if (!bucket)
		return -1;
#pragma unroll
	for (int place = 0; place < FW_BUCKET_V4; place++) {
		/* Volatile: one load of both halves, so that no torn entry is seen. */
		seen = *(const volatile __u64 *)&bucket->entries[place];
		if ((__u32)seen == address_be) {
			*entry = seen;
			return place;
		}
	}
	return seen ? -2 : -1;
}

fw_inline enum fw_ban fw_find_v4(__u32 address_be, __u32 now)
{
	__u64 mixed = fw_mix(address_be);
	__u32 number = mixed >> fw_shift_v4;
	struct fw_hits_v4 *hits;
	__u64 entry = 0;
	int place = fw_place_v4(address_be, number, &entry);

	if (place == -2) {
		number = fw_mix_again(mixed) >> fw_shift_v4;
		place = fw_place_v4(address_be, number, &entry);
	}
	/* A free place looks like 0.0.0.0, which cannot be banned. */
	if (place < 0 || !(entry >> 32))
		return FW_BAN_NONE;
	if (fw_is_over(entry >> 32, now))
		return FW_BAN_OVER;
	hits = bpf_map_lookup_elem(&fw_hits_v4, &number);
	/* Atomic: one source's packets may arrive on several CPUs. */
	if (hits)
		__sync_fetch_and_add(&hits->packets[place & (FW_BUCKET_V4 - 1)], 1);
	return FW_BAN_HOLDS;
}

/* As fw_place_v4. */
fw_inline int fw_place_v6(__u64 network, __u32 number, struct fw_ban_v6 **ban)
{
	struct fw_bucket_v6 *bucket = bpf_map_lookup_elem(&fw_bans_v6, &number);
	__u64 seen = 0;

	if (!bucket)
		return -1;
#pragma unroll
	for (int place = 0; place < FW_BUCKET_V6; place++) {
		seen = *(const volatile __u64 *)&bucket->entries[place].network;
		if (seen == network) {
			*ban = &bucket->entries[place];
			return place;
		}
	}
	return seen ? -2 : -1;
}

fw_inline enum fw_ban fw_find_v6(__u64 network, __u32 now)
{
	__u64 mixed = fw_mix(network);
	struct fw_ban_v6 *ban = 0;
	__u32 expires;
	int place = fw_place_v6(network, mixed >> fw_shift_v6, &ban);

	if (place == -2)
		place = fw_place_v6(network, fw_mix_again(mixed) >> fw_shift_v6, &ban);
	if (place < 0 || !ban)
		return FW_BAN_NONE;
	expires = *(const volatile __u32 *)&ban->expires;
	if (!expires)
		return FW_BAN_NONE;
	if (fw_is_over(expires, now))
		return FW_BAN_OVER;
	__sync_fetch_and_add(&ban->packets, 1);
	return FW_BAN_HOLDS;
}

/* Half an IPv6 address, as one word. Read as the parser wrote it, in two: reading both
 * at once would wait until they have reached the cache. */
fw_inline __u64 fw_network_of(const __u8 *half)
{
	const __u32 *words = (const __u32 *)half;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return (__u64)words[1] << 32 | words[0];
#else
	return (__u64)words[0] << 32 | words[1];
#endif
}

fw_inline enum fw_ban fw_weigh_net(const struct fw_net *net, __u32 now)
{
	if (!net)
		return FW_BAN_NONE;
	return fw_is_over(net->expires, now) ? FW_BAN_OVER : FW_BAN_HOLDS;
}

/* What the bans say of a source, FW_REASON_NO_OBJECTION or a reason. `source` as in struct
 * fw_packet. */
fw_inline enum fw_reason fw_bans_of(__u32 holds, __u32 version, const __u8 *source, __u32 now)
{
	enum fw_ban exact = FW_BAN_NONE, net = FW_BAN_NONE;

	if (version == 4) {
		if (holds & FW_HOLDS_BANS_V4)
			exact = fw_find_v4(*(const __u32 *)source, now);
		if (exact == FW_BAN_HOLDS)
			return FW_REASON_SOURCE_BANNED;
		if (holds & FW_HOLDS_NETS_V4) {
			struct fw_prefix_v4 key = { .bits = 32, .address_be = *(const __u32 *)source };

			net = fw_weigh_net(bpf_map_lookup_elem(&fw_nets_v4, &key), now);
		}
	} else {
		if (holds & FW_HOLDS_BANS_V6)
			exact = fw_find_v6(fw_network_of(source), now);
		if (exact == FW_BAN_HOLDS)
			return FW_REASON_SOURCE_BANNED;
		if (holds & FW_HOLDS_NETS_V6) {
			struct fw_prefix_v6 key = { .bits = 128 };

			__builtin_memcpy(key.address, source, sizeof(key.address));
			net = fw_weigh_net(bpf_map_lookup_elem(&fw_nets_v6, &key), now);
		}
	}
	if (net == FW_BAN_HOLDS)
		return FW_REASON_NETWORK_BANNED;
	return exact == FW_BAN_OVER || net == FW_BAN_OVER ? FW_REASON_BAN_EXPIRED
							   : FW_REASON_NO_OBJECTION;
}

/* Whether the allow list names the source. */
fw_inline int fw_is_allowed(__u32 holds, __u32 version, const __u8 *source)
{
	if (version == 4) {
		struct fw_prefix_v4 key = { .bits = 32, .address_be = *(const __u32 *)source };

		return (holds & FW_HOLDS_ALLOW_V4) && bpf_map_lookup_elem(&fw_allow_v4, &key);
	} else {
		struct fw_prefix_v6 key = { .bits = 128 };

		__builtin_memcpy(key.address, source, sizeof(key.address));
		return (holds & FW_HOLDS_ALLOW_V6) && bpf_map_lookup_elem(&fw_allow_v6, &key);
	}
}

#endif
