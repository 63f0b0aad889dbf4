//! Recordings: programs with what a kernel answered, in files, for tests without guests.
//!
//! A recording is gzipped JSON, an object a line: first the kernel, then each program with its answer (`core/docs/guests.md`).
//! The program stands in it whole, so an old recording stays true when the file that it was made from changes.
//!
//! Invariant: the same answers give the same bytes. What belongs to one boot is left out of them by rule: bytes of results that
//! are not the same in a second asking ([`settle`]), and the registers and call traces of warnings ([`headlines`]).

use super::{Answer, Image};
use crate::kernel::KernelVersion;
use crate::program::{InputError, Program, json};
use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

/// Programs and a kernel's answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recording {
    /// Which kernel.
    pub kernel: Recorder,
    /// The programs, in order.
    pub entries: Vec<Entry>,
}

/// The kernel that answered: the first line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorder {
    /// The modelled version of its series, where there is one.
    pub kernel: String,
    /// The point release.
    pub point: String,
    /// What `uname -r` says.
    pub release: String,
}

/// A program and its answer: another line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The file that it came from, below the folder that was recorded.
    pub path: String,
    /// The program.
    pub program: Program,
    /// What the kernel answered; helper calls of the dump have the helpers' numbers.
    pub answer: Answer,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    path: String,
    program: Value,
    answer: Answer,
}

/// No recording unpacks to more. Those of the corpus take 4 MiB.
const BYTES_MAX: u64 = 128 << 20;
/// No line has more.
const LINE_BYTES_MAX: u64 = 32 << 20;

impl Recorder {
    /// A kernel that answers.
    pub fn of(image: &Image) -> Recorder {
        Recorder { kernel: image.label().to_owned(), point: image.point.clone(), release: image.release.clone() }
    }

    /// The modelled version.
    pub fn version(&self) -> Option<KernelVersion> {
        self.kernel.parse().ok()
    }
}

impl Recording {
    /// Reads a file's content.
    ///
    /// # Errors
    ///
    /// The first line that is not of a recording.
    pub fn read(bytes: &[u8]) -> Result<Recording, InputError> {
        Recording::read_at_most(bytes, BYTES_MAX)
    }

    fn read_at_most(bytes: &[u8], unpacked_max: u64) -> Result<Recording, InputError> {
        let from = BufReader::new(GzDecoder::new(bytes));
        let mut lines = Lines { from, number: 0, left: unpacked_max };
        let (line, number) = lines.next()?.ok_or_else(|| InputError::new("an empty recording"))?;
        let kernel = serde_json::from_slice(&line).map_err(|e| InputError::new(e.to_string()).at_line(number))?;
        let mut entries = Vec::new();
        while let Some((line, number)) = lines.next()? {
            entries.push(entry(&line).map_err(|e| e.at_line(number))?);
        }
        Ok(Recording { kernel, entries })
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// As [`Recording::read`], and when there is no such file.
    pub fn open(path: &Path) -> Result<Recording, InputError> {
        let bytes = std::fs::read(path).map_err(|e| InputError::new(e.to_string()).in_file(path))?;
        Recording::read(&bytes).map_err(|e| e.in_file(path))
    }

    /// The content of a file.
    ///
    /// # Errors
    ///
    /// It would be more than [`Recording::read`] takes.
    pub fn write(&self) -> std::io::Result<Vec<u8>> {
        // Without a time stamp.
        let mut zip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
        let mut left = BYTES_MAX;
        let mut put = |line: Vec<u8>| -> std::io::Result<()> {
            let bytes = line.len() as u64 + 1;
            if bytes > left.min(LINE_BYTES_MAX) {
                return Err(std::io::Error::other(
                    "a recording of this size cannot be read again: record less at once",
                ));
            }
            left -= bytes;
            zip.write_all(&line)?;
            zip.write_all(b"\n")
        };
        put(serde_json::to_vec(&self.kernel)?)?;
        for entry in &self.entries {
            let program = serde_json::from_str(&json::write(std::slice::from_ref(&entry.program), json::Form::Lines))?;
            let line = Line { path: entry.path.clone(), program, answer: entry.answer.clone() };
            put(serde_json::to_vec(&line)?)?;
        }
        zip.finish()
    }
}

/// The lines of what a file unpacks to, one at a time: a small file may unpack to any size.
struct Lines<R> {
    from: R,
    number: u32,
    left: u64,
}

impl<R: BufRead> Lines<R> {
    /// The next line that is not empty, and its number.
    fn next(&mut self) -> Result<Option<(Vec<u8>, u32)>, InputError> {
        loop {
            self.number = self.number.saturating_add(1);
            let max = self.left.min(LINE_BYTES_MAX);
            let mut line = Vec::new();
            let read = self.from.by_ref().take(max + 1).read_until(b'\n', &mut line);
            let read = read.map_err(|e| InputError::new(format!("no gzip: {e}")).at_line(self.number))? as u64;
            if read > max {
                let (what, max) =
                    if max < LINE_BYTES_MAX { ("the recording", BYTES_MAX) } else { ("the line", LINE_BYTES_MAX) };
                let why = format!("{what} unpacks to more than {} MiB", max >> 20);
                return Err(InputError::new(why).at_line(self.number));
            }
            self.left -= read;
            if line.last() == Some(&b'\n') {
                line.pop();
            } else if line.is_empty() {
                return Ok(None);
            }
            if !line.is_empty() {
                return Ok(Some((line, self.number)));
            }
        }
    }
}

fn entry(line: &[u8]) -> Result<Entry, InputError> {
    let Line { path, program, answer } =
        serde_json::from_slice(line).map_err(|e| InputError::new(format!("no line of a recording: {e}")))?;
    let program = json::read(program.to_string().as_bytes(), json::Form::Document)?.pop();
    let program = program.ok_or_else(|| InputError::new("no program"))?;
    Ok(Entry { path, program, answer })
}

/// An answer without what belongs to one boot: bytes of results that another answer to the same program has otherwise are zero.
pub fn settle(answer: &Answer, again: &Answer) -> Answer {
    let mut settled = answer.clone();
    for (run, other) in settled.runs.iter_mut().zip(&again.runs) {
        run.retval = u32::from_le_bytes(std::array::from_fn(|n| {
            let (one, two) = (run.retval.to_le_bytes(), other.retval.to_le_bytes());
            if one[n] == two[n] { one[n] } else { 0 }
        }));
        let parts = [(&mut run.ctx, &other.ctx), (&mut run.data, &other.data), (&mut run.maps, &other.maps)];
        for (bytes, others) in parts {
            let pairs = bytes.0.iter_mut().zip(&others.0);
            pairs.filter(|(byte, other)| byte != other).for_each(|(byte, _)| *byte = 0);
        }
    }
    settled.kmsg = headlines(&answer.kmsg);
    settled
}

/// What a kernel's messages say, without the state of the machine that follows a warning or a fault; of that, where it was.
pub fn headlines(kmsg: &str) -> String {
    let begins = |line: &str, marks: &[&str]| marks.iter().any(|mark| line.starts_with(mark));
    let (mut is_state, mut has_place) = (false, false);
    let mut kept = String::new();
    // A serial line may end lines with carriage returns.
    for line in kmsg.lines().map(|line| line.trim_end_matches('\r')) {
        if begins(line, &["------", "WARNING: ", "BUG: ", "UBSAN: ", "Kernel panic"]) {
            (is_state, has_place) = (false, false);
        }
        is_state |= begins(line, &["Modules linked in:", "CPU: ", "RIP: ", "PGD ", "Kernel Offset", "Rebooting"]);
        // Which allocation found the memory used up is chance.
        is_state |= line.contains(" invoked oom-killer: ");
        let is_place = line.starts_with("RIP: 0010:") && !has_place;
        has_place |= is_place;
        if (!is_state || is_place) && !line.starts_with("---[ end trace") {
            kept += line;
            kept.push('\n');
        }
        is_state |= line.starts_with("---[ end trace");
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::{HexBytes, RunAnswer, Verdict};
    use crate::isa::Insn;

    fn answer() -> Answer {
        let run = RunAnswer { retval: 0x0102_0304, maps: HexBytes(vec![1, 2, 3]), ..RunAnswer::default() };
        let mut answer = Answer::without_load(&Program::default(), Verdict::Accept);
        answer.runs = vec![run];
        answer
    }

    #[test]
    fn headlines_of_headlines_are_the_same() {
        for kmsg in ["WARNING: a\r\r\r\n", "a\r\rb\r\r", "\r\n\r\r\n", "BUG: x\r\nCPU: 0\r\nRIP: 0010:f\r\r\n"] {
            let once = headlines(kmsg);
            assert_eq!(headlines(&once), once, "{kmsg:?}");
        }
    }

    #[test]
    fn recordings_read_back_and_are_the_same_bytes_each_time() {
        let program = Program { name: "a".to_owned(), insns: vec![Insn::default()], ..Program::default() };
        let entry = Entry { path: "a.bpf".to_owned(), program, answer: answer() };
        let kernel = Recorder { kernel: "6.1".into(), point: "6.1.9".into(), release: "6.1.0-x".into() };
        let recording = Recording { kernel, entries: vec![entry.clone(), entry] };
        let bytes = recording.write().expect("bytes");
        assert_eq!(bytes, recording.write().expect("bytes"));
        assert_eq!(Recording::read(&bytes).expect("a recording"), recording);
        assert_eq!(recording.kernel.version(), Some(KernelVersion::V6_1));
    }

    const HEAD: &str = r#"{"kernel":"6.1","point":"6.1.9","release":"6.1.0-x"}"#;

    fn pack(text: &str) -> Vec<u8> {
        let mut zip = GzBuilder::new().write(Vec::new(), Compression::fast());
        zip.write_all(text.as_bytes()).and_then(|()| zip.finish()).expect("bytes")
    }

    /// What a small file unpacks to is looked at only so far: one line without an end, and lines without end.
    #[test]
    fn a_recording_that_unpacks_to_more_than_any_has_is_no_recording() {
        let line = pack(&"x".repeat(LINE_BYTES_MAX as usize + 1));
        assert!(line.len() < 1 << 20, "{}", line.len());
        let error = Recording::read(&line).expect_err("a line without end").to_string();
        assert_eq!(error, "1: the line unpacks to more than 32 MiB");

        let lines = pack(&format!("{HEAD}\n{}", "\n".repeat(1000)));
        let all = HEAD.len() as u64 + 1001;
        assert!(Recording::read_at_most(&lines, all).is_ok());
        let error = Recording::read_at_most(&lines, all - 1).expect_err("lines without end").to_string();
        assert_eq!(error, "1001: the recording unpacks to more than 128 MiB");
    }

    #[test]
    fn broken_recordings_name_the_line() {
        let head = HEAD;
        assert!(Recording::read(&pack(head)).is_ok());
        let line_of = |text: &str| Recording::read(&pack(text)).expect_err("an error").line;
        assert_eq!(line_of("{}"), Some(1));
        assert_eq!(line_of(&format!("{head}\n{{}}")), Some(2));
        assert!(Recording::read(b"plain text").is_err() && Recording::read(&pack("")).is_err());
    }

    #[test]
    fn what_varies_is_left_out() {
        let (one, mut two) = (answer(), answer());
        two.runs[0].retval = 0x0102_ff04;
        two.runs[0].maps.0[1] = 9;
        let settled = settle(&one, &two);
        assert_eq!((settled.runs[0].retval, settled.runs[0].maps.0.as_slice()), (0x0102_0004, &[1, 0, 3][..]));
        assert_eq!(settle(&one, &one), one);
        let warning = "------------[ cut here ]------------\nWARNING: at f+0x1/0x2\n";
        let state = "Modules linked in:\nRIP: 0010:f+0x1\nRAX: 1\n---[ end trace 0 ]---\n";
        let kept = format!("odd\n{warning}RIP: 0010:f+0x1\n");
        assert_eq!(headlines(&format!("odd\n{warning}{state}")), kept);
        let fault = format!("odd\n{warning}{state}RIP: 0010:g+0x1\nKernel panic: x\n");
        assert_eq!(headlines(&fault), format!("{kept}Kernel panic: x\n"));
        let memory = "init invoked oom-killer: gfp_mask=0x1, order=0\nMem-Info:\nKernel panic: y\n";
        assert_eq!(headlines(memory), "Kernel panic: y\n");
    }
}
