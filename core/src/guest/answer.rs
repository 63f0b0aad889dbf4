//! What a kernel answers about a program. Written as JSON it is a line of a recording (`core/docs/guests.md`).

use super::log;
use super::protocol as p;
use super::wire::Reply;
use crate::isa::Insn;
use crate::kernel::ProgType;
use crate::program::{Layout, Program};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use thiserror::Error;

/// What an agent was doing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Nothing yet.
    Start,
    /// Loading BTF.
    Btf,
    /// Creating maps.
    Map,
    /// Loading the program.
    Load,
    /// Reading back the rewritten program.
    Info,
    /// Running it.
    Run,
    /// Collecting the kernel's messages.
    Kmsg,
}

impl Phase {
    /// The phase of a number in the header.
    pub(super) fn from_number(number: u32) -> Phase {
        match number {
            p::PHASE_BTF => Phase::Btf,
            p::PHASE_MAP => Phase::Map,
            p::PHASE_LOAD => Phase::Load,
            p::PHASE_INFO => Phase::Info,
            p::PHASE_RUN => Phase::Run,
            p::PHASE_KMSG => Phase::Kmsg,
            _ => Phase::Start,
        }
    }

    /// The word in a recording.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Start => "start",
            Phase::Btf => "btf",
            Phase::Map => "map",
            Phase::Load => "load",
            Phase::Info => "info",
            Phase::Run => "run",
            Phase::Kmsg => "kmsg",
        }
    }
}

/// What became of a program.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// Loaded.
    Accept,
    /// Refused.
    Reject,
    /// It killed the guest, each time that it was tried.
    Died {
        /// In which phase.
        phase: Phase,
    },
    /// It did not end, each time that it was tried.
    TimedOut {
        /// In which phase.
        phase: Phase,
    },
    /// It never came to a load.
    NotRun(String),
}

impl Verdict {
    /// The word in a recording.
    pub const fn name(&self) -> &'static str {
        match self {
            Verdict::Accept => "accept",
            Verdict::Reject => "reject",
            Verdict::Died { .. } => "died",
            Verdict::TimedOut { .. } => "timed-out",
            Verdict::NotRun(_) => "not-run",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Accept | Verdict::Reject => f.write_str(self.name()),
            Verdict::Died { phase } => write!(f, "the guest died ({})", phase.name()),
            Verdict::TimedOut { phase } => write!(f, "no end ({})", phase.name()),
            Verdict::NotRun(why) => write!(f, "not run: {why}"),
        }
    }
}

/// A kernel's answer about a program.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(into = "Record", try_from = "Record")]
pub struct Answer {
    /// Name of the program.
    pub name: String,
    /// What became of it.
    pub verdict: Verdict,
    /// Positive error number of the load.
    pub errno: i32,
    /// The line of the log that says why; empty for accepted programs.
    pub message: String,
    /// Instructions walked.
    pub insns_processed: u32,
    /// Stack depth by subprogram after inlining, where the kernel names them (7.3).
    pub stack_by_name: BTreeMap<String, u16>,
    /// The same as `main+sub1+…` (earlier kernels).
    pub stack_line: String,
    /// The rewritten instructions as dumped.
    pub xlated: Vec<Insn>,
    /// Test runs, by input.
    pub runs: Vec<RunAnswer>,
    /// What the kernel said meanwhile.
    pub kmsg: String,
    /// The end of the verifier's log; not recorded.
    pub log: String,
    /// Time of the load; not recorded.
    pub load_ns: u64,
}

/// A test run of a program.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RunAnswer {
    /// Positive error number of the test run, 0 for none.
    #[serde(default)]
    pub err: i32,
    /// Low 32 bits of R0.
    #[serde(default)]
    pub retval: u32,
    /// The context afterwards (syscall programs).
    #[serde(default)]
    pub ctx: HexBytes,
    /// The packet afterwards (networking programs).
    #[serde(default, skip_serializing_if = "HexBytes::is_empty")]
    pub data: HexBytes,
    /// The values of the array maps afterwards, one after another.
    #[serde(default)]
    pub maps: HexBytes,
    /// Nanoseconds of one repetition, for types that can repeat; not recorded.
    #[serde(skip)]
    pub duration_ns: u32,
}

impl RunAnswer {
    /// True when two runs left the same behind.
    pub fn same_results(&self, other: &RunAnswer) -> bool {
        let results = |run: &RunAnswer| RunAnswer { duration_ns: 0, ..run.clone() };
        results(self) == results(other)
    }
}

/// Bytes that are written as hexadecimal text.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct HexBytes(pub Vec<u8>);

impl HexBytes {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for HexBytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(2 * self.0.len());
        for byte in &self.0 {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
        to.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for HexBytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<HexBytes, D::Error> {
        let text = String::deserialize(from)?;
        let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect();
        let digits = digits.filter(|d| d.len() % 2 == 0);
        let digits = digits.ok_or_else(|| serde::de::Error::custom("not hexadecimal bytes"))?;
        Ok(HexBytes(digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect()))
    }
}

/// A verdict that no recording has.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("\"{0}\" is no verdict")]
pub struct UnknownVerdict(pub String);

/// The line of a recording.
#[derive(Serialize, Deserialize)]
struct Record {
    name: String,
    verdict: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    phase: Option<Phase>,
    errno: i32,
    message: String,
    insns_processed: u32,
    #[serde(default)]
    stack_by_name: BTreeMap<String, u16>,
    #[serde(default)]
    stack_line: String,
    xlated: Vec<HexBytes>,
    runs: Vec<RunAnswer>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    kmsg: String,
}

impl From<Answer> for Record {
    fn from(answer: Answer) -> Record {
        let (phase, why) = match &answer.verdict {
            Verdict::Died { phase } | Verdict::TimedOut { phase } => (Some(*phase), None),
            Verdict::NotRun(why) => (None, Some(why.clone())),
            Verdict::Accept | Verdict::Reject => (None, None),
        };
        Record {
            name: answer.name,
            verdict: answer.verdict.name().to_owned(),
            phase,
            errno: answer.errno,
            message: why.unwrap_or(answer.message),
            insns_processed: answer.insns_processed,
            stack_by_name: answer.stack_by_name,
            stack_line: answer.stack_line,
            xlated: answer.xlated.iter().map(|i| HexBytes(i.to_bytes().to_vec())).collect(),
            runs: answer.runs,
            kmsg: answer.kmsg,
        }
    }
}

impl TryFrom<Record> for Answer {
    type Error = UnknownVerdict;

    fn try_from(record: Record) -> Result<Answer, UnknownVerdict> {
        let phase = record.phase.unwrap_or(Phase::Start);
        let verdict = match record.verdict.as_str() {
            "accept" => Verdict::Accept,
            "reject" => Verdict::Reject,
            "died" => Verdict::Died { phase },
            "timed-out" => Verdict::TimedOut { phase },
            "not-run" => Verdict::NotRun(record.message.clone()),
            other => return Err(UnknownVerdict(other.to_owned())),
        };
        Ok(Answer {
            name: record.name,
            verdict,
            errno: record.errno,
            message: record.message,
            insns_processed: record.insns_processed,
            stack_by_name: record.stack_by_name,
            stack_line: record.stack_line,
            xlated: record.xlated.iter().filter_map(|b| Some(Insn::from_bytes(*b.0.first_chunk()?))).collect(),
            runs: record.runs,
            kmsg: record.kmsg,
            log: String::new(),
            load_ns: 0,
        })
    }
}

impl Answer {
    /// An answer without a load.
    pub(crate) fn without_load(program: &Program, verdict: Verdict) -> Answer {
        Answer {
            name: program.name.clone(),
            verdict,
            errno: 0,
            message: String::new(),
            insns_processed: 0,
            stack_by_name: BTreeMap::new(),
            stack_line: String::new(),
            xlated: Vec::new(),
            runs: Vec::new(),
            kmsg: String::new(),
            log: String::new(),
            load_ns: 0,
        }
    }

    /// The answer that an agent's record holds.
    pub(super) fn of(program: &Program, reply: Reply) -> Answer {
        let errno = if reply.btf_errno != 0 { reply.btf_errno } else { reply.load_errno };
        let verdict = if reply.map_errno != 0 {
            let map_type = program.maps.get(reply.map_index as usize).map(|m| m.map_type).unwrap_or_default();
            Verdict::NotRun(format!(
                "map {} ({map_type}) cannot be created: error {}",
                reply.map_index, reply.map_errno
            ))
        } else if reply.no_room {
            Verdict::NotRun("the answer is too long".to_owned())
        } else if errno != 0 {
            Verdict::Reject
        } else {
            Verdict::Accept
        };
        let statistics = log::statistics(&reply.log);
        let message = if verdict == Verdict::Reject { log::reason(&reply.log).to_owned() } else { String::new() };
        let has_ctx = program.prog_type == ProgType::Syscall;
        let run = |run: super::wire::ReplyRun| RunAnswer {
            err: run.errno,
            retval: run.retval,
            ctx: HexBytes(if has_ctx { run.ctx } else { Vec::new() }),
            data: HexBytes(run.data),
            maps: HexBytes(run.maps),
            duration_ns: run.duration_ns,
        };
        Answer {
            errno,
            message,
            insns_processed: statistics.insns_processed,
            stack_by_name: statistics.stack_by_name,
            stack_line: statistics.stack_line,
            xlated: reply.xlated,
            runs: reply.runs.into_iter().map(run).collect(),
            kmsg: log::without_clock(&reply.kmsg),
            log: reply.log,
            load_ns: reply.load_ns,
            ..Answer::without_load(program, verdict)
        }
    }

    /// Stack depth of each subprogram after inlining, in the order of the subprograms, where the kernel tells of all of
    /// `program`'s. Kernels leave out subprograms that were removed: then there is no answer.
    pub fn stack(&self, program: &Program) -> Option<Vec<u16>> {
        let starts = Layout::of(program);
        if !self.stack_line.is_empty() {
            let depths: Option<Vec<u16>> = self.stack_line.split('+').map(|n| n.parse().ok()).collect();
            return depths.filter(|d| d.len() == starts.len());
        }
        starts.starts().iter().map(|s| self.stack_by_name.get(program.func_name(*s)?).copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_read_back() {
        let line = r#"{"name":"a","verdict":"accept","errno":0,"message":"","insns_processed":9,"stack_by_name":{"main":24},"stack_line":"","xlated":["9500000000000000"],"runs":[{"err":0,"retval":7,"ctx":"0a","maps":""}]}"#;
        let answer: Answer = serde_json::from_str(line).expect("a recording");
        assert_eq!((answer.verdict.clone(), answer.runs[0].ctx.0.as_slice()), (Verdict::Accept, &[10][..]));
        assert_eq!(serde_json::to_string(&answer).expect("JSON"), line);
        for verdict in [
            Verdict::Died { phase: Phase::Load },
            Verdict::TimedOut { phase: Phase::Run },
            Verdict::NotRun("why".to_owned()),
            Verdict::Reject,
        ] {
            let program = Program::default();
            let text = serde_json::to_string(&Answer::without_load(&program, verdict.clone())).expect("JSON");
            assert_eq!(serde_json::from_str::<Answer>(&text).expect("a recording").verdict, verdict);
        }
        assert!(serde_json::from_str::<Answer>(&line.replace("accept", "perhaps")).is_err());
        assert!(serde_json::from_str::<Answer>(&line.replace("\"0a\"", "\"0\"")).is_err());
    }
}
