//! What a guest says of its kernel, and how its dumps name helpers.

use crate::isa::{Insn, opcode};
use crate::kernel::helpers;

/// What a running kernel says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// `uname -r`.
    pub release: String,
    /// `uname -v`.
    pub version: String,
    /// Functions by their distance from the base of helper calls, ascending.
    pub functions: Vec<(i64, String)>,
}

/// Helpers whose function is not called like the helper, and variants for some program types.
const OTHER_NAMES: [(&str, i32); 8] = [
    ("bpf_user_rnd_u32", 7),
    ("bpf_get_raw_cpu_id", 8),
    ("bpf_perf_event_output_raw_tp", 25),
    ("bpf_skb_event_output", 25),
    ("bpf_xdp_event_output", 25),
    ("bpf_get_stackid_raw_tp", 27),
    ("bpf_get_stack_raw_tp", 67),
    ("bpf_sk_skb_load_bytes", 26),
];

impl Facts {
    /// Reads the agent's text.
    pub fn parse(text: &str) -> Facts {
        let mut facts = Facts::default();
        for line in text.lines() {
            if let Some(release) = line.strip_prefix("release ") {
                facts.release = release.to_owned();
            } else if let Some(version) = line.strip_prefix("version ") {
                facts.version = version.to_owned();
            } else if let Some((distance, name)) = line.strip_prefix("func ").and_then(|rest| rest.split_once(' '))
                && let Ok(distance) = distance.parse()
            {
                facts.functions.push((distance, name.to_owned()));
            }
        }
        facts.functions.sort();
        facts
    }

    /// The text that [`Facts::parse`] reads.
    pub fn text(&self) -> String {
        let mut text = format!("release {}\nversion {}\n", self.release, self.version);
        for (distance, name) in &self.functions {
            text += &format!("func {distance} {name}\n");
        }
        text
    }

    /// Pairs of a helper call's `imm` in a dump of this build and the helper's number, ascending.
    pub fn helper_imms(&self) -> Vec<(i32, i32)> {
        let number = |name: &str| {
            let other = OTHER_NAMES.iter().find(|(other, _)| *other == name).map(|(_, number)| *number);
            other.or_else(|| helpers::helper_id(name.strip_prefix("bpf_")?))
        };
        let pair = |(distance, name): &(i64, String)| Some((i32::try_from(*distance).ok()?, number(name)?));
        self.functions.iter().filter_map(pair).collect()
    }

    /// A dump with the helpers' numbers in helper calls; what is no helper's function stays as it is.
    pub fn with_helper_numbers(&self, dump: &[Insn]) -> Vec<Insn> {
        let imms = self.helper_imms();
        number_helpers(dump, |imm| {
            let found = imms.binary_search_by_key(&imm, |(imm, _)| *imm).ok();
            found.and_then(|n| imms.get(n)).map_or(imm, |(_, number)| *number)
        })
    }
}

/// A dump with another number in each helper call.
pub fn number_helpers(dump: &[Insn], number: impl Fn(i32) -> i32) -> Vec<Insn> {
    let mut second = false;
    let renumber = |insn: &Insn| {
        if std::mem::replace(&mut second, false) {
            return *insn;
        }
        second = insn.code == opcode::LD_IMM64;
        let is_helper_call = insn.code == opcode::CALL && insn.src() == 0;
        if is_helper_call { Insn { imm: number(insn.imm), ..*insn } } else { *insn }
    };
    dump.iter().map(renumber).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_read_back_and_number_helper_calls() {
        let text = "release 6.1.0-x\nversion #1 SMP\nfunc 189712 bpf_loop\nfunc -16 bpf_get_raw_cpu_id\nfunc 0 __bpf_call_base\n";
        let facts = Facts::parse(text);
        assert_eq!((facts.release.as_str(), facts.functions.len()), ("6.1.0-x", 3));
        assert_eq!(Facts::parse(&facts.text()), facts);
        assert_eq!(facts.helper_imms(), [(-16, 8), (189712, 181)]);
        let call = |imm| Insn::new(opcode::CALL, 0, 0, 0, imm);
        let wide = [Insn::new(opcode::LD_IMM64, 1, 0, 0, 0), call(189712)];
        let dump = [wide[0], wide[1], call(189712), call(5), call(-16)];
        let numbered = facts.with_helper_numbers(&dump);
        assert_eq!(numbered, [wide[0], wide[1], call(181), call(5), call(8)]);
    }
}
