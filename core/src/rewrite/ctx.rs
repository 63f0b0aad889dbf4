//! Access to the context, in the form that a kernel's dump shows.
//!
//! Stands for the `convert_ctx_access` of each program type (6.1 … 7.3), as far as whole fields are read. Where a field
//! lies in the kernel's own object is a fact of one build, so `off` is wild.

use super::late::Wild;
use crate::isa::Insn;
use crate::kernel::ProgType;

/// What an access of the context becomes: `None` when it stays as it is, or the name of what is not modelled.
pub(super) fn access(prog_type: ProgType, insn: Insn) -> Result<Option<Vec<(Insn, Wild)>>, String> {
    match prog_type {
        ProgType::RawTracepoint
        | ProgType::RawTracepointWritable
        | ProgType::Kprobe
        | ProgType::Tracepoint
        | ProgType::Tracing
        | ProgType::Lsm
        | ProgType::StructOps
        | ProgType::CgroupDevice
        | ProgType::Syscall => Ok(None),
        ProgType::SchedCls | ProgType::SchedAct if (insn.code, insn.off) == (LOAD_W, IFINDEX) => {
            Ok(Some(device_index(insn, Device::Always)))
        }
        ProgType::SocketFilter | ProgType::SchedCls | ProgType::SchedAct | ProgType::CgroupSkb => skb(insn).map(Some),
        ProgType::Xdp => xdp(insn).map(Some),
        other => Err(format!("context of {other}")),
    }
}

const LOAD_B: u8 = 0x71;
const LOAD_H: u8 = 0x69;
const LOAD_W: u8 = 0x61;
const LOAD_DW: u8 = 0x79;

fn load(code: u8, insn: Insn) -> (Insn, Wild) {
    (Insn { code, off: 0, ..insn }, Wild::Off)
}

/// `ifindex` of `struct __sk_buff`.
const IFINDEX: i16 = 40;

/// Whether a packet has a device when a program of a type sees it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Device {
    Always,
    Perhaps,
}

/// The index of the packet's device.
///
/// Kernel: `tc_cls_act_convert_ctx_access`, `bpf_convert_ctx_access` (6.1 … 7.3).
#[doc(alias = "tc_cls_act_convert_ctx_access")]
fn device_index(insn: Insn, device: Device) -> Vec<(Insn, Wild)> {
    let dst = insn.dst();
    let skip_without = (Insn::new(0x15, dst, 0, 1, 0), Wild::Nothing);
    let index = (Insn::new(LOAD_W, dst, dst, 0, 0), Wild::Off);
    match device {
        Device::Always => vec![load(LOAD_DW, insn), index],
        Device::Perhaps => vec![load(LOAD_DW, insn), skip_without, index],
    }
}

/// `struct __sk_buff`.
fn skb(insn: Insn) -> Result<Vec<(Insn, Wild)>, String> {
    let dst = insn.dst();
    let exact = |insn| (insn, Wild::Nothing);
    Ok(match (insn.code, insn.off) {
        // len, mark, priority, ingress_ifindex, hash
        (LOAD_W, 0 | 8 | 32 | 36 | 68) => vec![load(LOAD_W, insn)],
        // pkt_type: three bits of a byte
        (LOAD_W, 4) => vec![load(LOAD_B, insn), exact(Insn::new(0x54, dst, 0, 0, 7))],
        // queue_mapping, protocol, vlan_tci, vlan_proto, tc_index
        (LOAD_W, 12 | 16 | 24 | 28 | 44) => vec![load(LOAD_H, insn)],
        (LOAD_W, IFINDEX) => device_index(insn, Device::Perhaps),
        // cb, in every size
        (LOAD_B | LOAD_H | LOAD_W | LOAD_DW | 0x62 | 0x63 | 0x7a | 0x7b, 48..68) => vec![load(insn.code, insn)],
        // data
        (LOAD_W, 76) => vec![load(LOAD_DW, insn)],
        // data_end, kept by the kernel behind cb
        (LOAD_W, 80) => vec![load(LOAD_DW, insn)],
        (_, off) => return Err(format!("access of __sk_buff at {off}")),
    })
}

/// `struct xdp_md`.
fn xdp(insn: Insn) -> Result<Vec<(Insn, Wild)>, String> {
    match (insn.code, insn.off) {
        // data, data_end, data_meta
        (LOAD_W, 0 | 4 | 8) => Ok(vec![load(LOAD_DW, insn)]),
        (_, off) => Err(format!("access of xdp_md at {off}")),
    }
}
