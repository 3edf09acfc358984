/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The token bucket in C; crates/floodwall-xdp/src/limit.rs is its twin, and a test feeds both the
 * same inputs. Integers only, no division: the loader brings rates into tokens per jiffy.
 *
 * It must never include anything but abi.h.
 */
#ifndef FLOODWALL_LIMIT_H
#define FLOODWALL_LIMIT_H

#include "abi.h"

/* Takes a token at `now`, jiffies; 0 when there is none. A clock that steps back adds nothing. A
 * rate of zeros is no limit. */
fw_inline int fw_take_token(struct fw_tokens *bucket, const struct fw_rate *rate, __u32 now)
{
	__u32 elapsed = now - bucket->refilled;
	__u64 left = bucket->left;

	if (!rate->burst)
		return 1;
	if ((__s32)elapsed > 0) {
		left += (__u64)elapsed * rate->per_jiffy;
		bucket->refilled = now;
	}
	if (left > rate->burst)
		left = rate->burst;
	if (left < FW_TOKEN) {
		bucket->left = left;
		return 0;
	}
	bucket->left = left - FW_TOKEN;
	return 1;
}

#endif
