// A loop in the callback of a loop, three deep, each callback with a context of its own.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct cell {
	__u32 row;
	__u32 column;
	__u64 seen;
};

static long each_depth(__u32 index, void *ctx)
{
	__u64 *seen = ctx;

	*seen += index;
	return 0;
}

static long each_column(__u32 index, void *ctx)
{
	struct cell *cell = ctx;
	__u64 seen = 0;

	cell->column = index;
	bpf_loop(cell->row & 3, each_depth, &seen, 0);
	cell->seen += seen;
	return 0;
}

static long each_row(__u32 index, void *ctx)
{
	struct cell *cell = ctx;

	cell->row = index;
	bpf_loop(4, each_column, cell, 0);
	return 0;
}

SEC("raw_tracepoint/sys_exit")
int nested(void *ctx)
{
	struct cell cell = {};

	bpf_loop(8, each_row, &cell, 0);
	return cell.seen + cell.row + cell.column;
}

char _license[] SEC("license") = "GPL";
