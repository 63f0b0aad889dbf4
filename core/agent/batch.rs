//! Requests with programs: load each, read it back, run it, and collect what the kernel said meanwhile.

use crate::bpf::{self, Load, MapShape, Run};
use crate::protocol::{self as p, Reader};
use crate::shared::Shared;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Instant;

const LOG_BYTES: usize = 16 << 20;
const O_NONBLOCK: i32 = 0o4000;
const MAP_TYPE_ARRAY: u32 = 2;
const LD_IMM64: u8 = 0x18;

/// What is kept from program to program.
pub struct Batches {
    log: Vec<u8>,
    kmsg: File,
    btf: Option<(Vec<u8>, OwnedFd)>,
    jit: bool,
}

/// A program of a request.
struct Asked<'a> {
    head: [u32; 16],
    insns: &'a [u8],
    btf: &'a [u8],
    func_info: &'a [u8],
    maps: Vec<AskedMap<'a>>,
    runs: Vec<AskedRun<'a>>,
}

struct AskedMap<'a> {
    shape: MapShape,
    frozen: bool,
    init: &'a [u8],
}

struct AskedRun<'a> {
    ctx: &'a [u8],
    data: &'a [u8],
    repeat: u32,
}

impl<'a> Asked<'a> {
    fn read(request: &mut Reader<'a>) -> Option<Asked<'a>> {
        let total = request.bytes.get(..4)?;
        let total = u32::from_le_bytes([total[0], total[1], total[2], total[3]]) as usize;
        let mut record = Reader { bytes: request.take(total)? };
        let head: [u32; 16] = record.words()?;
        let insns = record.take(8 * head[p::P_INSNS] as usize)?;
        let btf = record.take(head[p::P_BTF] as usize)?;
        let func_info = record.take(8 * head[p::P_FUNCS] as usize)?;
        let mut maps = Vec::new();
        for _ in 0..head[p::P_MAPS] {
            let [kind, key, value, entries, flags, frozen, init, _] = record.words::<{ p::MAP_WORDS }>()?;
            let init = record.take(init as usize * value as usize)?;
            maps.push(AskedMap {
                shape: MapShape { kind, key, value, entries, flags },
                frozen: frozen == p::MAP_FROZEN,
                init,
            });
        }
        let mut runs = Vec::new();
        for _ in 0..head[p::P_RUNS] {
            let [ctx, data, repeat, _] = record.words::<{ p::RUN_WORDS }>()?;
            let ctx = record.take(ctx as usize)?;
            runs.push(AskedRun { ctx, data: record.take(data as usize)?, repeat });
        }
        Some(Asked { head, insns, btf, func_info, maps, runs })
    }
}

/// What became of a program.
#[derive(Default)]
struct Reply {
    head: [u32; p::REPLY_WORDS],
    log: Vec<u8>,
    xlated: Vec<u8>,
    runs: Vec<RunReply>,
    kmsg: Vec<u8>,
}

struct RunReply {
    head: [u32; p::RUN_REPLY_WORDS],
    ctx: Vec<u8>,
    data: Vec<u8>,
    maps: Vec<u8>,
}

impl Reply {
    /// As bytes; without its parts when they do not fit into `room`.
    fn encode(mut self, room: usize) -> Vec<u8> {
        self.head[p::R_LOG] = self.log.len() as u32;
        self.head[p::R_XLATED] = (self.xlated.len() / 8) as u32;
        self.head[p::R_RUNS] = self.runs.len() as u32;
        self.head[p::R_KMSG] = self.kmsg.len() as u32;
        let mut body = Vec::new();
        put(&mut body, &self.log);
        put(&mut body, &self.xlated);
        for run in &self.runs {
            put_words(&mut body, &run.head);
            for part in [&run.ctx, &run.data, &run.maps] {
                put(&mut body, part);
            }
        }
        put(&mut body, &self.kmsg);
        if 4 * p::REPLY_WORDS + body.len() > room {
            body.clear();
            self.head[p::R_NO_ROOM] = 1;
            for word in [p::R_LOG, p::R_XLATED, p::R_RUNS, p::R_KMSG] {
                self.head[word] = 0;
            }
        }
        self.head[p::R_TOTAL] = (4 * p::REPLY_WORDS + body.len()) as u32;
        let mut bytes = Vec::new();
        put_words(&mut bytes, &self.head);
        bytes.extend(body);
        bytes
    }
}

fn put(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend(bytes);
    to.resize(p::padded(to.len()), 0);
}

fn put_words(to: &mut Vec<u8>, words: &[u32]) {
    to.extend(words.iter().flat_map(|w| w.to_le_bytes()));
}

impl Batches {
    /// Opens the kernel's messages and passes over those of the start.
    pub fn new() -> io::Result<Batches> {
        let kmsg = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open("/dev/kmsg")?;
        let mut batches = Batches { log: vec![0; LOG_BYTES], kmsg, btf: None, jit: true };
        batches.messages();
        Ok(batches)
    }

    /// Answers a request. What is no request ends the answer early.
    pub fn answer(&mut self, shared: &Shared) {
        shared.set(p::RESPONSE_LEN, 0);
        shared.set(p::DONE, 0);
        let request = shared.read(p::REQUEST_AT, shared.get(p::REQUEST_LEN) as usize);
        let mut reader = Reader { bytes: &request };
        let mut written = 0;
        let mut index = 0;
        while let Some(asked) = Asked::read(&mut reader) {
            shared.set(p::PROGRAM, index);
            let mut reply = self.program(&asked, shared);
            shared.phase(p::PHASE_KMSG);
            reply.head[p::R_INDEX] = index;
            reply.kmsg = self.messages();
            if !reply.kmsg.is_empty() {
                // So that a warning that is given once is given again to the next program.
                let _ = fs::write("/sys/kernel/debug/clear_warn_once", "1");
            }
            let room = p::RESPONSE_MAX - written;
            let bytes = reply.encode(room);
            if bytes.len() > room || (written > 0 && bytes.len() == 4 * p::REPLY_WORDS && room < p::RESPONSE_MAX / 4) {
                return; // the host asks again for what is left
            }
            shared.write(p::RESPONSE_AT + written, &bytes);
            written += bytes.len();
            shared.set(p::RESPONSE_LEN, written as u32);
            index += 1;
            shared.set(p::DONE, index);
        }
    }

    fn program(&mut self, asked: &Asked<'_>, shared: &Shared) -> Reply {
        let mut reply = Reply::default();
        shared.phase(p::PHASE_BTF);
        let optional = asked.head[p::P_OPTIONS] & p::OPT_BTF_OPTIONAL != 0;
        if let (Err(errno), false) = (self.load_btf(asked.btf), optional) {
            reply.head[p::R_BTF_ERRNO] = errno as u32;
            reply.log = self.log_tail(asked.head[p::P_LOG_MAX] as usize);
            return reply;
        }
        shared.phase(p::PHASE_MAP);
        let mut maps = Vec::new();
        for (n, map) in asked.maps.iter().enumerate() {
            match create_map(map) {
                Ok(fd) => maps.push(fd),
                Err(errno) => {
                    reply.head[p::R_MAP_ERRNO] = errno as u32;
                    reply.head[p::R_MAP_INDEX] = n as u32;
                    return reply;
                }
            }
        }
        shared.phase(p::PHASE_LOAD);
        let Some(prog) = self.load(asked, &maps, &mut reply) else { return reply };
        shared.phase(p::PHASE_INFO);
        if let Ok((insns, jited)) = bpf::prog_info(&prog) {
            reply.head[p::R_JITED] = jited;
            if asked.head[p::P_OPTIONS] & p::OPT_XLATED != 0 {
                reply.xlated = insns;
            }
        }
        for run in &asked.runs {
            shared.phase(p::PHASE_RUN);
            reply.runs.push(run_once(&prog, run, &asked.maps, &maps));
        }
        reply
    }

    fn load(&mut self, asked: &Asked<'_>, maps: &[OwnedFd], reply: &mut Reply) -> Option<OwnedFd> {
        self.set_jit(asked.head[p::P_OPTIONS] & p::OPT_NO_JIT == 0);
        let insns = with_maps(asked.insns, maps);
        let load = Load {
            prog_type: asked.head[p::P_TYPE],
            attach_type: asked.head[p::P_ATTACH],
            flags: asked.head[p::P_FLAGS],
            insns: &insns,
            btf: self.btf.as_ref().map(|(_, fd)| fd),
            func_info: asked.func_info,
            log_level: asked.head[p::P_LOG_LEVEL],
        };
        self.log[0] = 0;
        let start = Instant::now();
        let loaded = bpf::prog_load(&load, &mut self.log);
        let nanos = start.elapsed().as_nanos() as u64;
        reply.head[p::R_LOAD_NS] = nanos as u32;
        reply.head[p::R_LOAD_NS + 1] = (nanos >> 32) as u32;
        reply.log = self.log_tail(asked.head[p::P_LOG_MAX] as usize);
        loaded.map_err(|errno| reply.head[p::R_LOAD_ERRNO] = errno as u32).ok()
    }

    /// Makes `self.btf` the one that is asked for.
    fn load_btf(&mut self, btf: &[u8]) -> Result<(), i32> {
        if self.btf.as_ref().is_some_and(|(have, _)| have == btf) {
            return Ok(());
        }
        self.btf = None;
        if btf.is_empty() {
            return Ok(());
        }
        let fd = match bpf::btf_load(btf, &mut []) {
            Ok(fd) => fd,
            Err(errno) => {
                self.log[0] = 0;
                let again = bpf::btf_load(btf, &mut self.log);
                return Err(again.err().unwrap_or(errno));
            }
        };
        self.btf = Some((btf.to_vec(), fd));
        Ok(())
    }

    fn set_jit(&mut self, on: bool) {
        if self.jit != on {
            crate::sysctl("net/core/bpf_jit_enable", if on { "1" } else { "0" });
            self.jit = on;
        }
    }

    fn log_tail(&self, max: usize) -> Vec<u8> {
        let end = self.log.iter().position(|b| *b == 0).unwrap_or(self.log.len());
        self.log[end.saturating_sub(max)..end].to_vec()
    }

    /// What the kernel said since the last time: warnings and worse, without the marks of the records.
    fn messages(&mut self) -> Vec<u8> {
        const TEXT_MAX: usize = 64 << 10;
        const WARNING: u32 = 4;
        let mut text = Vec::new();
        let mut record = [0; 8192];
        loop {
            match self.kmsg.read(&mut record) {
                Ok(0) => break,
                Ok(len) => {
                    let record = &record[..len];
                    let start = record.iter().position(|b| *b == b';').map_or(0, |at| at + 1);
                    let line = record[start..].split(|b| *b == b'\n').next().unwrap_or_default();
                    if level(record) <= WARNING && text.len() < TEXT_MAX {
                        text.extend(line);
                        text.push(b'\n');
                    }
                }
                // Older records were overwritten: go on with the oldest there is.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                Err(_) => break,
            }
        }
        text
    }
}

/// The level of a record of `/dev/kmsg`: the low three bits of the number that it starts with.
fn level(record: &[u8]) -> u32 {
    let digits = record.iter().take_while(|b| b.is_ascii_digit());
    digits.fold(0, |n: u32, b| n.wrapping_mul(10).wrapping_add(u32::from(b - b'0'))) & 7
}

fn create_map(map: &AskedMap<'_>) -> Result<OwnedFd, i32> {
    let fd = bpf::map_create(&map.shape)?;
    if map.frozen {
        fill(&fd, map)?;
        bpf::map_freeze(&fd)?;
    }
    Ok(fd)
}

/// Sets the values of an array: those that are given, and zero for the rest. Other maps are left as they are.
fn fill(fd: &OwnedFd, map: &AskedMap<'_>) -> Result<(), i32> {
    if map.shape.kind != MAP_TYPE_ARRAY {
        return Ok(());
    }
    let zero = vec![0; map.shape.value as usize];
    let mut given = map.init.chunks_exact(zero.len().max(1));
    for n in 0..map.shape.entries {
        bpf::map_update(fd, &n.to_le_bytes(), given.next().unwrap_or(&zero))?;
    }
    Ok(())
}

fn run_once(prog: &OwnedFd, asked: &AskedRun<'_>, shapes: &[AskedMap<'_>], maps: &[OwnedFd]) -> RunReply {
    for (map, fd) in shapes.iter().zip(maps).filter(|(map, _)| !map.frozen) {
        let _ = fill(fd, map);
    }
    let mut run = Run { ctx: asked.ctx.to_vec(), data: asked.data.to_vec(), repeat: asked.repeat };
    let (errno, ran) = match bpf::test_run(prog, &mut run) {
        Ok(ran) => (0, ran),
        Err(errno) => (errno as u32, bpf::Ran::default()),
    };
    let mut dump = Vec::new();
    for (map, fd) in shapes.iter().zip(maps).filter(|(map, _)| map.shape.kind == MAP_TYPE_ARRAY) {
        let mut value = vec![0; map.shape.value as usize];
        for n in 0..map.shape.entries {
            if dump.len() + value.len() > p::MAP_DUMP_MAX || bpf::map_lookup(fd, &n.to_le_bytes(), &mut value).is_err()
            {
                break;
            }
            dump.extend(&value);
        }
    }
    let (ctx, data) = (run.ctx, ran.data);
    let lens = (ctx.len() as u32, data.len() as u32, dump.len() as u32);
    RunReply { head: [errno, ran.retval, ran.duration, lens.0, lens.1, lens.2, 0, 0], ctx, data, maps: dump }
}

/// The instructions with descriptors in place of map indexes. An index that no map has stays as it is.
fn with_maps(insns: &[u8], maps: &[OwnedFd]) -> Vec<u8> {
    let mut out = insns.to_vec();
    let mut second = false;
    for insn in out.chunks_exact_mut(8) {
        if std::mem::take(&mut second) {
            continue;
        }
        second = insn[0] == LD_IMM64;
        if second && matches!(insn[1] >> 4, 1 | 2) {
            let index = i32::from_le_bytes([insn[4], insn[5], insn[6], insn[7]]);
            if let Some(fd) = usize::try_from(index).ok().and_then(|n| maps.get(n)) {
                insn[4..8].copy_from_slice(&fd.as_raw_fd().to_le_bytes());
            }
        }
    }
    out
}
