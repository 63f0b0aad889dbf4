// Section names of other loaders.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define IN(section, name)				\
	SEC(section) int name(void *ctx)		\
	{						\
		return 0;				\
	}

IN("tc", plain_tc)
IN("classifier", plain_classifier)
IN("action", plain_action)
IN("tc/ingress", ingress)
IN("tc/x", tc_x)
IN("classifier/x", classifier_x)
IN("filter", plain_filter)
IN("sockops/x", sockops_x)
IN("tp.s/x", sleeps)

char _license[] SEC("license") = "GPL";
