// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The kernel filter's parser, matcher and sanity rules as functions of this host, so that a replay,
 * the tests and the fuzzer judge packets by the very lines that the kernel runs. Calls and nothing
 * else: what is decided here would be decided twice.
 *
 * Needs a C compiler and the kernel's own headers (linux/types.h), neither clang nor libbpf.
 */
#include "abi.h"
#include "icmp.h"
#include "parse.h"
#include "rules.h"
#include "sanity.h"

/* enum fw_parsed; `packet` is written whole in any case. */
__u32 fw_host_parse_frame(const __u8 *bytes, __u64 length, struct fw_packet *packet)
{
	struct fw_cursor cursor = {bytes, bytes + length};

	return fw_parse_frame(&cursor, packet, 1);
}

__u32 fw_host_parse_ip(const __u8 *bytes, __u64 length, struct fw_packet *packet)
{
	struct fw_cursor cursor = {bytes, bytes + length};

	return fw_parse_ip(&cursor, packet, 1);
}

/* 0: the glance says nothing of this frame. */
__u32 fw_host_peek(const __u8 *bytes, __u64 length, struct fw_glance *glance)
{
	return fw_peek(bytes, bytes + length, glance);
}

/* enum fw_reason. */
__u32 fw_host_sanity(const struct fw_packet *packet)
{
	return fw_sanity(packet);
}

/* enum fw_icmp_need, of ICMP. */
__u32 fw_host_icmp_need(const struct fw_packet *packet)
{
	return fw_icmp_need(packet);
}

/* Bytes of a rule table. */
__u64 fw_host_rules_size(void)
{
	return sizeof(struct fw_rules);
}

/* Rule `rule` (below FW_RULES) looks at `dimension` (below FW_DIMS): no value satisfies it yet. */
void fw_host_rules_look_at(struct fw_rules *table, __u32 rule, __u32 dimension)
{
	table->dimensions |= 1u << dimension;
	table->wild[dimension] &= ~(1ull << rule);
}

/* `value` of `dimension` satisfies `rule`. */
void fw_host_rules_satisfy(struct fw_rules *table, __u32 rule, __u32 dimension, __u16 value)
{
	if (dimension < FW_DIMS_NARROW)
		value &= 0xff;
	table->rows[FW_RULE_ROW(dimension) + value] |= 1ull << rule;
}

/* Brings a rule to life that looks at nothing yet, until `expires`. */
void fw_host_rules_add(struct fw_rules *table, __u32 rule, __u32 expires)
{
	for (__u32 dimension = 0; dimension < FW_DIMS; dimension++)
		table->wild[dimension] |= 1ull << rule;
	table->rules[rule].expires = expires;
	table->live |= 1ull << rule;
}

/* The number of the rule that speaks, or FW_NO_RULE. */
__u32 fw_host_match(const struct fw_rules *table, const struct fw_packet *packet, __u32 now)
{
	return fw_match_rules(table, packet, now).rule;
}
