//! From paths to programs, and work on many of them in order.

use super::exit::{Exit, Failure};
use super::files::files;
use super::options::{Common, Jobs, RulesOption};
use super::output::{Output, Tone};
use crate::bounded::{PROGRAM_FILE_BYTES_MAX, read_file};
use crate::campaign::{Case, Envelope, named};
use crate::caught::{Panic, caught};
use crate::kernel::KernelVersion;
use crate::oracle::Finding;
use crate::program::json::{self, Form};
use crate::program::{COMPILE_HINT, Format, Input, InputError, Loaded, Program, load_bytes, shown, text};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// A program of the command line.
pub struct Item {
    /// The file that it came from.
    pub path: PathBuf,
    /// The program.
    pub loaded: Loaded,
    /// The kernels that the file names; empty when it names none.
    pub rules: Vec<KernelVersion>,
}

impl Item {
    /// The program, if it is one.
    pub fn program(&self) -> Option<&Program> {
        match &self.loaded {
            Loaded::Program(program) => Some(program),
            Loaded::Unsupported { .. } => None,
        }
    }

    /// The program itself, if it is one.
    pub fn into_program(self) -> Option<Program> {
        match self.loaded {
            Loaded::Program(program) => Some(program),
            Loaded::Unsupported { .. } => None,
        }
    }
}

/// The case that an input of the fuzz targets stands for.
pub fn fuzzer_input(path: &Path) -> Result<Case, Failure> {
    let mut case = Envelope::from_bytes(&read(path)?).case();
    if case.program.name.is_empty() {
        case.program.name = "case".to_owned();
    }
    Ok(case)
}

/// Reads a file with programs.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    read_file(path, PROGRAM_FILE_BYTES_MAX).map_err(|e| Failure::file(path, e))
}

/// An item under the rules of one kernel.
pub struct Task<'a> {
    /// The program.
    pub item: &'a Item,
    /// The kernel.
    pub version: KernelVersion,
}

/// Reads all programs below the paths, in the order of the paths and of names in a directory. What is no path but the name of a
/// campaign's case, such as `s7n12`, is that case. What cannot be read is complained of, and the others are read all the same.
pub fn load(paths: &[PathBuf], output: &mut Output) -> Result<Vec<Item>, Failure> {
    let mut items = Vec::new();
    for path in paths {
        if let Some(case) = path.to_str().filter(|_| !path.exists()).and_then(named) {
            items.push(Item { path: path.clone(), loaded: Loaded::Program(case.program), rules: Vec::new() });
            continue;
        }
        for file in files(path, output) {
            match load_file(&file) {
                Ok(loaded) => items.extend(loaded),
                Err(failure) => match Format::of_path(&file) {
                    Some(Format::Json(Form::Lines)) => items.extend(good_lines(&file, output)),
                    _ => output.complain(&failure),
                },
            }
        }
    }
    match items.as_slice() {
        [_, ..] => Ok(items),
        [] if output.worst() >= Exit::Input => Err(Failure::Said(Exit::Input)),
        [] => Err(no_program_files(paths)),
    }
}

/// Nothing to work on.
pub fn no_program_files(paths: &[PathBuf]) -> Failure {
    let paths = paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(" ");
    let hint = format!("C is compiled first: {COMPILE_HINT}");
    Failure::Input(InputError::new(format!("{paths}: no program files (.bpf, .json, .jsonl, .o)")).hint(hint))
}
/// Reads one file.
pub fn load_file(path: &Path) -> Result<Vec<Item>, Failure> {
    let bytes = read(path)?;
    let mut rules = Vec::new();
    let mut loaded = load_bytes(path, &bytes, |source| {
        let file = text::parse(source)?;
        rules = file.rules;
        Ok(vec![Loaded::Program(file.program)])
    })?;
    complete(path, &mut loaded);
    let item = |loaded| Item { path: path.to_owned(), loaded, rules: rules.clone() };
    Ok(loaded.into_iter().map(item).collect())
}

/// The programs of JSON lines of which some cannot be read. The first of these are complained of one by one.
fn good_lines(path: &Path, output: &mut Output) -> Vec<Item> {
    const COMPLAINTS_MAX: usize = 20;
    let read = read(path).and_then(|bytes| json::read_lines(&bytes).map_err(|e| Failure::Input(e.in_file(path))));
    let (programs, wrong) = match read {
        Ok(read) => read,
        Err(failure) => {
            output.complain(&failure);
            return Vec::new();
        }
    };
    let more = wrong.len().saturating_sub(COMPLAINTS_MAX);
    for error in wrong.into_iter().take(COMPLAINTS_MAX) {
        output.complain(&Failure::Input(error.in_file(path)));
    }
    if more > 0 {
        output.complain(&Failure::Input(InputError::new(format!("{more} more lines cannot be read")).in_file(path)));
    }
    let mut loaded: Vec<Loaded> = programs.into_iter().map(Loaded::Program).collect();
    complete(path, &mut loaded);
    loaded.into_iter().map(|loaded| Item { path: path.to_owned(), loaded, rules: Vec::new() }).collect()
}

/// Gives programs the name of their file and inputs, where they come without.
fn complete(path: &Path, loaded: &mut [Loaded]) {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    for one in loaded {
        if let Loaded::Program(program) = one {
            if program.name.is_empty() {
                program.name = stem.clone().into_owned();
            }
            if program.inputs.is_empty() {
                program.inputs.push(plain_input());
            }
        }
    }
}

/// What a program is run on that comes without inputs: a context and a packet of zeros, as long as test runs take them.
fn plain_input() -> Input {
    Input { ctx: vec![0; 96], data: vec![0; 64], seed: 0 }
}

/// Each item under each of its kernels.
pub fn tasks<'a>(items: &'a [Item], rules: &RulesOption) -> Vec<Task<'a>> {
    let under = |item: &'a Item| rules.versions(&item.rules).into_iter().map(move |version| Task { item, version });
    items.iter().flat_map(under).collect()
}

/// How the answers to tasks are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// Text below the program's name; kernels that get the same text share it.
    Headed,
    /// Text alone.
    Bare,
    /// Lines of JSON, for each task.
    Json,
}

impl Style {
    /// JSON where it is asked for.
    pub fn of(common: &Common) -> Style {
        if common.json { Style::Json } else { Style::Headed }
    }
}

/// Reads the programs of a command, works on each on all threads, and hands on the answers in order.
pub fn each<T: Send>(
    common: &Common,
    style: Style,
    output: &mut Output,
    work: impl Fn(&Task<'_>) -> T + Sync,
    take: impl FnMut(&Task<'_>, T, &mut Output) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let items = load(&common.paths, output)?;
    answer(&tasks(&items, &common.rules), common.jobs, style, output, work, take)
}

/// Works on each task on several threads, and hands on the answers in order. Where one panics, that is the answer.
pub fn answer<'a, T: Send>(
    tasks: &[Task<'a>],
    jobs: Jobs,
    style: Style,
    output: &mut Output,
    work: impl Fn(&Task<'a>) -> T + Sync,
    mut take: impl FnMut(&Task<'a>, T, &mut Output) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut same: Vec<(Vec<u8>, Vec<KernelVersion>)> = Vec::new();
    in_order(
        tasks,
        jobs,
        |task| caught(|| work(task)),
        |n, answer| {
            let Some(task) = tasks.get(n) else { return Ok(()) };
            let mut body = output.apart();
            match answer {
                Ok(answer) => take(task, answer, &mut body)?,
                Err(panic) => {
                    body.mark(Exit::Internal);
                    describe_panic(task, &panic, style, &mut body)?;
                }
            }
            output.mark(body.worst());
            let text = body.into_text();
            if style != Style::Headed {
                return output.bytes(&text);
            }
            match same.iter_mut().find(|(other, _)| *other == text) {
                _ if text.is_empty() => {}
                Some((_, versions)) => versions.push(task.version),
                None => same.push((text, vec![task.version])),
            }
            if tasks.get(n + 1).is_some_and(|next| std::ptr::eq(next.item, task.item)) {
                return Ok(());
            }
            same.drain(..).try_for_each(|(text, versions)| {
                heading(task.item, &versions, output)?;
                output.bytes(&text)
            })
        },
    )
}

/// The line above the answers to a program: its name, file and rules.
fn heading(item: &Item, versions: &[KernelVersion], output: &mut Output) -> Result<(), Failure> {
    let name = output.paint(Tone::Strong, shown(item.loaded.name()));
    let versions: Vec<&str> = versions.iter().map(|v| v.name()).collect();
    let path = item.path.to_string_lossy();
    let place = output.paint(Tone::Faint, format!("{}, rules {}", shown(&path), versions.join(", ")));
    output.line(format_args!("{name}  {place}"))
}

/// A mistake of ours, as the finding that it is.
fn describe_panic(task: &Task<'_>, panic: &Panic, style: Style, output: &mut Output) -> Result<(), Failure> {
    let finding = Finding::of_panic(panic);
    if style == Style::Json {
        return output.json(&super::json::finding(task, &finding));
    }
    if style == Style::Bare {
        heading(task.item, &[task.version], output)?;
    }
    super::run::describe_finding(&finding, output)?;
    output.line(format_args!("  {}", Failure::REPORT_HINT))
}

/// Works on each element on several threads, and hands on the answers in order. Ends with the first panic, if there is one.
pub fn in_order<T: Sync, A: Send>(
    all: &[T],
    jobs: Jobs,
    work: impl Fn(&T) -> A + Sync,
    mut take: impl FnMut(usize, A) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let next = AtomicUsize::new(0);
    let (send, receive) = mpsc::sync_channel::<(usize, Result<A, Panic>)>(1024);
    std::thread::scope(|scope| {
        let receive = receive;
        for _ in 0..jobs.count().min(all.len().max(1)) {
            let (send, next, work) = (send.clone(), &next, &work);
            scope.spawn(move || {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(one) = all.get(n) else { return };
                    if send.send((n, caught(|| work(one)))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let mut waiting = BTreeMap::new();
        let mut due = 0;
        for (n, answer) in receive {
            waiting.insert(n, answer);
            while let Some(answer) = waiting.remove(&due) {
                take(due, answer.map_err(Failure::Internal)?)?;
                due += 1;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str) -> Item {
        let program = Program { name: name.to_owned(), ..Program::default() };
        Item { path: "a.json".into(), loaded: Loaded::Program(program), rules: Vec::new() }
    }

    fn answered(style: Style, work: impl Fn(&Task<'_>) -> String + Sync) -> (Exit, String) {
        let items = [item("one"), item("two"), item("three")];
        let all = [KernelVersion::V6_1, KernelVersion::V6_12];
        let tasks: Vec<Task<'_>> = items.iter().flat_map(|item| all.map(|version| Task { item, version })).collect();
        let mut output = Output::standard().apart();
        let jobs = Jobs { jobs: Some(2) };
        let take = |_: &Task<'_>, text: String, output: &mut Output| output.line(text);
        answer(&tasks, jobs, style, &mut output, work, take).expect("all answered");
        (output.worst(), String::from_utf8(output.into_text()).expect("text"))
    }

    #[test]
    fn a_panic_is_a_finding_and_the_others_are_answered() {
        let work = |task: &Task<'_>| match (task.item.loaded.name(), task.version) {
            ("two", KernelVersion::V6_12) => panic!("planted"),
            (name, _) => format!("  fine {name}"),
        };
        let (exit, text) = answered(Style::Headed, work);
        assert_eq!(exit, Exit::Internal);
        let lines: Vec<&str> = text.lines().collect();
        let [one, fine, two, _, two_again, panic, hint, three, _] = &lines[..] else { panic!("{text}") };
        assert_eq!((*one, *fine), ("one  a.json, rules 6.1, 6.12", "  fine one"));
        assert_eq!((*two, *two_again), ("two  a.json, rules 6.1", "two  a.json, rules 6.12"));
        assert!(panic.starts_with("  finding internal:panic:core/src/cli/items.rs:"), "{panic}");
        assert!(panic.ends_with(": planted") && hint.contains("report"), "{panic} {hint}");
        assert_eq!(*three, "three  a.json, rules 6.1, 6.12");

        let (exit, text) = answered(Style::Json, work);
        let findings: Vec<&str> = text.lines().filter(|line| line.starts_with("{\"finding\"")).collect();
        let [finding] = findings[..] else { panic!("{text}") };
        assert_eq!((exit, text.lines().count()), (Exit::Internal, 6));
        assert!(finding.contains("\"oracle\":\"internal\"") && finding.contains("\"name\":\"two\""), "{finding}");
    }

    #[test]
    fn a_panic_where_no_task_is_ends_with_its_place() {
        let jobs = Jobs { jobs: Some(2) };
        let work = |n: &usize| if *n == 2 { panic!("planted") } else { *n };
        let mut seen = Vec::new();
        let failure = in_order(&[0, 1, 2, 3], jobs, work, |_, n| {
            seen.push(n);
            Ok(())
        });
        let failure = failure.expect_err("a panic");
        assert_eq!((failure.exit(), seen), (Exit::Internal, vec![0, 1]));
        assert!(failure.to_string().contains("core/src/cli/items.rs:"), "{failure}");
    }
}
