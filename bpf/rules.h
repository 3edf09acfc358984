/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Which rule a packet matches: up to 64 conjunctions at once, as bit vectors. For every value of
 * every dimension the table holds the set of rules that it satisfies; their intersection over the
 * dimensions is the set of rules that match. So the cost grows with the dimensions looked at and
 * not with the rules (Lakshman and Stiliadis, SIGCOMM 1998).
 *
 * The table is an argument, so that this file is the same in the kernel and on the host. It must
 * never write to it, and never include anything but abi.h.
 */
#ifndef FLOODWALL_RULES_H
#define FLOODWALL_RULES_H

#include "abi.h"

/* Rules that have ended but are not taken out yet are stepped over, so many at most: the verifier
 * wants a bound, and the loader takes them out within a second. */
#define FW_RULES_OVER_MAX 4

/* What was found. */
struct fw_match {
	__u8 rule;   /* FW_NO_RULE: none */
	__u8 shadow; /* it shall be counted and not dropped */
};

/* Number of the lowest bit that is set; `bits` is not 0. BPF has no instruction for it. */
fw_inline __u32 fw_lowest_bit(__u64 bits)
{
	__u32 number = 0;

	if (!(bits & 0xffffffffull)) {
		number += 32;
		bits >>= 32;
	}
	if (!(bits & 0xffff)) {
		number += 16;
		bits >>= 16;
	}
	if (!(bits & 0xff)) {
		number += 8;
		bits >>= 8;
	}
	if (!(bits & 0xf)) {
		number += 4;
		bits >>= 4;
	}
	if (!(bits & 0x3)) {
		number += 2;
		bits >>= 2;
	}
	return number + !(bits & 1);
}

/* Rules that `packet` satisfies in all dimensions. */
fw_inline __u64 fw_satisfied(const struct fw_rules *table, const struct fw_packet *packet)
{
	/* In this order, and once each: the loader writes a rule's dimensions before it sets the rule
	 * live, so a rule seen live has its dimensions seen too. */
	__u64 left = *(const volatile __u64 *)&table->live;
	__u32 dimensions = *(const volatile __u32 *)&table->dimensions;

#pragma unroll
	for (int d = 0; d < FW_DIMS; d++) {
		__u32 value = packet->values[d];

		if (!(dimensions & (1u << d)))
			continue;
		if (d < FW_DIMS_NARROW)
			value &= 0xff;
		left &= table->rows[FW_RULE_ROW(d) + value] | table->wild[d];
		if (!left)
			return 0;
	}
	return left;
}

/* The first rule that `packet` matches at `now`, in jiffies. The lowest number speaks. */
fw_inline struct fw_match fw_match_rules(const struct fw_rules *table,
					 const struct fw_packet *packet, __u32 now)
{
	struct fw_match match = { .rule = FW_NO_RULE };
	__u64 left = fw_satisfied(table, packet);

	for (int tries = 0; tries < FW_RULES_OVER_MAX && left; tries++) {
		__u32 number = fw_lowest_bit(left) & (FW_RULES - 1);

		if (!fw_is_over(table->rules[number].expires, now)) {
			match.rule = number;
			match.shadow = table->rules[number].shadow != 0;
			return match;
		}
		left &= left - 1;
	}
	return match;
}

#endif
