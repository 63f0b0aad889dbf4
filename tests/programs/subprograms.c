// Loops in functions that programs share: a static one, a global one, and a hidden one, some of which call each other.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

static long mix(__u32 index, void *ctx)
{
	__u64 *state = ctx;

	*state = *state * 6364136223846793005ull + index;
	return 0;
}

static __noinline __u64 stirred(__u64 seed, __u32 times)
{
	bpf_loop(times, mix, &seed, 0);
	return seed;
}

__noinline int global_stir(__u32 seed)
{
	return stirred(seed, 5) & 0xff;
}

__hidden __noinline int hidden_stir(__u32 seed)
{
	return stirred(seed, 3) & 0x7f;
}

SEC("socket")
int only_static(struct __sk_buff *skb)
{
	return stirred(skb->len, 9);
}

SEC("socket")
int with_global(struct __sk_buff *skb)
{
	return global_stir(skb->len) + stirred(skb->mark, 2);
}

SEC("classifier")
int with_hidden(struct __sk_buff *skb)
{
	return hidden_stir(skb->len) ? 0 : 1;
}

char _license[] SEC("license") = "GPL";
