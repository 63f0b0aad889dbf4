// Programs that need a running kernel, next to one that does not.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern int LINUX_KERNEL_VERSION __kconfig;
extern void bpf_rcu_read_lock(void) __ksym;
extern const int bpf_prog_active __ksym;

struct task_struct {
	int pid;
} __attribute__((preserve_access_index));

static long nothing(__u32 index, void *ctx)
{
	return 0;
}

SEC("raw_tp/sys_enter")
int plain(void *ctx)
{
	return bpf_loop(3, nothing, 0, 0);
}

SEC("raw_tp/sys_enter")
int reads_kconfig(void *ctx)
{
	return LINUX_KERNEL_VERSION > 1;
}

SEC("raw_tp/sys_enter")
int calls_kfunc(void *ctx)
{
	bpf_rcu_read_lock();
	return 0;
}

SEC("raw_tp/sys_enter")
int reads_ksym(void *ctx)
{
	return (long)bpf_this_cpu_ptr(&bpf_prog_active) & 1;
}

SEC("raw_tp/sys_enter")
int core(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	int pid = 0;

	bpf_probe_read_kernel(&pid, sizeof(pid), &task->pid);
	return pid;
}

SEC("fentry/bpf_fentry_test1")
int attached(void *ctx)
{
	return 0;
}

SEC("my_section")
int unknown_section(void *ctx)
{
	return 0;
}

char _license[] SEC("license") = "GPL";
