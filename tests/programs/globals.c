// Variables: constants that the loader may set, variables with and without a first value, a string, a static one.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 rounds = 12;
const volatile __u16 limits[4] = { 1, 2, 3, 4 };
__u64 total = 40;
__u64 last_index;
static volatile __u32 calls = 3;
static char buffer[24];

static long add(__u32 index, void *ctx)
{
	total += limits[index & 3];
	last_index = index;
	buffer[index % sizeof(buffer)] = index;
	return 0;
}

SEC("raw_tp/sys_enter")
int globals(void *ctx)
{
	char text[] = "bpf_loop says";

	bpf_loop(rounds, add, 0, 0);
	calls++;
	bpf_printk("%s %d", text, calls);
	return total + buffer[1];
}

char _license[] SEC("license") = "GPL";
