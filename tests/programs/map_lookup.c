// A histogram: the callback looks up an entry of a map for each iteration, and a second map has the settings.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define BUCKETS 16

struct settings {
	__u32 rounds;
	__u32 weight;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BUCKETS);
	__type(key, __u32);
	__type(value, __u64);
} histogram SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct settings));
	__uint(map_flags, BPF_F_NO_PREALLOC);
} by_pid SEC(".maps");

// No program refers to this one.
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} unused SEC(".maps");

static long fill(__u32 index, void *ctx)
{
	struct settings *settings = ctx;
	__u32 key = (index * 7) % BUCKETS;
	__u64 *bucket;

	bucket = bpf_map_lookup_elem(&histogram, &key);
	if (!bucket)
		return 1;
	*bucket += settings->weight;
	return 0;
}

SEC("kprobe/do_nanosleep")
int map_lookup(void *ctx)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct settings settings = { .rounds = 32, .weight = 1 }, *own;

	own = bpf_map_lookup_elem(&by_pid, &pid);
	if (own)
		settings = *own;
	return bpf_loop(settings.rounds, fill, &settings, 0);
}

char _license[] SEC("license") = "GPL";
