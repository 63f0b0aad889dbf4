// A map that is defined as it was before BTF.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct legacy_map_def {
	unsigned int type;
	unsigned int key_size;
	unsigned int value_size;
	unsigned int max_entries;
	unsigned int map_flags;
};

struct legacy_map_def SEC("maps") first = {
	.type = BPF_MAP_TYPE_HASH,
	.key_size = 8,
	.value_size = 16,
	.max_entries = 3,
	.map_flags = BPF_F_NO_PREALLOC,
};

struct legacy_map_def SEC("maps") second = {
	.type = BPF_MAP_TYPE_ARRAY,
	.key_size = 4,
	.value_size = 4,
	.max_entries = 2,
};

static long clear(__u32 index, void *ctx)
{
	__u32 *value = bpf_map_lookup_elem(&second, &index);

	if (!value)
		return 1;
	*value = 0;
	return 0;
}

SEC("perf_event")
int legacy_map(void *ctx)
{
	return bpf_loop(2, clear, 0, 0);
}

char _license[] SEC("license") = "GPL";
