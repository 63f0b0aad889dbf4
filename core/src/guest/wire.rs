//! Programs as an agent reads them, and its answers as they come back. The layout is in [`protocol`](super::protocol).

use super::protocol::{self as p, Reader};
use crate::isa::Insn;
use crate::kernel::ProgType;
use crate::program::{MapDef, Program};

/// How much the verifier writes down.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum LogLevel {
    /// The reason of a refusal, and statistics.
    #[default]
    Statistics,
    /// Also the path that led to a refusal.
    Path,
    /// Also every path.
    Full,
}

impl LogLevel {
    /// The number of the load.
    #[doc(alias = "BPF_LOG_STATS")]
    const fn number(self) -> u32 {
        match self {
            LogLevel::Statistics => 4,
            LogLevel::Path => 5,
            LogLevel::Full => 6,
        }
    }
}

/// Whether accepted programs are run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Runs {
    /// On all their inputs.
    #[default]
    All,
    /// Not at all.
    None,
}

/// Whether the kernel compiles programs to machine code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Jit {
    /// It does.
    #[default]
    On,
    /// It interprets them, where it can. Programs with function references are refused then.
    Off,
}

/// What a guest is asked about each program.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ask {
    /// What the log holds.
    pub log: LogLevel,
    /// Bytes of the log that are wanted, from its end.
    pub log_bytes_max: u32,
    /// Test runs.
    pub runs: Runs,
    /// How often a test run repeats the program, for program types that can; the answer has the time of one.
    pub repeat: u32,
    /// JIT compilation.
    pub jit: Jit,
}

impl Default for Ask {
    fn default() -> Ask {
        Ask { log: LogLevel::Statistics, log_bytes_max: 64 << 10, runs: Runs::All, repeat: 1, jit: Jit::On }
    }
}

/// Whether a test run of the type takes a context alone, and no number of repetitions. The others take a packet: what their
/// context says follows from it.
fn takes_context_alone(prog_type: ProgType) -> bool {
    matches!(
        prog_type,
        ProgType::RawTracepoint
            | ProgType::RawTracepointWritable
            | ProgType::Syscall
            | ProgType::Tracing
            | ProgType::Lsm
            | ProgType::SkLookup
    )
}

/// The answers about a program in an agent's response, up to the first record that is none.
pub fn answers(program: &Program, response: &[u8]) -> Vec<super::Answer> {
    decode(response).into_iter().map(|reply| super::Answer::of(program, reply)).collect()
}

/// A program as a record of a request.
pub fn encode(program: &Program, ask: &Ask) -> Vec<u8> {
    let types = program.type_info();
    let (btf, func_info) = types.map_or_else(Default::default, |t| (t.btf, t.func_info));
    let inputs = if ask.runs == Runs::All { program.inputs.as_slice() } else { &[] };
    let mut head = [0; p::PROGRAM_HEADER_BYTES / 4];
    head[p::P_TYPE] = program.prog_type.number();
    head[p::P_ATTACH] = program.expected_attach_type;
    head[p::P_FLAGS] = program.prog_flags;
    head[p::P_LOG_LEVEL] = ask.log.number();
    head[p::P_OPTIONS] = p::OPT_XLATED
        | if ask.jit == Jit::Off { p::OPT_NO_JIT } else { 0 }
        | if program.btf_optional { p::OPT_BTF_OPTIONAL } else { 0 };
    head[p::P_INSNS] = program.insns.len() as u32;
    head[p::P_BTF] = btf.len() as u32;
    head[p::P_FUNCS] = func_info.len() as u32;
    head[p::P_MAPS] = program.maps.len() as u32;
    head[p::P_RUNS] = inputs.len() as u32;
    head[p::P_LOG_MAX] = ask.log_bytes_max;
    let mut out = Vec::with_capacity(256 + 8 * program.insns.len() + btf.len());
    words(&mut out, &head);
    out.extend(program.insns.iter().flat_map(|i| i.to_bytes()));
    bytes(&mut out, &btf);
    for func in func_info {
        words(&mut out, &[func.insn_off, func.type_id]);
    }
    for map in &program.maps {
        encode_map(&mut out, map);
    }
    let alone = takes_context_alone(program.prog_type);
    for input in inputs {
        let (ctx, data, repeat) = match alone {
            true => (&input.ctx[..], &[][..], 0),
            // A test run takes a packet's mark, priority, cb and time stamp; the context of XDP is made of the packet.
            false if program.prog_type == ProgType::Xdp => (&[][..], &input.data[..], ask.repeat),
            false => (&input.ctx[..], &input.data[..], ask.repeat),
        };
        words(&mut out, &[ctx.len() as u32, data.len() as u32, repeat, 0]);
        bytes(&mut out, ctx);
        bytes(&mut out, data);
    }
    let total = out.len() as u32;
    out[..4].copy_from_slice(&total.to_le_bytes());
    out
}

fn encode_map(out: &mut Vec<u8>, map: &MapDef) {
    let size = map.value_size as usize;
    // Values that can never be there are not sent.
    let init = if size == 0 { &[][..] } else { &map.init[..map.init.len().min(map.max_entries as usize)] };
    let frozen = if map.frozen { p::MAP_FROZEN } else { 0 };
    let (entries, given) = (map.max_entries, init.len() as u32);
    words(out, &[map.map_type.number(), map.key_size, map.value_size, entries, map.flags, frozen, given, 0]);
    // No request holds more than this; the record is then too long for one, without the zeros that a value of 4 GiB would take.
    let room = (p::SHARED_BYTES as usize).saturating_sub(out.len());
    let mut values = Vec::with_capacity(size.saturating_mul(init.len()).min(room));
    for value in init {
        let end = (values.len() + size).min(room);
        values.extend(value.iter().take(end - values.len()));
        values.resize(end, 0);
    }
    bytes(out, &values);
}

fn words(out: &mut Vec<u8>, words: &[u32]) {
    out.extend(words.iter().flat_map(|w| w.to_le_bytes()));
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(bytes);
    out.resize(p::padded(out.len()), 0);
}

/// The record of an answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reply {
    /// The program's index in the request.
    pub index: u32,
    /// Error of the load.
    pub load_errno: i32,
    /// Error of the load of BTF.
    pub btf_errno: i32,
    /// Error of a map's creation.
    pub map_errno: i32,
    /// Which map.
    pub map_index: u32,
    /// The end of the log.
    pub log: String,
    /// Rewritten instructions.
    pub xlated: Vec<Insn>,
    /// Bytes of machine code.
    pub jited_len: u32,
    /// Time of the load.
    pub load_ns: u64,
    /// Test runs.
    pub runs: Vec<ReplyRun>,
    /// What the kernel said.
    pub kmsg: String,
    /// There was no room for the parts.
    pub no_room: bool,
}

/// A test run in an answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReplyRun {
    /// Error, 0 for none.
    pub errno: i32,
    /// Low half of R0.
    pub retval: u32,
    /// Nanoseconds of one repetition.
    pub duration_ns: u32,
    /// The context afterwards.
    pub ctx: Vec<u8>,
    /// The packet afterwards.
    pub data: Vec<u8>,
    /// The arrays afterwards, one after another.
    pub maps: Vec<u8>,
}

/// The records of a response, up to the first that is none.
pub fn decode(response: &[u8]) -> Vec<Reply> {
    let mut reader = Reader { bytes: response };
    let mut replies = Vec::new();
    while let Some(total) = reader.bytes.first_chunk::<4>() {
        let total = u32::from_le_bytes(*total) as usize;
        let Some(record) = reader.take(total).filter(|r| !r.is_empty()) else { break };
        let Some(reply) = decode_one(&mut Reader { bytes: record }) else { break };
        replies.push(reply);
    }
    replies
}

fn decode_one(record: &mut Reader<'_>) -> Option<Reply> {
    let head: [u32; p::REPLY_WORDS] = record.words()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let log = text(record.take(head[p::R_LOG] as usize)?);
    let xlated = record.take(8 * head[p::R_XLATED] as usize)?;
    let xlated = xlated.as_chunks::<8>().0.iter().map(|b| Insn::from_bytes(*b)).collect();
    let mut runs = Vec::new();
    for _ in 0..head[p::R_RUNS] {
        let [errno, retval, duration_ns, ctx, data, maps, _, _] = record.words::<{ p::RUN_REPLY_WORDS }>()?;
        runs.push(ReplyRun {
            errno: errno as i32,
            retval,
            duration_ns,
            ctx: record.take(ctx as usize)?.to_vec(),
            data: record.take(data as usize)?.to_vec(),
            maps: record.take(maps as usize)?.to_vec(),
        });
    }
    Some(Reply {
        index: head[p::R_INDEX],
        load_errno: head[p::R_LOAD_ERRNO] as i32,
        btf_errno: head[p::R_BTF_ERRNO] as i32,
        map_errno: head[p::R_MAP_ERRNO] as i32,
        map_index: head[p::R_MAP_INDEX],
        log,
        xlated,
        jited_len: head[p::R_JITED],
        load_ns: u64::from(head[p::R_LOAD_NS]) | u64::from(head[p::R_LOAD_NS + 1]) << 32,
        runs,
        kmsg: text(record.take(head[p::R_KMSG] as usize)?),
        no_room: head[p::R_NO_ROOM] != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::MapType;
    use crate::program::Input;

    fn word(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().expect("a word"))
    }

    fn program() -> Program {
        Program {
            prog_type: ProgType::Xdp,
            insns: vec![Insn::new(0xb7, 0, 0, 0, 1), Insn::new(0x95, 0, 0, 0, 0)],
            maps: vec![MapDef {
                map_type: MapType::Array,
                key_size: 4,
                value_size: 6,
                max_entries: 2,
                init: vec![vec![1, 2, 3], vec![4; 9], vec![5]],
                ..MapDef::default()
            }],
            inputs: vec![Input { data: vec![7; 15], ..Input::default() }],
            ..Program::default()
        }
    }

    #[test]
    fn a_request_has_every_part_at_its_place() {
        let ask = Ask { repeat: 3, ..Ask::default() };
        let bytes = encode(&program(), &ask);
        assert_eq!(word(&bytes, 0) as usize, bytes.len());
        assert_eq!(word(&bytes, 4 * p::P_TYPE), 6);
        assert_eq!(&bytes[64..72], &[0xb7, 0, 0, 0, 1, 0, 0, 0]);
        // Two instructions, then the map: its words, and two values of six bytes, cut and filled up.
        let map = 64 + 16;
        assert_eq!([word(&bytes, map), word(&bytes, map + 8), word(&bytes, map + 24)], [2, 6, 2]);
        assert_eq!(&bytes[map + 32..map + 48], &[1, 2, 3, 0, 0, 0, 4, 4, 4, 4, 4, 4, 0, 0, 0, 0]);
        let run = map + 48;
        assert_eq!([word(&bytes, run), word(&bytes, run + 4), word(&bytes, run + 8)], [0, 15, 3]);
        assert_eq!(bytes.len(), run + 16 + 16);
    }

    /// A few bytes of a file may ask for initial values of many gigabytes.
    #[test]
    fn values_that_no_request_holds_are_not_built() {
        let huge = MapDef { value_size: u32::MAX, max_entries: u32::MAX, init: vec![vec![]; 4], ..MapDef::default() };
        for maps in [vec![huge.clone()], vec![huge; 100]] {
            let len = encode(&Program { maps, ..program() }, &Ask::default()).len();
            assert!(len > p::REQUEST_MAX && len <= 2 * p::SHARED_BYTES as usize, "{len}");
        }
    }

    #[test]
    fn types_without_packets_are_sent_none_and_runs_can_be_left_out() {
        let raw = Program { prog_type: ProgType::RawTracepoint, ..program() };
        let with = encode(&raw, &Ask::default());
        assert_eq!([word(&with, 128), word(&with, 132), word(&with, 136)], [0, 0, 0]);
        let without = encode(&raw, &Ask { runs: Runs::None, ..Ask::default() });
        assert_eq!((word(&without, 4 * p::P_RUNS), without.len()), (0, 128));
    }

    fn response() -> Vec<u8> {
        let mut head = [0; p::REPLY_WORDS];
        head[p::R_INDEX] = 5;
        head[p::R_LOAD_ERRNO] = 13;
        head[p::R_LOG] = 3;
        head[p::R_XLATED] = 1;
        head[p::R_RUNS] = 1;
        head[p::R_KMSG] = 2;
        head[p::R_LOAD_NS + 1] = 1;
        let mut out = Vec::new();
        words(&mut out, &head);
        bytes(&mut out, b"log");
        bytes(&mut out, &[0x95, 0, 0, 0, 0, 0, 0, 0]);
        words(&mut out, &[0, 9, 1, 2, 0, 1, 0, 0]);
        bytes(&mut out, &[1, 2]);
        bytes(&mut out, &[3]);
        bytes(&mut out, b"k\n");
        let total = out.len() as u32;
        out[..4].copy_from_slice(&total.to_le_bytes());
        out
    }

    #[test]
    fn a_response_reads_back() {
        let two = [response(), response()].concat();
        let replies = decode(&two);
        assert_eq!(replies.len(), 2);
        let reply = &replies[1];
        assert_eq!((reply.index, reply.load_errno, reply.log.as_str(), reply.kmsg.as_str()), (5, 13, "log", "k\n"));
        assert_eq!((reply.xlated.len(), reply.load_ns), (1, 1 << 32));
        let run = &reply.runs[0];
        assert_eq!((run.retval, run.ctx.as_slice(), run.maps.as_slice()), (9, &[1, 2][..], &[3][..]));
    }

    #[test]
    fn what_is_cut_off_is_left_out() {
        let whole = [response(), response()].concat();
        let one = response().len();
        for len in 0..whole.len() {
            assert_eq!(decode(&whole[..len]).len(), len / one);
        }
        // Lengths that lie past the record.
        let mut wrong = response();
        wrong[4 * p::R_LOG..4 * p::R_LOG + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(decode(&wrong).is_empty());
        assert!(decode(&[0; 64]).is_empty());
    }
}
