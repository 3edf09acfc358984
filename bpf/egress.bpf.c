// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * What leaves this host, seen by TC: notes each UDP question and each echo request, so that its answer is known when it
 * comes, and counts bytes by destination network, so that an attack that goes out from here is
 * noticed. Part of filter.bpf.c's object.
 *
 * It must never hold up, change or drop what this host sends.
 */
#include "icmp.h"
#include "maps.h"
#include "parse.h"
#include "sanity.h"

/* TC_ACT_UNSPEC in linux/pkt_cls.h and TCX_NEXT in linux/bpf.h: whoever comes next decides. */
#define FW_EGRESS_NEXT (-1)

fw_inline void fw_note_question(const struct fw_packet *packet, const struct fw_policy *policy)
{
	struct fw_question question = {
		.remote_port = packet->values[FW_DIM_DESTINATION_PORT],
		.local_port = packet->values[FW_DIM_SOURCE_PORT],
		.version = packet->version,
	};
	__u32 now = bpf_jiffies64();
	__u32 expires = now + FW_ASKED_SECONDS * policy->second;
	__u32 *noted;

	__builtin_memcpy(question.remote, packet->destination, sizeof(question.remote));
	noted = bpf_map_lookup_elem(&fw_asked, &question);
	if (noted)
		*noted = expires;
	else
		bpf_map_update_elem(&fw_asked, &question, &expires, BPF_ANY);
}

fw_inline void fw_count_egress(const struct fw_packet *packet, __u32 bytes)
{
	struct fw_egress_net net = { .version = packet->version };
	struct fw_volume *volume;

	__builtin_memcpy(net.bytes, packet->destination, 3);
	if (packet->version == 6)
		__builtin_memcpy(net.bytes + 3, packet->destination + 3, 3);
	volume = bpf_map_lookup_elem(&fw_egress, &net);
	if (volume) {
		volume->packets++;
		volume->bytes += bytes;
	} else {
		struct fw_volume first = { .packets = 1, .bytes = bytes };

		bpf_map_update_elem(&fw_egress, &net, &first, BPF_ANY);
	}
}

SEC("classifier")
int floodwall_out(struct __sk_buff *skb)
{
	struct fw_cursor cursor = {
		.pos = (void *)(long)skb->data,
		.end = (void *)(long)skb->data_end,
	};
	__u32 zero = 0;
	struct fw_policy *policy = bpf_map_lookup_elem(&fw_policy, &zero);
	struct fw_packet packet __attribute__((aligned(8)));

	if (!policy || fw_parse_frame(&cursor, &packet, 0) != FW_PARSED_IP)
		return FW_EGRESS_NEXT;
	fw_count_egress(&packet, skb->len);
	if ((packet.values[FW_DIM_PROTOCOL] == FW_PROTO_UDP && packet.l4_offset) ||
	    (fw_is_icmp(packet.values[FW_DIM_PROTOCOL]) && fw_icmp_is_request(&packet)))
		fw_note_question(&packet, policy);
	return FW_EGRESS_NEXT;
}
