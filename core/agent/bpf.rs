//! The commands of the system call `bpf`, by the layout of `union bpf_attr` (6.1, which later kernels read as well).

use crate::sys;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

const ATTR_BYTES: usize = 144;
const INFO_BYTES: usize = 232;

const MAP_CREATE: u32 = 0;
const MAP_LOOKUP_ELEM: u32 = 1;
const MAP_UPDATE_ELEM: u32 = 2;
const PROG_LOAD: u32 = 5;
const PROG_TEST_RUN: u32 = 10;
const OBJ_GET_INFO_BY_FD: u32 = 15;
const BTF_LOAD: u32 = 18;
const MAP_FREEZE: u32 = 22;

const EAGAIN: i32 = 11;

/// `union bpf_attr`, filled field by field.
struct Attr([u8; ATTR_BYTES]);

impl Attr {
    fn new() -> Attr {
        Attr([0; ATTR_BYTES])
    }

    fn word(mut self, at: usize, value: u32) -> Attr {
        self.0[at..at + 4].copy_from_slice(&value.to_le_bytes());
        self
    }

    fn input(mut self, at: usize, bytes: &[u8]) -> Attr {
        let address = if bytes.is_empty() { 0 } else { bytes.as_ptr() as u64 };
        self.0[at..at + 8].copy_from_slice(&address.to_le_bytes());
        self
    }

    fn output(mut self, at: usize, bytes: &mut [u8]) -> Attr {
        let address = if bytes.is_empty() { 0 } else { bytes.as_mut_ptr() as u64 };
        self.0[at..at + 8].copy_from_slice(&address.to_le_bytes());
        self
    }

    fn fd(self, at: usize, fd: RawFd) -> Attr {
        self.word(at, fd as u32)
    }

    fn call(&mut self, cmd: u32) -> Result<i32, i32> {
        sys::bpf(cmd, &mut self.0)
    }

    fn get(&self, at: usize) -> u32 {
        let mut word = [0; 4];
        word.copy_from_slice(&self.0[at..at + 4]);
        u32::from_le_bytes(word)
    }
}

/// Loads BTF; with a log where one is given.
pub fn btf_load(btf: &[u8], log: &mut [u8]) -> Result<OwnedFd, i32> {
    let level = u32::from(!log.is_empty());
    let attr = Attr::new().input(0, btf).word(16, btf.len() as u32).word(20, log.len() as u32).word(24, level);
    attr.output(8, log).call(BTF_LOAD).map(sys::own)
}

/// What a map is made of.
pub struct MapShape {
    pub kind: u32,
    pub key: u32,
    pub value: u32,
    pub entries: u32,
    pub flags: u32,
}

/// Creates a map.
pub fn map_create(shape: &MapShape) -> Result<OwnedFd, i32> {
    let attr = Attr::new().word(0, shape.kind).word(4, shape.key).word(8, shape.value);
    attr.word(12, shape.entries).word(16, shape.flags).call(MAP_CREATE).map(sys::own)
}

/// Sets an element.
pub fn map_update(map: &OwnedFd, key: &[u8], value: &[u8]) -> Result<(), i32> {
    let attr = Attr::new().fd(0, map.as_raw_fd()).input(8, key).input(16, value);
    { attr }.call(MAP_UPDATE_ELEM).map(drop)
}

/// Reads an element into `value`, which is as long as the map's values.
pub fn map_lookup(map: &OwnedFd, key: &[u8], value: &mut [u8]) -> Result<(), i32> {
    Attr::new().fd(0, map.as_raw_fd()).input(8, key).output(16, value).call(MAP_LOOKUP_ELEM).map(drop)
}

/// Freezes a map.
pub fn map_freeze(map: &OwnedFd) -> Result<(), i32> {
    Attr::new().fd(0, map.as_raw_fd()).call(MAP_FREEZE).map(drop)
}

/// What a program is loaded with.
pub struct Load<'a> {
    pub prog_type: u32,
    pub attach_type: u32,
    pub flags: u32,
    pub insns: &'a [u8],
    pub btf: Option<&'a OwnedFd>,
    pub func_info: &'a [u8],
    pub log_level: u32,
}

/// Loads a program.
pub fn prog_load(load: &Load<'_>, log: &mut [u8]) -> Result<OwnedFd, i32> {
    const TRIES: u32 = 16;
    let mut tried = 0;
    loop {
        let mut attr = Attr::new()
            .word(0, load.prog_type)
            .word(4, (load.insns.len() / 8) as u32)
            .input(8, load.insns)
            .input(16, b"GPL\0")
            .word(24, load.log_level)
            .word(28, if load.log_level == 0 { 0 } else { log.len() as u32 })
            .word(44, load.flags)
            .word(68, load.attach_type);
        if load.log_level != 0 {
            attr = attr.output(32, log);
        }
        if let Some(btf) = load.btf {
            attr = attr.fd(72, btf.as_raw_fd()).word(76, 8);
            attr = attr.input(80, load.func_info).word(88, (load.func_info.len() / 8) as u32);
        }
        tried += 1;
        match attr.call(PROG_LOAD) {
            Err(EAGAIN) if tried < TRIES => {}
            answer => return answer.map(sys::own),
        }
    }
}

/// The rewritten instructions, as bytes, and the length of the machine code.
pub fn prog_info(prog: &OwnedFd) -> Result<(Vec<u8>, u32), i32> {
    let mut info = [0; INFO_BYTES];
    get_info(prog, &mut info)?;
    let word = |info: &[u8], at: usize| u32::from_le_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]);
    let (jited, len) = (word(&info, 16), word(&info, 20));
    let mut insns = vec![0; len as usize];
    let mut info = [0; INFO_BYTES];
    info[20..24].copy_from_slice(&len.to_le_bytes());
    info[32..40].copy_from_slice(&(insns.as_mut_ptr() as u64).to_le_bytes());
    get_info(prog, &mut info)?;
    insns.truncate(word(&info, 20) as usize);
    Ok((insns, jited))
}

fn get_info(prog: &OwnedFd, info: &mut [u8; INFO_BYTES]) -> Result<(), i32> {
    let attr = Attr::new().fd(0, prog.as_raw_fd()).word(4, INFO_BYTES as u32);
    attr.output(8, info).call(OBJ_GET_INFO_BY_FD).map(drop)
}

/// A test run's input; after the run, its output.
pub struct Run {
    pub ctx: Vec<u8>,
    pub data: Vec<u8>,
    pub repeat: u32,
}

/// What a test run gives besides.
#[derive(Default)]
pub struct Ran {
    pub retval: u32,
    pub duration: u32,
    pub data: Vec<u8>,
}

/// Runs a program once. The kernel writes a changed context to where it was read from.
pub fn test_run(prog: &OwnedFd, run: &mut Run) -> Result<Ran, i32> {
    /// A packet may grow.
    const ROOM: usize = 4096;
    let mut out = vec![0; if run.data.is_empty() { 0 } else { run.data.len() + ROOM }];
    let mut attr = Attr::new()
        .fd(0, prog.as_raw_fd())
        .word(8, run.data.len() as u32)
        .word(12, out.len() as u32)
        .input(16, &run.data)
        .output(24, &mut out)
        .word(32, run.repeat)
        .word(40, run.ctx.len() as u32)
        .output(48, &mut run.ctx);
    attr.call(PROG_TEST_RUN)?;
    out.truncate(attr.get(12) as usize);
    Ok(Ran { retval: attr.get(4), duration: attr.get(36), data: out })
}
