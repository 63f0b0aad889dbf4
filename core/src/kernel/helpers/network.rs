//! Prototypes of the helpers of programs that see packets.
//!
//! Stands for the `bpf_*_proto` tables in `net/core/filter.c` (6.1 … 7.3). A name ends in the first version of a prototype
//! where there is more than one.

use super::names::id_of;
use super::proto::{Arg, Arg::*, HelperProto, MemAccess, Ret, Traits};
use super::table::*;

/// An IPv4 header or a TCP header, 20 bytes.
const HEADER_20: Arg = Arg::fixed(MemAccess::Plain, 20);
/// An IPv6 header, 40 bytes.
const HEADER_40: Arg = Arg::fixed(MemAccess::Plain, 40);
/// The same of 7.3.
const HEADER_20_7_3: Arg = Arg::fixed(MemAccess::Read, 20);
/// The same of 7.3.
const HEADER_40_7_3: Arg = Arg::fixed(MemAccess::Read, 40);

protos! {
    SKB_LOAD_BYTES = skb_load_bytes(Ctx, Anything, FILL, Size) -> Integer;
    SKB_LOAD_BYTES_RELATIVE = skb_load_bytes_relative(Ctx, Anything, FILL, Size, Anything) -> Integer;
    SKB_STORE_BYTES = skb_store_bytes(Ctx, Anything, READ, Size, Anything) -> Integer, CHANGES_PACKET;
    SKB_PULL_DATA = skb_pull_data(Ctx, Anything) -> Integer, CHANGES_PACKET;
    SKB_VLAN_PUSH = skb_vlan_push(Ctx, Anything, Anything) -> Integer, CHANGES_PACKET;
    SKB_VLAN_POP = skb_vlan_pop(Ctx) -> Integer, CHANGES_PACKET;
    SKB_CHANGE_PROTO = skb_change_proto(Ctx, Anything, Anything) -> Integer, CHANGES_PACKET;
    SKB_CHANGE_TYPE = skb_change_type(Ctx, Anything) -> Integer;
    SKB_CHANGE_TAIL = skb_change_tail(Ctx, Anything, Anything) -> Integer, CHANGES_PACKET;
    SKB_CHANGE_HEAD = skb_change_head(Ctx, Anything, Anything) -> Integer, CHANGES_PACKET;
    SKB_ADJUST_ROOM = skb_adjust_room(Ctx, Anything, Anything, Anything) -> Integer, CHANGES_PACKET;
    SKB_GET_TUNNEL_KEY = skb_get_tunnel_key(Ctx, FILL, Size, Anything) -> Integer;
    SKB_SET_TUNNEL_KEY = skb_set_tunnel_key(Ctx, READ, Size, Anything) -> Integer;
    SKB_GET_TUNNEL_OPT = skb_get_tunnel_opt(Ctx, FILL, Size) -> Integer;
    SKB_SET_TUNNEL_OPT = skb_set_tunnel_opt(Ctx, READ, Size) -> Integer;
    SKB_GET_XFRM_STATE = skb_get_xfrm_state(Ctx, Anything, FILL, Size, Anything) -> Integer;
    SKB_SET_TSTAMP = skb_set_tstamp(Ctx, Anything, Anything) -> Integer;
    SKB_UNDER_CGROUP = skb_under_cgroup(Ctx, ConstMapPtr, Anything) -> Integer;
    SKB_CGROUP_CLASSID = skb_cgroup_classid(Ctx) -> Integer;
    SKB_CGROUP_ID = skb_cgroup_id(Ctx) -> Integer;
    SKB_ANCESTOR_CGROUP_ID = skb_ancestor_cgroup_id(Ctx, Anything) -> Integer;
    SKB_ECN_SET_CE = skb_ecn_set_ce(Ctx) -> Integer;

    CSUM_DIFF = csum_diff(READ_OR_NULL, SizeOrZero, READ_OR_NULL, SizeOrZero, Anything) -> Integer, PACKET_ARGS;
    CSUM_UPDATE = csum_update(Ctx, Anything) -> Integer;
    CSUM_LEVEL = csum_level(Ctx, Anything) -> Integer;
    L3_CSUM_REPLACE = l3_csum_replace(Ctx, Anything, Anything, Anything, Anything) -> Integer, CHANGES_PACKET;
    L4_CSUM_REPLACE = l4_csum_replace(Ctx, Anything, Anything, Anything, Anything) -> Integer, CHANGES_PACKET;

    CLONE_REDIRECT = clone_redirect(Ctx, Anything, Anything) -> Integer, CHANGES_PACKET;
    REDIRECT = redirect(Anything, Anything) -> Integer;
    REDIRECT_NEIGH = redirect_neigh(Anything, READ_OR_NULL, SizeOrZero, Anything) -> Integer;
    REDIRECT_PEER = redirect_peer(Anything, Anything) -> Integer;
    REDIRECT_MAP = redirect_map(ConstMapPtr, Anything, Anything) -> Integer;

    GET_CGROUP_CLASSID = get_cgroup_classid(Ctx) -> Integer;
    GET_ROUTE_REALM = get_route_realm(Ctx) -> Integer;
    GET_HASH_RECALC = get_hash_recalc(Ctx) -> Integer;
    SET_HASH = set_hash(Ctx, Anything) -> Integer;
    SET_HASH_INVALID = set_hash_invalid(Ctx) -> Integer;
    GET_SOCKET_COOKIE = get_socket_cookie(Ctx) -> Integer;
    GET_SOCKET_UID = get_socket_uid(Ctx) -> Integer;
    GET_NETNS_COOKIE = get_netns_cookie(CtxOrNull) -> Integer;
    FIB_LOOKUP = fib_lookup(Ctx, PLAIN, Size, Anything) -> Integer, GPL_ONLY;
    FIB_LOOKUP_7_3 = fib_lookup(Ctx, WRITE, Size, Anything) -> Integer, GPL_ONLY;
    CHECK_MTU = check_mtu(Ctx, Anything, FILL_U32, Anything, Anything) -> Integer, GPL_ONLY;
    CHECK_MTU_6_12 = check_mtu(Ctx, Anything, WRITE_U32, Anything, Anything) -> Integer, GPL_ONLY;

    XDP_ADJUST_HEAD = xdp_adjust_head(Ctx, Anything) -> Integer, CHANGES_PACKET;
    XDP_ADJUST_META = xdp_adjust_meta(Ctx, Anything) -> Integer, CHANGES_PACKET;
    XDP_ADJUST_TAIL = xdp_adjust_tail(Ctx, Anything) -> Integer, CHANGES_PACKET;
    XDP_GET_BUFF_LEN = xdp_get_buff_len(Ctx) -> Integer;
    XDP_LOAD_BYTES = xdp_load_bytes(Ctx, Anything, FILL, Size) -> Integer;
    XDP_STORE_BYTES = xdp_store_bytes(Ctx, Anything, READ, Size) -> Integer;

    LWT_PUSH_ENCAP = lwt_push_encap(Ctx, Anything, READ, Size) -> Integer, CHANGES_PACKET;
    LWT_SEG6_STORE_BYTES = lwt_seg6_store_bytes(Ctx, Anything, READ, Size) -> Integer, CHANGES_PACKET;
    LWT_SEG6_ACTION = lwt_seg6_action(Ctx, Anything, READ, Size) -> Integer, CHANGES_PACKET;
    LWT_SEG6_ADJUST_SRH = lwt_seg6_adjust_srh(Ctx, Anything, Anything) -> Integer, CHANGES_PACKET;

    GEN_SYNCOOKIE_V4 = tcp_raw_gen_syncookie_ipv4(HEADER_20, PLAIN, Size) -> Integer, GPL_ONLY, PACKET_ARGS;
    GEN_SYNCOOKIE_V4_6_12 = tcp_raw_gen_syncookie_ipv4(HEADER_20, PLAIN, SizeOrZero) -> Integer, GPL_ONLY, PACKET_ARGS;
    GEN_SYNCOOKIE_V4_7_3 = tcp_raw_gen_syncookie_ipv4(HEADER_20_7_3, READ, SizeOrZero) -> Integer, GPL_ONLY, PACKET_ARGS;
    GEN_SYNCOOKIE_V6 = tcp_raw_gen_syncookie_ipv6(HEADER_40, PLAIN, Size) -> Integer, GPL_ONLY, PACKET_ARGS;
    GEN_SYNCOOKIE_V6_6_12 = tcp_raw_gen_syncookie_ipv6(HEADER_40, PLAIN, SizeOrZero) -> Integer, GPL_ONLY, PACKET_ARGS;
    GEN_SYNCOOKIE_V6_7_3 = tcp_raw_gen_syncookie_ipv6(HEADER_40_7_3, READ, SizeOrZero) -> Integer, GPL_ONLY, PACKET_ARGS;
    CHECK_SYNCOOKIE_V4 = tcp_raw_check_syncookie_ipv4(HEADER_20, HEADER_20) -> Integer, GPL_ONLY, PACKET_ARGS;
    CHECK_SYNCOOKIE_V4_7_3 = tcp_raw_check_syncookie_ipv4(HEADER_20_7_3, HEADER_20_7_3) -> Integer, GPL_ONLY, PACKET_ARGS;
    CHECK_SYNCOOKIE_V6 = tcp_raw_check_syncookie_ipv6(HEADER_40, HEADER_20) -> Integer, GPL_ONLY, PACKET_ARGS;
    CHECK_SYNCOOKIE_V6_7_3 = tcp_raw_check_syncookie_ipv6(HEADER_40_7_3, HEADER_20_7_3) -> Integer, GPL_ONLY, PACKET_ARGS;
}
