//! The context and the packet of each program type, as `BPF_PROG_TEST_RUN` sets them up.
//!
//! Stands for `net/bpf/test_run.c`, and for the parts of `net/core/filter.c` that say which fields of `__sk_buff` and
//! `xdp_md` are pointers and which may be written (6.1 … 7.3). Types that cannot be test-run (kprobe, tracepoint,
//! perf_event) get a context of plain bytes. The device is the loopback device, the packet is linear, and there is no
//! context from user space for networking types but mark, priority, `cb` and time stamp.
//!
//! Left out, as [`Unsupported`](super::End::Unsupported): socket fields, packets that do not fit into one page, metadata
//! before an XDP packet, types that are not in [`model_of`].

use super::memory::{Kind, Memory};
use crate::kernel::ProgType;
use crate::kernel::ctx::PacketEnd;
use crate::program::Input;

const ETH_HEADER: usize = 14;
/// What fits into a page with head room and tail room, for all versions.
const PACKET_BYTES_MAX: usize = 3000;
const SKB_BYTES: usize = 192;
const XDP_MD_BYTES: usize = 24;
const XDP_HEADROOM: u32 = 256;
/// Arguments of a raw tracepoint, in bytes.
const RAW_TRACEPOINT_BYTES: usize = 96;
const CTX_BYTES_MAX: usize = u16::MAX as usize;

/// A field of a context that is not what its bytes say. Offsets and sizes in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum CtxField {
    /// Loads the address of the packet.
    Data { off: u32 },
    /// Loads the address after the packet.
    DataEnd { off: u32 },
    /// Loads 0: the end of the packet that nothing set.
    NoDataEnd { off: u32 },
    /// Loads the address of the metadata, of which there is none.
    DataMeta { off: u32 },
    /// Not modelled.
    Unsupported { off: u32, size: u32, name: &'static str },
}

impl CtxField {
    /// Where the field starts.
    pub(super) fn off(&self) -> u32 {
        match *self {
            CtxField::Data { off } | CtxField::DataEnd { off } => off,
            CtxField::NoDataEnd { off } | CtxField::DataMeta { off } => off,
            CtxField::Unsupported { off, .. } => off,
        }
    }

    fn size(&self) -> u32 {
        match *self {
            CtxField::Unsupported { size, .. } => size,
            _ => 4,
        }
    }
}

/// What the context's bytes are, and how many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    /// The input's bytes, padded with zeros to at least that many.
    Padded(usize),
    /// The input's bytes, which the program may write.
    Exact,
    /// `struct __sk_buff` over the packet.
    Skb(Layer),
    /// `struct xdp_md` over the packet.
    Xdp,
}

/// Where the packet of a program starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Layer {
    Link,
    Network,
}

/// How the context and the packet of a program type behave.
#[derive(Debug)]
pub(super) struct CtxModel {
    source: Source,
    fields: &'static [CtxField],
    /// Ranges that may be written, first byte and the one after the last.
    writable: &'static [(u32, u32)],
    /// How the program may use the packet.
    packet: Packet,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Packet {
    /// Through helpers and packet loads only.
    Indirect,
    ReadOnly,
    Writable,
}

const SOCKET_FIELDS: CtxField = CtxField::Unsupported { off: 88, size: 52, name: "family … local_port" };
const FLOW_KEYS: CtxField = CtxField::Unsupported { off: 144, size: 8, name: "flow_keys" };
const SK: CtxField = CtxField::Unsupported { off: 168, size: 8, name: "sk" };
const SKB_FIELDS: &[CtxField] = &[
    CtxField::Data { off: 76 },
    CtxField::DataEnd { off: 80 },
    SOCKET_FIELDS,
    CtxField::DataMeta { off: 140 },
    FLOW_KEYS,
    SK,
];
const SKB_FIELDS_WITHOUT_END: &[CtxField] = &[
    CtxField::Data { off: 76 },
    CtxField::NoDataEnd { off: 80 },
    SOCKET_FIELDS,
    CtxField::DataMeta { off: 140 },
    FLOW_KEYS,
    SK,
];
const XDP_FIELDS: &[CtxField] =
    &[CtxField::Data { off: 0 }, CtxField::DataEnd { off: 4 }, CtxField::DataMeta { off: 8 }];

const CB: (u32, u32) = (48, 68);
const MARK: (u32, u32) = (8, 12);
const PRIORITY: (u32, u32) = (32, 36);
const TSTAMP: (u32, u32) = (152, 160);
const CLS_WRITABLE: &[(u32, u32)] = &[MARK, (12, 16), PRIORITY, (44, 48), CB, (72, 76), TSTAMP];

const fn skb(layer: Layer, packet: Packet, writable: &'static [(u32, u32)]) -> CtxModel {
    CtxModel { source: Source::Skb(layer), fields: SKB_FIELDS, writable, packet }
}

const fn padded(bytes: usize) -> CtxModel {
    CtxModel { source: Source::Padded(bytes), fields: &[], writable: &[], packet: Packet::Indirect }
}

static RAW_TRACEPOINT: CtxModel = padded(RAW_TRACEPOINT_BYTES);
/// `struct pt_regs`, which 6.18 and later let a program write.
static KPROBE: CtxModel =
    CtxModel { source: Source::Padded(168), fields: &[], writable: &[(0, 168)], packet: Packet::Indirect };
/// The largest record of a tracepoint that all versions allow.
static TRACEPOINT: CtxModel = padded(2048);
/// `struct pt_regs`, period and address.
static PERF_EVENT: CtxModel = padded(184);
static SYSCALL: CtxModel =
    CtxModel { source: Source::Exact, fields: &[], writable: &[(0, u32::MAX)], packet: Packet::Indirect };
static SOCKET_FILTER: CtxModel = skb(Layer::Network, Packet::Indirect, &[CB]);
static SCHED: CtxModel = skb(Layer::Link, Packet::Writable, CLS_WRITABLE);
const CGROUP_SKB: CtxModel = skb(Layer::Network, Packet::ReadOnly, &[MARK, PRIORITY, CB, TSTAMP]);
static CGROUP_SKB_WITHOUT_END: CtxModel = CtxModel { fields: SKB_FIELDS_WITHOUT_END, ..CGROUP_SKB };
static LWT: CtxModel = skb(Layer::Network, Packet::ReadOnly, &[MARK, PRIORITY, CB]);
static LWT_XMIT: CtxModel = skb(Layer::Network, Packet::Writable, &[MARK, PRIORITY, CB]);
static XDP: CtxModel = CtxModel { source: Source::Xdp, fields: XDP_FIELDS, writable: &[], packet: Packet::Writable };

/// The model of a program type; `None` when there is none.
pub(super) fn model_of(prog_type: ProgType, end: PacketEnd) -> Option<&'static CtxModel> {
    Some(match prog_type {
        ProgType::RawTracepoint => &RAW_TRACEPOINT,
        ProgType::Kprobe => &KPROBE,
        ProgType::Tracepoint => &TRACEPOINT,
        ProgType::PerfEvent => &PERF_EVENT,
        ProgType::Syscall => &SYSCALL,
        ProgType::SocketFilter => &SOCKET_FILTER,
        ProgType::SchedCls | ProgType::SchedAct => &SCHED,
        ProgType::CgroupSkb if end == PacketEnd::Unset => &CGROUP_SKB_WITHOUT_END,
        ProgType::CgroupSkb => &CGROUP_SKB,
        ProgType::LwtIn | ProgType::LwtOut => &LWT,
        ProgType::LwtXmit => &LWT_XMIT,
        ProgType::Xdp => &XDP,
        _ => return None,
    })
}

/// Where the context and the packet of a run lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Surroundings {
    /// Address of the context.
    pub ctx: u64,
    /// Context bytes: index of the first, and how many.
    pub ctx_bytes: (u32, u32),
    /// Packet bytes, from the link-layer header.
    pub packet_bytes: (u32, u32),
    /// Offset of what the program sees as the packet.
    pub data: u32,
    /// Whether there is a packet.
    pub has_packet: bool,
}

impl CtxModel {
    /// A context of no bytes.
    pub(super) const BYTES: CtxModel = padded(0);

    /// The field that an access touches.
    pub(super) fn field(&self, off: u32, size: u32) -> Option<&'static CtxField> {
        self.fields.iter().find(|f| off < f.off() + f.size() && f.off() < off + size)
    }

    /// Whether all bytes of an access may be written.
    pub(super) fn is_writable(&self, off: u32, size: u32) -> bool {
        self.writable.iter().any(|(from, to)| *from <= off && off + size <= *to)
    }

    /// Whether an access outside of the context is inside of one that another input could have had.
    pub(super) fn is_short(&self, off: i64, size: u32) -> bool {
        self.source == Source::Exact && off >= 0 && off + i64::from(size) <= CTX_BYTES_MAX as i64
    }

    /// Whether the packet can be loaded with `LD_ABS` and `skb_load_bytes`.
    pub(super) fn is_skb(&self) -> bool {
        matches!(self.source, Source::Skb(_))
    }

    /// Puts the context and the packet of an input into memory. The error says what is wrong with the input.
    pub(super) fn set_up(&self, memory: &mut Memory, input: &Input) -> Result<Surroundings, &'static str> {
        match self.source {
            Source::Padded(bytes) if input.ctx.len() > bytes => Err("a context that is longer than the type's"),
            Source::Padded(bytes) => Ok(self.set_up_bytes(memory, &input.ctx, bytes)),
            Source::Exact if input.ctx.len() > CTX_BYTES_MAX => Err("a context of more than 65535 bytes"),
            Source::Exact => Ok(self.set_up_bytes(memory, &input.ctx, input.ctx.len())),
            Source::Skb(_) | Source::Xdp => self.set_up_packet(memory, input),
        }
    }

    fn set_up_bytes(&self, memory: &mut Memory, from: &[u8], len: usize) -> Surroundings {
        let kind = if self.writable.is_empty() { Kind::ReadOnly } else { Kind::Plain };
        let start = memory.add_bytes(len);
        memory.bytes_mut(start, from.len()).copy_from_slice(from);
        let ctx = memory.set_ctx(start, len as u32, kind);
        Surroundings { ctx, ctx_bytes: (start, len as u32), ..Surroundings::default() }
    }

    fn set_up_packet(&self, memory: &mut Memory, input: &Input) -> Result<Surroundings, &'static str> {
        if input.data.len() < ETH_HEADER {
            return Err("a packet of fewer than 14 bytes");
        }
        if input.data.len() > PACKET_BYTES_MAX {
            return Err("a packet of more than 3000 bytes");
        }
        let ctx = match self.source {
            Source::Skb(layer) => skb_bytes(layer, input)?.to_vec(),
            _ if input.ctx.iter().any(|b| *b != 0) => return Err("a context for xdp"),
            // Ingress interface 1, queue 0, no egress interface.
            _ => (0..XDP_MD_BYTES).map(|n| u8::from(n == 12)).collect(),
        };
        let start = memory.add_bytes(ctx.len());
        memory.bytes_mut(start, ctx.len()).copy_from_slice(&ctx);
        let ctx_bytes = (start, ctx.len() as u32);
        let ctx = memory.set_ctx(start, ctx.len() as u32, Kind::Context);

        let len = input.data.len() as u32;
        let start = memory.add_bytes(input.data.len());
        memory.bytes_mut(start, input.data.len()).copy_from_slice(&input.data);
        let data = if self.source == Source::Skb(Layer::Network) { ETH_HEADER as u32 } else { 0 };
        let (align, shift) = if self.source == Source::Xdp { (4096, XDP_HEADROOM) } else { (64, data) };
        let (kind, visible) = match self.packet {
            Packet::Indirect => (Kind::ReadOnly, 0),
            Packet::ReadOnly => (Kind::ReadOnly, len - data),
            Packet::Writable => (Kind::Plain, len - data),
        };
        memory.set_packet(start + data, visible, kind, align, shift);
        Ok(Surroundings { ctx, ctx_bytes, packet_bytes: (start, len), data, has_packet: true })
    }
}

/// The bytes of `__sk_buff` for a packet, pointers as 0.
fn skb_bytes(layer: Layer, input: &Input) -> Result<[u8; SKB_BYTES], &'static str> {
    let mut skb = [0; SKB_BYTES];
    if input.ctx.len() > SKB_BYTES {
        return Err("a context that is longer than __sk_buff");
    }
    for (n, byte) in input.ctx.iter().enumerate() {
        let settable = [MARK, PRIORITY, CB, TSTAMP].iter().any(|(from, to)| (*from..*to).contains(&(n as u32)));
        if *byte != 0 && !settable {
            return Err("a context that sets more than mark, priority, cb and tstamp");
        }
        skb[n] = *byte;
    }
    let protocol = protocol_of(&input.data);
    let network_bytes = input.data.len() - ETH_HEADER;
    if (protocol == [0x08, 0x00] && network_bytes < 20) || (protocol == [0x86, 0xdd] && network_bytes < 40) {
        return Err("a packet without its whole IP header");
    }
    let len = if layer == Layer::Link { input.data.len() } else { network_bytes };
    skb[..4].copy_from_slice(&(len as u32).to_le_bytes());
    skb[4] = packet_type(&input.data);
    skb[16..18].copy_from_slice(&protocol);
    // The loopback device.
    skb[40] = 1;
    Ok(skb)
}

/// `skb->protocol` in network byte order. The packet has an Ethernet header.
///
/// Kernel: `eth_type_trans` (6.1 … 7.3).
#[doc(alias = "eth_type_trans")]
fn protocol_of(packet: &[u8]) -> [u8; 2] {
    let Some((kind, rest)) = packet.get(12..).and_then(|p| p.split_first_chunk::<2>()) else {
        return [0, 0];
    };
    match u16::from_be_bytes(*kind) {
        0x600.. => *kind,
        // A length instead of a type: raw 802.3 when the payload starts with two bytes of ones, else 802.2.
        _ if rest.starts_with(&[0xff, 0xff]) => [0, 1],
        _ => [0, 4],
    }
}

/// `skb->pkt_type` on the loopback device, whose address and broadcast address are zero: host, multicast or somebody
/// else's.
fn packet_type(packet: &[u8]) -> u8 {
    match packet.first_chunk::<6>() {
        Some([0, 0, 0, 0, 0, 0]) | None => 0,
        Some([first, ..]) if first & 1 != 0 => 2,
        Some(_) => 3,
    }
}
