// Types that no kernel takes: a parameter without a name. libbpf loads the programs without types.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("socket") __attribute__((naked)) int unnamed(void *ctx)
{
	asm volatile("r0 = 0; exit;");
}

SEC("socket") int innocent(void *ctx)
{
	return 0;
}

static long step(__u32 n, void *ctx)
{
	return 0;
}

SEC("socket") int calls_back(void *ctx)
{
	return bpf_loop(3, step, 0, 0);
}

// Without types it is verified for each call, so its argument is known.
__attribute__((noinline)) int global(__u64 *to)
{
	*to = 1;
	return 0;
}

SEC("socket") int calls_global(void *ctx)
{
	__u64 word;

	global(&word);
	return word;
}

char _license[] SEC("license") = "GPL";
