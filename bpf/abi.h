/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What the kernel filter and its loader agree on: sizes, enums, maxima and map names. With
 * packet.h the only file that both sides know; crates/floodwall-xdp/src/abi.rs repeats it in Rust
 * and a test compiles this file against that repetition. It must never include anything but
 * packet.h and <linux/types.h>, so that it compiles on the host too.
 *
 * Times are jiffies, the kernel's count of timer ticks: reading them costs a load, any clock in ns
 * at least ten times as much. The loader measures how long a tick is.
 */
#ifndef FLOODWALL_ABI_H
#define FLOODWALL_ABI_H

#include <linux/types.h>

#include "packet.h"

#ifndef fw_inline
#define fw_inline static inline __attribute__((always_inline))
#endif

/* Map names as the loader looks them up; at most 15 characters (BPF_OBJ_NAME_LEN in linux/bpf.h). */
#define FW_MAP_POLICY "fw_policy"
#define FW_MAP_RULES "fw_rules"
#define FW_MAP_COUNTS "fw_counts"
#define FW_MAP_BANS_V4 "fw_bans_v4"
#define FW_MAP_BANS_V6 "fw_bans_v6"
#define FW_MAP_HITS_V4 "fw_hits_v4"
#define FW_MAP_NETS_V4 "fw_nets_v4"
#define FW_MAP_NETS_V6 "fw_nets_v6"
#define FW_MAP_ALLOW_V4 "fw_allow_v4"
#define FW_MAP_ALLOW_V6 "fw_allow_v6"
#define FW_MAP_PORTS "fw_ports"
#define FW_MAP_LOCAL "fw_local"
#define FW_MAP_ASKED "fw_asked"
#define FW_MAP_FRAGMENTS "fw_fragments"
#define FW_MAP_SOURCES "fw_sources"
#define FW_MAP_ICMP "fw_icmp"
#define FW_MAP_EGRESS "fw_egress"
#define FW_MAP_SAMPLES "fw_samples"

/* Program names as the loader looks them up. */
#define FW_PROGRAM_XDP "floodwall_xdp"
#define FW_PROGRAM_XDP_PLAIN "floodwall_xdp1"
#define FW_PROGRAM_EMPTY "floodwall_empty"
#define FW_PROGRAM_SOCKET "floodwall_sock"
#define FW_PROGRAM_EGRESS "floodwall_out"
#define FW_PROGRAM_ANSWERS "floodwall_in"
#define FW_PROGRAM_CLOCK "floodwall_clock"

/* Exact bans per family unless the loader says otherwise; the next power of two above
 * floodwall_model::limits::BANS_MAX. */
#define FW_BANS_DEFAULT 131072

/* Most exact bans per family that the loader may ask for. Beyond it the loader refuses to attach. */
#define FW_BANS_MAX 1048576

/* Network bans per family. When full: the loader refuses the next and counts it. */
#define FW_NETS_MAX 131072

/* Allowed networks per family. When full: the loader refuses the next. */
#define FW_ALLOW_MAX 4096

/* Addresses of this host. When full: the guards spare the addresses left out. */
#define FW_LOCAL_MAX 1024

/* How they lie in memory: as many buckets as addresses, by a keyed hash, with eight places each. When
 * a bucket is full: as above; the loader warns. */
#define FW_LOCAL_BUCKET_BITS 10
#define FW_LOCAL_BUCKETS (1 << FW_LOCAL_BUCKET_BITS)
#define FW_LOCAL_PLACES 8

/* Questions of ours that wait for an answer. When full: the longest unused is forgotten, and its
 * answer taken for unsolicited while the UDP guard stands. */
#define FW_ASKED_MAX 32768

/* Datagrams whose first fragment was welcome. When full: as FW_ASKED_MAX. */
#define FW_FRAGMENTS_MAX 16384

/* Sources with a token bucket. When full: the longest unused is forgotten and starts anew with a
 * full bucket, so a flood of more sources than this is for the signatures to stop. */
#define FW_SOURCES_MAX 65536

/* Shares that sources of ICMP are spread over by a keyed hash (floodwall_model::packet::ICMP_SHARES):
 * 2 to the FW_ICMP_SHARE_BITS. Never full; sources that fall together share. */
#define FW_ICMP_SHARE_BITS 4
#define FW_ICMP_SHARES (1 << FW_ICMP_SHARE_BITS)

/* Destination networks whose bytes are counted. When full: the longest unused is forgotten. */
#define FW_EGRESS_MAX 16384

/* Bytes of the ring of samples. When full: the sample is lost and counted (fw_counts.lost). */
#define FW_SAMPLES_BYTES (1 << 20)

/* Rules at once (floodwall_model::limits::PACKET_RULES_MAX): the bits of a word. */
#define FW_RULES 64

/* In struct fw_sample: no rule spoke. */
#define FW_NO_RULE 0xff

/* VLAN tags looked through: one provider tag around one customer tag (IEEE 802.1ad). A third is
 * "not IP" and passes. */
#define FW_VLAN_TAGS_MAX 2

/* What happens to a packet. */
enum fw_verdict {
	FW_VERDICT_PASS = 0,
	FW_VERDICT_DROP = 1,
	FW_VERDICT_TX = 2, /* rewritten and sent back */
	FW_VERDICTS = 3,
};

/* Why (floodwall_model::packet::PacketReason). Every packet is counted under exactly one. Up to
 * FW_REASON_COOKIE_VALID it passes, FW_REASON_COOKIE_SENT is sent back, the others are drops. */
enum fw_reason {
	FW_REASON_NO_OBJECTION = 0,
	FW_REASON_BAN_EXPIRED = 1,
	FW_REASON_NOT_IP = 2,
	FW_REASON_TRUNCATED = 3,
	FW_REASON_MALFORMED = 4,
	FW_REASON_ALLOWED = 5,
	FW_REASON_COOKIE_VALID = 6,
	FW_REASON_SOURCE_BANNED = 7,
	FW_REASON_NETWORK_BANNED = 8,
	FW_REASON_IMPOSSIBLE_FLAGS = 9,
	FW_REASON_HEADER_TOO_SHORT = 10,
	FW_REASON_LAND = 11,
	FW_REASON_MARTIAN_SOURCE = 12,
	FW_REASON_PORT_ZERO = 13,
	FW_REASON_SIGNATURE = 14,
	FW_REASON_OUT_OF_STATE = 15,
	FW_REASON_UNSOLICITED_UDP = 16,
	FW_REASON_SOURCE_RATE = 17,
	FW_REASON_COOKIE_SENT = 18,
	FW_REASON_ICMP_RATE = 19,
	FW_REASONS = 20,
};

/* fw_policy.holds: which tables have anything in them, so that empty ones cost nothing. */
enum fw_holds {
	FW_HOLDS_BANS_V4 = 0x01,
	FW_HOLDS_BANS_V6 = 0x02,
	FW_HOLDS_NETS_V4 = 0x04,
	FW_HOLDS_NETS_V6 = 0x08,
	FW_HOLDS_ALLOW_V4 = 0x10,
	FW_HOLDS_ALLOW_V6 = 0x20,
	FW_HOLDS_SOLICITED = 0x40, /* a live rule looks at FW_TP_SOLICITED */
	FW_HOLDS_RULES = 0x80,
	FW_HOLDS_OPTIONS = 0x100, /* a live rule looks at TCP options */
	FW_HOLDS_SOURCE_RATE = 0x200, /* the operator gave each source its share */
};

/* fw_policy.guards (floodwall_model::packet::Guards). */
enum fw_guard {
	FW_GUARD_SYN_PROOF = 0x01,
	FW_GUARD_TCP_STATE = 0x02,
	FW_GUARD_UDP_SOLICITED = 0x04,
	FW_GUARD_ICMP = 0x08,
	/* No guard: how the SYN proof's answers leave; see answers.bpf.c. */
	FW_GUARD_VIA_STACK = 0x10,
};

/* fw_port.services. */
enum fw_service {
	FW_SERVICE_TCP = 0x01, /* a listener: SYNs are answered with a cookie in flood state */
	FW_SERVICE_UDP = 0x02, /* datagrams are welcome although nobody asked */
};

/* Tokens are counted in 1/65,536. */
#define FW_TOKEN 65536u

/* A rate limit: what flows in per jiffy, and how much a bucket holds, in 1/FW_TOKEN tokens. */
struct fw_rate {
	__u32 per_jiffy;
	__u32 burst;
};

/* How wide a source is taken: the key of its bucket. */
enum fw_width {
	FW_WIDTH_V4 = 0, /* /32 */
	FW_WIDTH_64 = 1,
	FW_WIDTH_56 = 2,
	FW_WIDTH_48 = 3,
	FW_WIDTHS = 4,
};

/* FW_MAP_POLICY, one entry, written by the loader while packets are looked at: every field is
 * read and written whole, and the loader orders its writes. The first 64 bytes are what every
 * packet looks at. */
struct fw_policy {
	__u64 lease_until;  /* jiffies; from then on bans, rules and guards are ignored */
	__u64 guards_until; /* jiffies; from then on the guards are ignored */
	__u32 holds;        /* enum fw_holds */
	__u32 guards;       /* enum fw_guard */
	__u32 sample_every; /* N of 1:N, a power of two; 0: no samples */
	__u32 mss;          /* of SYN-ACKs that are sent for the stack: IPv4 low half, IPv6 high */
	__u32 second;       /* jiffies in a second */
	__u32 revision;     /* of the rules, for the samples */
	__u64 clock_ns;     /* written by FW_PROGRAM_CLOCK: ktime... */
	__u64 clock_jiffies; /* ...and jiffies at the same moment */
	__u64 spare;
	struct fw_rate packets[FW_WIDTHS]; /* with FW_HOLDS_SOURCE_RATE */
	struct fw_rate connections[FW_WIDTHS]; /* SYNs */
	struct fw_rate icmp_errors;    /* of each of FW_ICMP_SHARES */
	struct fw_rate icmp_questions; /* likewise */
};

/* A rule's own values. */
struct fw_rule {
	__u32 expires; /* jiffies, low half: it speaks until then */
	__u32 shadow;  /* it is counted and drops nothing */
};

/* Rows of the rule table: one per value of each dimension. */
#define FW_RULE_ROWS (FW_DIMS_NARROW * 256 + (FW_DIMS - FW_DIMS_NARROW) * 65536)

/* The row of value 0 of a dimension. */
#define FW_RULE_ROW(dimension)                       \
	((dimension) < FW_DIMS_NARROW                \
		 ? (dimension) * 256                 \
		 : FW_DIMS_NARROW * 256 + ((dimension) - FW_DIMS_NARROW) * 65536)

/* FW_MAP_RULES, one entry; see rules.h. Bit r of every mask is rule r. */
struct fw_rules {
	__u64 live;          /* rules that are complete and may speak */
	__u32 dimensions;    /* bit d: a live rule looks at dimension d */
	__u32 spare;
	__u64 wild[FW_DIMS + 1]; /* rules that do not look at the dimension */
	struct fw_rule rules[FW_RULES];
	__u64 rows[FW_RULE_ROWS]; /* rules that a value satisfies */
};

/* A bucket of FW_MAP_BANS_V4 is one cache line. An entry is the address as it stands in the packet
 * in the low half and the jiffies at which the ban ends in the high half; 0 is a free place. */
#define FW_BUCKET_V4 8
struct fw_bucket_v4 {
	__u64 entries[FW_BUCKET_V4];
};

/* Packets dropped on account of each entry of the bucket of the same number, modulo 2^32. */
struct fw_hits_v4 {
	__u32 packets[FW_BUCKET_V4];
};

/* A bucket of FW_MAP_BANS_V6. Network 0 is a free place, end 0 one that is being written. */
#define FW_BUCKET_V6 4
struct fw_ban_v6 {
	__u64 network; /* the address's first half as it stands in the packet */
	__u32 expires;
	__u32 packets; /* dropped on account of it, modulo 2^32 */
};
struct fw_bucket_v6 {
	struct fw_ban_v6 entries[FW_BUCKET_V6];
};

/* Keys of the tries (struct bpf_lpm_trie_key_u8 in linux/bpf.h). */
struct fw_prefix_v4 {
	__u32 bits;
	__be32 address_be;
};
struct fw_prefix_v6 {
	__u32 bits;
	__u8 address[16];
};

/* Value of the tries of banned networks. */
struct fw_net {
	__u32 expires; /* jiffies, low half */
	__u32 spare;
};

/* FW_MAP_PORTS: one entry per port of this host. */
struct fw_port {
	__u32 services;  /* enum fw_service */
	__u32 stamped;   /* jiffies, low half, of the last overflow stamp; see cookie.h */
};

/* A bucket of FW_MAP_LOCAL: addresses as in struct fw_packet, IPv4 in the first four bytes, each in
 * two words as they stand in the packet. All zeros is a free place. */
struct fw_local_bucket {
	__u64 places[FW_LOCAL_PLACES][2];
};

/* Key of FW_MAP_ASKED: whom this host asked, from which port. Ports in host order. Of an echo
 * request remote_port is its code, 0, to which no datagram can be sent, and local_port its type. */
struct fw_question {
	__u8 remote[16];
	__u16 remote_port;
	__u16 local_port;
	__u32 version;
};

/* Key of FW_MAP_FRAGMENTS. IPv6 identifications are not known to the parser and are 0. */
struct fw_datagram {
	__u8 source[16];
	__u8 destination[16];
	__u32 id;
	__u32 version;
};

/* Answers and later fragments are welcome for so long after the question or the first fragment. */
#define FW_ASKED_SECONDS 30

/* A token bucket; see limit.h. */
struct fw_tokens {
	__u32 left;     /* in 1/FW_TOKEN */
	__u32 refilled; /* jiffies, low half */
};

/* Key of FW_MAP_SOURCES. */
struct fw_limited {
	__u64 network; /* as it stands in the packet, bits beyond the width 0 */
	__u32 width;   /* enum fw_width */
	__u32 spare;
};
struct fw_share {
	struct fw_tokens packets;
	struct fw_tokens connections;
};

/* An entry of FW_MAP_ICMP. The loader fills it when it raises the guard. */
struct fw_icmp_share {
	struct fw_tokens errors;
	struct fw_tokens questions;
};

/* Key of FW_MAP_EGRESS: a /24 or a /48 as it stands in the packet, the rest 0. */
struct fw_egress_net {
	__u8 bytes[6];
	__u16 version;
};
struct fw_volume {
	__u64 packets;
	__u64 bytes;
};

/* One packet on its way through the stages. It stands in per-CPU memory and not on the stack:
 * there the verifier would follow every value that the parser can produce through every stage
 * behind it, a million steps and more. */
struct fw_passage {
	__u64 now;     /* jiffies */
	__u32 holds;   /* of the policy, at the moment the packet came */
	__u32 guards;
	__u32 rule;    /* or FW_NO_RULE */
	__u32 shadow;
	__u32 reason;
	__s32 known;   /* what was learned of its connection (guards.h), or -1 */
	__u8 is_sample;
	__u8 leased;
	__u8 wants_options;
	__u8 spare[5];
	struct fw_packet packet;
	__u32 frame_bytes;
};

/* FW_MAP_COUNTS, one entry per CPU: counting costs no cache line shared between cores. */
struct fw_counts {
	__u64 reasons[FW_REASONS];
	__u64 until_sample; /* packets up to and with the next sample */
	struct fw_volume classes[FW_CLASSES];
	__u64 matched[FW_RULES];
	__u64 samples;
	__u64 lost;         /* samples that found the ring full */
	__u64 sample_weight; /* packets that the next sample stands for */
	__u64 lapsed;       /* packets seen after the lease had ended */
	__u64 unanswered;   /* SYNs that should have been answered and could not be */
	struct fw_passage passage; /* no count: the packet this CPU is looking at */
};

/* What goes into the ring of samples. */
struct fw_sample {
	__u64 jiffies;
	__u32 weight;
	__u32 frame_bytes;
	__u8 reason; /* enum fw_reason */
	__u8 rule;   /* or FW_NO_RULE */
	__u16 spare;
	__u32 revision;
	struct fw_packet packet;
};

/* Whether `expires` has come at `now`, both the low half of jiffies; right for 2^31 ticks, 24 days
 * at 1,000 Hz, and nothing lives longer than minutes. */
fw_inline int fw_is_over(__u32 expires, __u32 now)
{
	return (__s32)(expires - now) <= 0;
}

#endif
