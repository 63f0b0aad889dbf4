// Two callbacks at one call: which one runs is known only at run time, so the call cannot be inlined.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

static long up(__u32 index, void *ctx)
{
	*(__u64 *)ctx += index;
	return 0;
}

static long down(__u32 index, void *ctx)
{
	*(__u64 *)ctx -= index;
	return 0;
}

SEC("raw_tp/sys_enter")
int chosen_callback(__u64 *ctx)
{
	__u64 value = 1000;
	long (*callback)(__u32, void *) = ctx[1] & 1 ? up : down;

	bpf_loop(10, callback, &value, 0);
	return value;
}

// The same, with flags that are not known to be zero.
SEC("raw_tp/sys_exit")
int unknown_flags(__u64 *ctx)
{
	__u64 value = 0;

	bpf_loop(10, up, &value, ctx[0]);
	return value;
}

char _license[] SEC("license") = "GPL";
