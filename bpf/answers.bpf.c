// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * The second way out for the SYN proof's answers, where the driver does not send what XDP answers:
 * the filter passes the finished answer with a seal in front of it, and this program, first on the
 * interface's TC ingress, sends it out by the way of every other packet. Attached only when it is
 * needed. Part of filter.bpf.c's object.
 *
 * A veth pair loses every XDP_TX whose far end has neither an XDP program nor GRO (veth_xdp_xmit in
 * drivers/net/veth.c); what comes from the stack it always takes.
 *
 * It must never touch a packet that has no seal of this filter's.
 */
#include "maps.h"

/* TCX_REDIRECT is what bpf_redirect returns; the others go on to whoever comes next. */
#define FW_ANSWERS_NEXT (-1)

SEC("classifier")
int floodwall_in(struct __sk_buff *skb)
{
	const __u64 *seal = (void *)(long)skb->data_meta;

	/* Bytes that only XDP on this host can have written; no sender reaches them. */
	if ((void *)(seal + 1) > (void *)(long)skb->data || *seal != fw_key)
		return FW_ANSWERS_NEXT;
	return bpf_redirect(skb->ifindex, 0);
}
