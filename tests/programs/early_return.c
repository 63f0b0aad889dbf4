// A search: the callback stops the loop when it has found what it looks for, and the number of iterations is the answer.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct search {
	__u32 wanted;
	__u32 found_at;
};

static long look(__u32 index, void *ctx)
{
	struct search *search = ctx;

	if ((index * 2654435761u) % 97 != search->wanted)
		return 0;
	search->found_at = index;
	return 1;
}

SEC("tp/syscalls/sys_enter_read")
int early_return(void *ctx)
{
	struct search search = { .wanted = bpf_get_prandom_u32() % 97 };
	long iterations;

	iterations = bpf_loop(1 << 12, look, &search, 0);
	if (iterations < 0)
		return 0;
	return iterations == search.found_at + 1;
}

char _license[] SEC("license") = "GPL";
