// What a kernel manages in values: found below structures and arrays, in data sections too, and not where a kernel does not
// look.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct bpf_wq {
	__u64 opaque[2];
};

typedef struct bpf_spin_lock lock_t;

struct inner {
	int before;
	struct bpf_timer timer;
};

struct outer {
	struct inner inner[2];
};

struct hidden {
	lock_t lock;
	union {
		struct bpf_timer timer;
	} either;
};

struct queued {
	struct bpf_wq work[1];
};

#define ARRAY(name, value_t)				\
	struct {					\
		__uint(type, BPF_MAP_TYPE_ARRAY);	\
		__uint(max_entries, 1);			\
		__type(key, __u32);			\
		__type(value, value_t);			\
	} name SEC(".maps")

ARRAY(below, struct outer);
ARRAY(hidden, struct hidden);
ARRAY(queued, struct queued);
ARRAY(plain, __u64);

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1);
	__type(value, struct outer);
} untyped SEC(".maps");

struct bpf_spin_lock lock;
const volatile struct inner constant = { .before = 5 };

#define LOOK(map)					\
	SEC("socket") int in_##map(void *ctx)		\
	{						\
		__u32 key = 0;				\
		return bpf_map_lookup_elem(&map, &key) != 0; \
	}

LOOK(below)
LOOK(hidden)
LOOK(queued)
LOOK(plain)

SEC("socket") int in_untyped(void *ctx)
{
	struct outer value;

	return bpf_map_pop_elem(&untyped, &value);
}

SEC("socket") int in_lock(void *ctx)
{
	return *(volatile __u32 *)&lock;
}

SEC("socket") int in_constant(void *ctx)
{
	return constant.before;
}

char _license[] SEC("license") = "GPL";
