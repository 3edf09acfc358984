/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What the parser reads with: a cursor that only moves past bytes that exist, fields of any
 * alignment as numbers, and the names of what it finds. Part of parse.h, which says what holds for
 * all of it.
 *
 * It must never move or read without a check against the end of the packet.
 */
#ifndef FLOODWALL_CURSOR_H
#define FLOODWALL_CURSOR_H

#include <linux/types.h>

#include "packet.h"

#ifndef fw_inline
#define fw_inline static inline __attribute__((always_inline))
#endif

/* IP protocol numbers (IANA). Written out so that the file depends on no header that a host without
 * libbpf lacks. */
enum fw_protocol {
	FW_PROTOCOL_HOP_BY_HOP = 0,
	FW_PROTOCOL_ICMP = 1,
	FW_PROTOCOL_IP_IN_IP = 4,
	FW_PROTOCOL_TCP = 6,
	FW_PROTOCOL_UDP = 17,
	FW_PROTOCOL_IPV6_IN_IP = 41,
	FW_PROTOCOL_ROUTING = 43,
	FW_PROTOCOL_FRAGMENT = 44,
	FW_PROTOCOL_GRE = 47,
	FW_PROTOCOL_AUTHENTICATION = 51,
	FW_PROTOCOL_ICMPV6 = 58,
	FW_PROTOCOL_DESTINATION_OPTIONS = 60,
};

/* TCP flags (RFC 9293 section 3.1). Macros, in the words of sanity.h, which looks at them too. */
#define FW_TCP_FIN 0x01
#define FW_TCP_SYN 0x02
#define FW_TCP_RST 0x04
#define FW_TCP_ACK 0x10

/* What is left of the packet. `pos` only moves forward, and only past bytes that exist. */
struct fw_cursor {
	const void *pos;
	const void *end;
};

/* How far parsing came. struct fw_packet is to be read only after FW_PARSED_IP. */
enum fw_parsed {
	FW_PARSED_IP,
	FW_PARSED_NOT_IP,
	FW_PARSED_TRUNCATED, /* the captured bytes end before the headers do */
	FW_PARSED_MALFORMED, /* the IP header contradicts itself; the stack will drop it */
};

/* What the IP header says about what is behind it.
 *
 * Volatile, and away from the start of its 8-byte stack slot, so that the verifier forgets what it
 * knew of the two numbers (check_stack_write_fixed_off in kernel/bpf/verifier.c): it then sees the
 * transport headers behind every mixture of tags, options and extension headers as one case and not
 * as hundreds. */
struct fw_body {
	__u16 unused;
	volatile __u16 offset; /* of its first byte, from the start of the frame */
	volatile __u16 length; /* in bytes, by the IP header */
} __attribute__((aligned(8)));

/* More than any offset of a transport header: 2 tags, 40 bytes of IPv6, 6 extension headers of at
 * most 2,048 bytes. A mask for the verifier. */
#define FW_BODY_OFFSET_MASK 0x3fff

/* Fields in packets stand at any alignment. The filter's targets read them so in one go; on the
 * host only a copy is defined behaviour, and the compiler makes the same load of it. */
#ifdef __bpf__
typedef __u16 __attribute__((may_alias)) fw_bits16;
typedef __u32 __attribute__((may_alias)) fw_bits32;
typedef __u64 __attribute__((may_alias)) fw_bits64;
#define fw_load_raw16(at) (*(const fw_bits16 *)(at))
#define fw_load_raw32(at) (*(const fw_bits32 *)(at))
#define fw_load_raw64(at) (*(const fw_bits64 *)(at))
#else
fw_inline __u16 fw_load_raw16(const void *at)
{
	__u16 raw;

	__builtin_memcpy(&raw, at, sizeof(raw));
	return raw;
}

fw_inline __u32 fw_load_raw32(const void *at)
{
	__u32 raw;

	__builtin_memcpy(&raw, at, sizeof(raw));
	return raw;
}

fw_inline __u64 fw_load_raw64(const void *at)
{
	__u64 raw;

	__builtin_memcpy(&raw, at, sizeof(raw));
	return raw;
}
#endif

/* Big-endian fields as numbers. */
fw_inline __u16 fw_load16(const __u8 *at)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return __builtin_bswap16(fw_load_raw16(at));
#else
	return fw_load_raw16(at);
#endif
}

fw_inline __u32 fw_load32(const __u8 *at)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return __builtin_bswap32(fw_load_raw32(at));
#else
	return fw_load_raw32(at);
#endif
}

/* Copies a word as it stands; `to` is a member of struct fw_packet and thereby aligned. */
fw_inline void fw_copy32(__u8 *to, const __u8 *from)
{
	__u32 raw = fw_load_raw32(from);

	/* Said aloud, so that it is one store: whoever reads it back as a word would else wait for
	 * four of them. */
	__builtin_memcpy(__builtin_assume_aligned(to, 4), &raw, sizeof(raw));
}

/* Points `taken` at the next `size` bytes and moves past them; 0 when the packet is shorter, 1 when
 * not. */
fw_inline int fw_take(struct fw_cursor *cursor, __u64 size, const __u8 **taken)
{
	if (cursor->pos + size > cursor->end)
		return 0;
	*taken = cursor->pos;
	cursor->pos += size;
	return 1;
}

#endif
