// A program that is run by a system call: it reads its arguments from the context and writes results back.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct args {
	__u64 count;
	__u64 result;
	__u64 values[4];
};

static long square(__u32 index, void *ctx)
{
	struct args *args = ctx;

	args->values[index & 3] += (__u64)index * index;
	return args->values[index & 3] > 1000000;
}

SEC("syscall")
int squares(struct args *args)
{
	args->result = bpf_loop(args->count, square, args, 0);
	return 0;
}

char _license[] SEC("license") = "GPL";
