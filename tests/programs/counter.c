// A loop that counts: the callback adds to a number in a context on the caller's stack.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct sum {
	__u64 total;
	__u32 step;
};

static long add(__u32 index, void *ctx)
{
	struct sum *sum = ctx;

	sum->total += (__u64)index * sum->step;
	return 0;
}

SEC("raw_tp/sys_enter")
int counter(__u64 *ctx)
{
	struct sum sum = { .total = 1, .step = ctx[0] & 7 };

	bpf_loop(100, add, &sum, 0);
	return sum.total;
}

char _license[] SEC("license") = "GPL";
