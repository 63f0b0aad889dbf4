//! The layout of the memory that host and guest share; the agent's build includes this file as it is.
//!
//! Everything is little-endian. The host writes a request and then increments `HOST_SEQ`; the agent answers, and then sets
//! `GUEST_SEQ` to the same number. While it works it says where it is (`PROGRAM`, `PHASE`, `BEAT`), and every finished answer
//! is accounted for at once (`DONE`, `RESPONSE_LEN`), so that a guest that dies leaves all but one answer behind.

/// Bytes of shared memory: a power of two, as PCI wants it.
pub const SHARED_BYTES: u32 = 64 << 20;

/// Header: [`MAGIC_VALUE`] once the agent is up.
pub const MAGIC: usize = 0;
/// Header: number of the last request.
pub const HOST_SEQ: usize = 4;
/// Header: number of the last request that was answered.
pub const GUEST_SEQ: usize = 8;
/// Header: what is asked, one of the `CMD_` numbers.
pub const COMMAND: usize = 12;
/// Header: bytes of the request.
pub const REQUEST_LEN: usize = 16;
/// Header: bytes of the response so far.
pub const RESPONSE_LEN: usize = 20;
/// Header: index of the program in progress.
pub const PROGRAM: usize = 24;
/// Header: what is being done to it, one of the `PHASE_` numbers.
pub const PHASE: usize = 28;
/// Header: counts steps, to tell slow from stuck.
pub const BEAT: usize = 32;
/// Header: programs of the request that are answered.
pub const DONE: usize = 36;
/// Bytes of the header that the host reads at once.
pub const HEADER_BYTES: usize = 40;

/// "LDGA".
pub const MAGIC_VALUE: u32 = 0x4147_444c;

/// Where a request starts.
pub const REQUEST_AT: usize = 4096;
/// Bytes that a request may have.
pub const REQUEST_MAX: usize = RESPONSE_AT - REQUEST_AT;
/// Where a response starts.
pub const RESPONSE_AT: usize = 24 << 20;
/// Bytes that a response may have.
pub const RESPONSE_MAX: usize = SHARED_BYTES as usize - RESPONSE_AT;

/// Load and run programs.
pub const CMD_BATCH: u32 = 1;
/// Answer with what is known of the kernel, as text.
pub const CMD_FACTS: u32 = 2;
/// Switch off.
pub const CMD_POWER_OFF: u32 = 3;

/// Loading BTF.
pub const PHASE_BTF: u32 = 1;
/// Creating and filling maps.
pub const PHASE_MAP: u32 = 2;
/// Loading the program.
pub const PHASE_LOAD: u32 = 3;
/// Reading back the rewritten program.
pub const PHASE_INFO: u32 = 4;
/// Test runs.
pub const PHASE_RUN: u32 = 5;
/// Reading the kernel's messages.
pub const PHASE_KMSG: u32 = 6;

/// Bytes of a program's header in a request: sixteen words, of which these are used.
pub const PROGRAM_HEADER_BYTES: usize = 64;
/// Word: bytes of the whole record.
pub const P_TOTAL: usize = 0;
/// Word: program type.
pub const P_TYPE: usize = 1;
/// Word: expected attach type.
pub const P_ATTACH: usize = 2;
/// Word: flags of the load.
pub const P_FLAGS: usize = 3;
/// Word: log level.
pub const P_LOG_LEVEL: usize = 4;
/// Word: `OPT_` bits.
pub const P_OPTIONS: usize = 5;
/// Word: instructions.
pub const P_INSNS: usize = 6;
/// Word: bytes of BTF.
pub const P_BTF: usize = 7;
/// Word: records of `func_info`.
pub const P_FUNCS: usize = 8;
/// Word: maps.
pub const P_MAPS: usize = 9;
/// Word: test runs.
pub const P_RUNS: usize = 10;
/// Word: bytes of the log that are sent back, from its end.
pub const P_LOG_MAX: usize = 11;

/// Send back the rewritten instructions.
pub const OPT_XLATED: u32 = 1;
/// Load with the JIT compiler switched off.
pub const OPT_NO_JIT: u32 = 2;
/// Go on without BTF and function records when the BTF is refused.
pub const OPT_BTF_OPTIONAL: u32 = 4;

/// Words of a map's header: type, key, value, entries, flags, [`MAP_FROZEN`] or 0, initial values, 0.
pub const MAP_WORDS: usize = 8;
/// The map is frozen after it is filled.
pub const MAP_FROZEN: u32 = 1;
/// Words of a run's header: context bytes, packet bytes, repetitions, 0.
pub const RUN_WORDS: usize = 4;

/// Words of a program's header in a response.
pub const REPLY_WORDS: usize = 16;
/// Word: bytes of the whole record.
pub const R_TOTAL: usize = 0;
/// Word: the program's index in the request.
pub const R_INDEX: usize = 1;
/// Word: error of the load.
pub const R_LOAD_ERRNO: usize = 2;
/// Word: error of the load of BTF.
pub const R_BTF_ERRNO: usize = 3;
/// Word: error of a map.
pub const R_MAP_ERRNO: usize = 4;
/// Word: which map.
pub const R_MAP_INDEX: usize = 5;
/// Word: bytes of the log that follow.
pub const R_LOG: usize = 6;
/// Word: rewritten instructions that follow.
pub const R_XLATED: usize = 7;
/// Word: bytes of machine code.
pub const R_JITED: usize = 8;
/// Word: runs that follow.
pub const R_RUNS: usize = 9;
/// Word: bytes of kernel messages that follow.
pub const R_KMSG: usize = 10;
/// Word: nanoseconds of the load, low and high.
pub const R_LOAD_NS: usize = 11;
/// Word: 1 when the answer had no room and is without its parts.
pub const R_NO_ROOM: usize = 13;

/// Words of a run's header in a response: error, return value, nanoseconds of one repetition, bytes of context, packet and maps, 0, 0.
pub const RUN_REPLY_WORDS: usize = 8;

/// Bytes of a map's values that are sent back at most.
pub const MAP_DUMP_MAX: usize = 1 << 20;

/// Everything of variable length is padded to eight bytes.
pub const fn padded(len: usize) -> usize {
    len.next_multiple_of(8)
}

/// Reads a request or a response, or a record of one.
pub struct Reader<'a> {
    /// What is left.
    pub bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// The next bytes, and what pads them; nothing where fewer are left.
    pub fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(..len)?;
        self.bytes = self.bytes.get(padded(len)..).unwrap_or_default();
        Some(taken)
    }

    /// The next words.
    pub fn words<const N: usize>(&mut self) -> Option<[u32; N]> {
        let mut words = [0; N];
        for (word, four) in words.iter_mut().zip(self.take(4 * N)?.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*four);
        }
        Some(words)
    }
}
