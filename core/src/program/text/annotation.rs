//! The expectations that stand after a `;`, on the line that they speak of.

use super::expect::Expect;
use crate::isa::is_label;
use crate::kernel::KernelVersion;
use crate::program::InputError;

/// One expectation as it was read; names are still to be resolved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Annotation<'a> {
    pub(super) what: Expect,
    pub(super) rules: Vec<KernelVersion>,
    /// The callback's label, after `inlined:`
    pub(super) callback: Option<&'a str>,
    /// Column of the word, from 1.
    pub(super) column: u32,
}

const WORDS: &str = "accept, reject, unsupported, inlined, not-inlined, retval, finding; a comment starts with `#`, and a line has one operation";

/// Error numbers that a load may end with, by name.
const ERRNOS: [(&str, i32); 15] = [
    ("EPERM", 1),
    ("ENOENT", 2),
    ("E2BIG", 7),
    ("EBADF", 9),
    ("ENOMEM", 12),
    ("EACCES", 13),
    ("EFAULT", 14),
    ("EBUSY", 16),
    ("EEXIST", 17),
    ("EINVAL", 22),
    ("ENOSPC", 28),
    ("ERANGE", 34),
    ("ENOSYS", 38),
    ("EOPNOTSUPP", 95),
    ("ENOTSUPP", 524),
];

/// The name of an error number, where it has one here.
pub(super) fn errno_name(errno: i32) -> Option<&'static str> {
    ERRNOS.iter().find(|(_, n)| *n == errno).map(|(name, _)| *name)
}

/// An error number by name or as a positive number.
pub(super) fn errno(text: &str) -> Option<i32> {
    let by_name = ERRNOS.iter().find(|(name, _)| *name == text).map(|(_, n)| *n);
    by_name.or_else(|| text.parse().ok().filter(|n| (1..4096).contains(n)))
}

/// Versions after an `@`, separated by commas.
fn versions(text: &str) -> Result<Vec<KernelVersion>, String> {
    text.split(',').map(|v| v.trim().parse::<KernelVersion>().map_err(|e| e.to_string())).collect()
}

/// A number as a program returns it: 32 bits, signed or not.
pub(super) fn retval(text: &str) -> Option<u32> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let magnitude = match digits.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    let value = if negative { magnitude.checked_neg()? } else { magnitude };
    (i64::from(i32::MIN)..=i64::from(u32::MAX)).contains(&value).then_some(value as u32)
}

/// A text in quotes, as it is written.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Reads a quoted text and answers what follows it.
fn unquote(text: &str) -> Result<(String, &str), String> {
    let not_quoted = || "expected a text in double quotes".to_owned();
    let mut chars = text.strip_prefix('"').ok_or_else(not_quoted)?.chars();
    let mut out = String::new();
    loop {
        match chars.next().ok_or("the text has no closing quote")? {
            '"' => return Ok((out, chars.as_str())),
            '\\' => match chars.next() {
                Some(c @ ('"' | '\\')) => out.push(c),
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('u') => {
                    let (digits, rest) = chars.as_str().split_at_checked(4).ok_or("`\\u` wants four digits")?;
                    let code = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
                    out.push(code.ok_or("`\\u` wants the four hexadecimal digits of a character")?);
                    chars = rest.chars();
                }
                _ => return Err("the escapes are \\\" \\\\ \\n \\t \\uXXXX".to_owned()),
            },
            c => out.push(c),
        }
    }
}

/// Reads one expectation: `word[input][@versions][: argument]`. `column` is where the text starts.
pub(super) fn parse(text: &str, column: u32) -> Result<Annotation<'_>, InputError> {
    let start = column + leading_blanks(text);
    let text = text.trim();
    let fail = |message: String| InputError::new(message).at_column(start);
    let (head, argument) = split_head(text);
    let (head, rules) = match head.split_once('@') {
        Some((head, text)) => (head.trim_end(), versions(text).map_err(fail)?),
        None => (head, Vec::new()),
    };
    let (word, index) = match head.split_once('[') {
        Some((word, index)) => {
            let number = index.strip_suffix(']').and_then(|n| n.trim().parse::<usize>().ok());
            (word.trim_end(), Some(number.ok_or_else(|| fail(format!("`[{index}` is no number in brackets")))?))
        }
        None => (head, None),
    };
    if index.is_some() && word != "retval" {
        return Err(fail(format!("`{word}` takes no input number")));
    }
    let mut callback = None;
    let what = match word {
        "accept" => bare(word, argument, Expect::Accept),
        "unsupported" => optional_text(argument).map(|what| Expect::Unsupported { what }),
        "reject" => reject(argument),
        "inlined" => match argument {
            Some(name) if !is_label(name) => Err(format!("`{name}` is no label")),
            name => {
                callback = name;
                Ok(Expect::Inlined { callback: None })
            }
        },
        "not-inlined" => reason(argument).map(|why| Expect::NotInlined { why }),
        "retval" => match argument.and_then(retval) {
            Some(value) => Ok(Expect::Retval { input: index, value }),
            None => Err("`retval` takes a number of 32 bits".to_owned()),
        },
        "finding" => match reason(argument) {
            Ok(Some(signature)) => Ok(Expect::Finding { signature }),
            Ok(None) => Err("`finding` takes the start of a signature".to_owned()),
            Err(message) => Err(message),
        },
        "" => return Err(fail("nothing after `;`".to_owned()).hint(WORDS)),
        _ => return Err(fail(format!("no expectation is called `{word}`")).hint(WORDS)),
    };
    Ok(Annotation { what: what.map_err(fail)?, rules, callback, column: start })
}

fn leading_blanks(text: &str) -> u32 {
    (text.chars().count() - text.trim_start().chars().count()) as u32
}

/// Cuts at the first colon.
fn split_head(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((head, argument)) => (head.trim_end(), Some(argument.trim())),
        None => (text, None),
    }
}

fn bare(word: &str, argument: Option<&str>, what: Expect) -> Result<Expect, String> {
    if argument.is_none() { Ok(what) } else { Err(format!("`{word}` takes nothing after it")) }
}

fn whole_text(text: &str) -> Result<String, String> {
    match unquote(text)? {
        (text, "") => Ok(text),
        (_, rest) => Err(format!("unexpected `{}` after the text", rest.trim())),
    }
}

fn optional_text(argument: Option<&str>) -> Result<Option<String>, String> {
    argument.map(whole_text).transpose()
}

/// A reason, with or without quotes.
fn reason(argument: Option<&str>) -> Result<Option<String>, String> {
    match argument {
        Some("") => Err("expected a reason after `:`".to_owned()),
        Some(text) if !text.starts_with('"') => Ok(Some(text.to_owned())),
        _ => optional_text(argument),
    }
}

/// `EINVAL`, `"text"`, or both in that order.
fn reject(argument: Option<&str>) -> Result<Expect, String> {
    let Some(argument) = argument else {
        return Ok(Expect::Reject { text: None, errno: None });
    };
    let (word, text) = match argument.find('"') {
        Some(quote) => argument.split_at(quote),
        None => (argument, ""),
    };
    let (word, text) = (word.trim(), text.trim());
    if word.is_empty() && text.is_empty() {
        return Err("expected an error number or a text in double quotes after `:`".to_owned());
    }
    let number = match word {
        "" => None,
        word => Some(errno(word).ok_or_else(|| format!("`{word}` is no error number"))?),
    };
    let text = if text.is_empty() { None } else { Some(whole_text(text)?) };
    Ok(Expect::Reject { text, errno: number })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn what(text: &str) -> Expect {
        parse(text, 1).unwrap_or_else(|e| panic!("{text}: {e}")).what
    }

    #[test]
    fn words_and_arguments() {
        let reject = |text: Option<&str>, errno| Expect::Reject { text: text.map(str::to_owned), errno };
        assert_eq!(what(" reject"), reject(None, None));
        assert_eq!(what("reject: \"R1 !read_ok\""), reject(Some("R1 !read_ok"), None));
        assert_eq!(what("reject: EACCES \"a: \\\"b\\\"\""), reject(Some("a: \"b\""), Some(13)));
        assert_eq!(what("reject: 22"), reject(None, Some(22)));
        assert_eq!(what("retval: -1"), Expect::Retval { input: None, value: u32::MAX });
        assert_eq!(what("retval[2]: 0x10"), Expect::Retval { input: Some(2), value: 16 });
        let why = Some("flags may be non-zero".to_owned());
        assert_eq!(what("not-inlined: flags may be non-zero"), Expect::NotInlined { why });
        assert_eq!(what("finding: safety"), Expect::Finding { signature: "safety".to_owned() });
        let qualified = parse("  inlined@6.1,7.3: cb", 10).expect("an expectation");
        assert_eq!(qualified.rules, [KernelVersion::V6_1, KernelVersion::V7_3]);
        assert_eq!((qualified.callback, qualified.column), (Some("cb"), 12));
    }

    #[test]
    fn what_is_no_expectation_is_refused() {
        for (text, message) in [
            ("", "nothing after `;`"),
            ("rejects", "no expectation is called `rejects`"),
            ("exit", "no expectation is called `exit`"),
            ("accept: yes", "`accept` takes nothing after it"),
            ("reject: EWHAT", "`EWHAT` is no error number"),
            ("reject: \"text", "the text has no closing quote"),
            ("reject: \"text\" EINVAL", "unexpected `EINVAL` after the text"),
            ("reject:", "expected an error number or a text in double quotes after `:`"),
            ("reject@6.2: \"x\"", "no rules for kernel \"6.2\"; there are 6.1, 6.12, 6.18 and 7.3"),
            ("retval", "`retval` takes a number of 32 bits"),
            ("retval: 4294967296", "`retval` takes a number of 32 bits"),
            ("retval[x]: 1", "`[x]` is no number in brackets"),
            ("inlined[1]", "`inlined` takes no input number"),
            ("inlined: r1", "`r1` is no label"),
            ("not-inlined:", "expected a reason after `:`"),
            ("finding", "`finding` takes the start of a signature"),
        ] {
            let error = parse(text, 1).expect_err(text);
            assert_eq!(error.message, message, "{text}");
        }
    }

    proptest! {
        #[test]
        fn quoted_texts_read_back(text in any::<String>()) {
            let written = quoted(&text);
            prop_assert_eq!(unquote(&written), Ok((text, "")));
        }
    }
}
