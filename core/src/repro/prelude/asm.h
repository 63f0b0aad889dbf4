#if __has_include("bpf_misc.h")
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "bpf_misc.h"
#else
/* Enough to compile this file alone. */
#define SEC(name) __attribute__((section(name), used))
#define __naked __attribute__((naked))
#define __noinline __attribute__((noinline))
#define __used __attribute__((used))
#define __uint(name, val) int (*name)[val]
#define __description(text)
#define __success
#define __failure
#define __msg(text)
#define __retval(val)
#define __flag(flag)
#define __imm(name) [name] "i"(name)
#define __imm_addr(name) [name] "i"(&name)
#define __clobber_all "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "memory"
