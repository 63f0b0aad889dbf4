// A checksum over a packet: the callback reads one byte each time and checks the bounds itself.
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#define BYTES_MAX 64

struct xdp_walk {
	struct xdp_md *xdp;
	__u32 sum;
};

static long add_xdp_byte(__u32 index, void *ctx)
{
	struct xdp_walk *walk = ctx;
	unsigned char *data = (void *)(long)walk->xdp->data;
	unsigned char *end = (void *)(long)walk->xdp->data_end;

	if (index >= BYTES_MAX || data + index + 1 > end)
		return 1;
	walk->sum += data[index];
	return 0;
}

SEC("xdp")
int xdp_sum(struct xdp_md *xdp)
{
	struct xdp_walk walk = { .xdp = xdp };

	bpf_loop(BYTES_MAX, add_xdp_byte, &walk, 0);
	return walk.sum & 1 ? XDP_PASS : XDP_DROP;
}

struct skb_walk {
	struct __sk_buff *skb;
	__u32 zeros;
};

static long count_zero(__u32 index, void *ctx)
{
	struct skb_walk *walk = ctx;
	__u8 byte;

	if (bpf_skb_load_bytes(walk->skb, index, &byte, sizeof(byte)))
		return 1;
	if (!byte)
		walk->zeros++;
	return 0;
}

SEC("tc")
int tc_zeros(struct __sk_buff *skb)
{
	struct skb_walk walk = { .skb = skb };

	bpf_loop(skb->len, count_zero, &walk, 0);
	return walk.zeros > 8 ? TC_ACT_SHOT : TC_ACT_OK;
}

char _license[] SEC("license") = "GPL";
