// Sizes that are left to whoever loads the object, and sizes beyond what a machine for tests has.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define MAP(name, kind, key_t, value_t, ...)		\
	struct {					\
		__uint(type, BPF_MAP_TYPE_##kind);	\
		__type(key, key_t);			\
		__type(value, value_t);			\
		__VA_ARGS__				\
	} name SEC(".maps")

struct wide {
	char bytes[720000];
};

MAP(array, ARRAY, __u32, __u64);
MAP(table, HASH, __u32, __u64);
MAP(each_cpu, PERCPU_ARRAY, __u32, __u64);
MAP(recent, LRU_HASH, __u32, __u64);
MAP(wide, ARRAY, __u32, struct wide, __uint(max_entries, 1000););
MAP(crowd, HASH, __u32, __u64, __uint(max_entries, 100000000););
MAP(cpus, PERCPU_ARRAY, __u32, char[32768], __uint(max_entries, 1000000););
MAP(too_wide, PERCPU_ARRAY, __u32, char[32769], __uint(max_entries, 1););

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 5000);
} odd_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} storage SEC(".maps");

static char zeros[300 << 20];

#define LOOK(map)					\
	SEC("socket") int in_##map(void *ctx)		\
	{						\
		__u32 key = 0;				\
		return bpf_map_lookup_elem(&map, &key) != 0; \
	}

LOOK(array)
LOOK(table)
LOOK(each_cpu)
LOOK(recent)
LOOK(wide)
LOOK(crowd)
LOOK(cpus)
LOOK(too_wide)

SEC("socket") int in_ring(void *ctx)
{
	return bpf_ringbuf_query(&ring, BPF_RB_RING_SIZE);
}

SEC("socket") int in_odd_ring(void *ctx)
{
	return bpf_ringbuf_query(&odd_ring, BPF_RB_RING_SIZE);
}

SEC("xdp") int in_events(struct xdp_md *ctx)
{
	return bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &(__u64){ 1 }, 8);
}

SEC("tc") int in_storage(struct __sk_buff *ctx)
{
	return ctx->sk && bpf_sk_storage_delete(&storage, ctx->sk);
}

SEC("socket") int in_zeros(void *ctx)
{
	return *(volatile char *)&zeros[200 << 20];
}

SEC("socket") int in_none(void *ctx)
{
	return 0;
}

char _license[] SEC("license") = "GPL";
