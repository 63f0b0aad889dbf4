//! Options of every command that starts guests.

use super::progress::Progress;
use crate::cli::exit::Failure;
use crate::cli::items::Item;
use crate::cli::output::{Output, Tone, note};
use crate::guest::{Accel, Answer, Ask, Cache, Clock, Image, Kernel, Machine, Options, Pool};
use crate::kernel::KernelVersion;
use crate::program::{Loaded, Program, shown};
use std::path::PathBuf;

/// Which kernels, and how they are run.
#[derive(clap::Args, Debug)]
pub struct Guests {
    /// Kernels in the cache, by series, point release or release; `all` for the newest of every modelled series. May be repeated,
    /// or several with commas between them.
    #[arg(long, value_name = "VERSION", value_delimiter = ',')]
    kernel: Vec<String>,
    /// A kernel of your own: bzImage or vmlinux. May be repeated, and given together with `--kernel`.
    #[arg(long, value_name = "PATH")]
    image: Vec<PathBuf>,
    /// Guests of each kernel that work at the same time.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    guests: u16,
    /// Memory of a guest.
    #[arg(long, value_name = "MIB", default_value_t = Machine::default().memory_mib,
          value_parser = clap::value_parser!(u32).range(64..=1 << 20))]
    memory: u32,
    /// Use the processor's virtualization where a kernel comes up that way, instead of emulation.
    #[arg(long)]
    kvm: bool,
    /// Added to the kernel's command line, e.g. mitigations=auto. May be repeated.
    #[arg(long, value_name = "ARG")]
    boot_arg: Vec<String>,
    /// Processor seconds that a load may take.
    #[arg(long, value_name = "SECONDS", default_value_t = Options::default().load_seconds,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    load_timeout: u32,
    /// Processor seconds that a test run may take.
    #[arg(long, value_name = "SECONDS", default_value_t = Options::default().run_seconds,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    run_timeout: u32,
}

impl Guests {
    /// The kernels that are meant, each once.
    pub fn images(&self) -> Result<Vec<Image>, Failure> {
        let mut images: Vec<Image> = Vec::new();
        for wanted in &self.kernel {
            let cache = Cache::of_user()?;
            if wanted == "all" {
                for version in KernelVersion::ALL {
                    images.push(cache.find(version.name())?);
                }
            } else {
                images.push(cache.find(wanted)?);
            }
        }
        for path in &self.image {
            images.push(Image::open(path)?);
        }
        let mut seen: Vec<PathBuf> = Vec::new();
        images.retain(|image| {
            let is_new = !seen.contains(&image.path);
            seen.push(image.path.clone());
            is_new
        });
        Ok(images)
    }

    /// How a pool works with these options.
    pub fn options(&self) -> Options {
        Options {
            machine: Machine {
                accel: if self.kvm { Accel::KvmIfWorking } else { Accel::Tcg },
                memory_mib: self.memory,
                boot_args: self.boot_arg.clone(),
                ..Machine::default()
            },
            guests_per_kernel: self.guests.into(),
            load_seconds: self.load_timeout,
            run_seconds: self.run_timeout,
            ..Options::default()
        }
    }

    /// Guests of the kernels that are meant.
    pub fn start(&self) -> Result<Pool, Failure> {
        self.start_with(Clock::Real)
    }

    /// The same with another clock.
    pub fn start_with(&self, clock: Clock) -> Result<Pool, Failure> {
        let images = self.images()?;
        if images.is_empty() {
            return Err(Failure::Usage("no kernel is named: --kernel VERSION or --image PATH".to_owned()));
        }
        let mut options = self.options();
        options.machine.clock = clock;
        let pool = Progress::new().during("starting kernels", 0, || 0, || Pool::start(&images, options))?;
        for kernel in pool.kernels() {
            if let Some(why) = kernel.not_accelerated() {
                note(format_args!("{} is emulated: {why}", kernel.name()));
            }
        }
        Ok(pool)
    }

    /// What was asked for besides the kernels, as on the command line, an option each.
    fn given(&self) -> Vec<(&'static str, String)> {
        let plain = Guests::plain();
        let mut given = Vec::new();
        let mut add = |name, value: String, is_given: bool| {
            if is_given {
                given.push((name, value));
            }
        };
        add("--guests", self.guests.to_string(), usize::from(self.guests) != plain.guests_per_kernel);
        add("--memory", self.memory.to_string(), self.memory != plain.machine.memory_mib);
        add("--kvm", String::new(), self.kvm);
        self.boot_arg.iter().for_each(|arg| add("--boot-arg", arg.clone(), true));
        add("--load-timeout", self.load_timeout.to_string(), self.load_timeout != plain.load_seconds);
        add("--run-timeout", self.run_timeout.to_string(), self.run_timeout != plain.run_seconds);
        given
    }

    /// The first option of guests that was given.
    pub fn first_given(&self) -> Option<&'static str> {
        self.given().first().map(|(name, _)| *name)
    }

    /// What was asked for of each guest, as on the command line: all that may change an answer.
    pub fn options_text(&self) -> String {
        let given = self.given().into_iter().filter(|(name, _)| *name != "--guests");
        given.map(|(name, value)| format!(" {name} {value}").trim_end().to_owned()).collect()
    }

    /// The kernels and what was asked for of each guest, as on the command line.
    pub fn command_text(&self) -> String {
        let mut text = Vec::new();
        if !self.kernel.is_empty() {
            text.push(format!("--kernel {}", self.kernel.join(",")));
        }
        text.extend(self.image.iter().map(|path| format!("--image {}", path.display())));
        text.join(" ") + &self.options_text()
    }

    /// The options without any that was given.
    fn plain() -> Options {
        Options { guests_per_kernel: 1, ..Options::default() }
    }

    /// Whether a kernel is named.
    pub fn is_any(&self) -> bool {
        !self.kernel.is_empty() || !self.image.is_empty()
    }
}

/// Programs that are answered before the first of them is shown.
const CHUNK: usize = 512;

/// Asks all kernels about programs, and hands on each with its answers, by kernel.
pub fn each(
    items: &[Item],
    pool: &Pool,
    ask: &Ask,
    as_json: bool,
    output: &mut Output,
    mut take: impl FnMut(&Item, &Program, &[Answer], &mut Output) -> Result<(), Failure>,
) -> Result<(), Failure> {
    skip_unsupported(items, as_json, output)?;
    let programs: Vec<(&Item, &Program)> = items.iter().filter_map(|item| Some((item, item.program()?))).collect();
    let progress = Progress::new();
    for (n, chunk) in programs.chunks(CHUNK).enumerate() {
        let owned: Vec<Program> = chunk.iter().map(|(_, program)| (*program).clone()).collect();
        let answers = asking(&progress, pool, n * CHUNK, programs.len(), || pool.answer_all(&owned, ask))?;
        let mut by_kernel: Vec<_> = answers.into_iter().map(Vec::into_iter).collect();
        for (item, program) in chunk {
            let answers: Vec<Answer> = by_kernel.iter_mut().filter_map(Iterator::next).collect();
            take(item, program, &answers, output)?;
        }
    }
    Ok(())
}

/// Asks kernels, with progress: so many of all programs were answered before.
pub fn asking<T>(progress: &Progress, pool: &Pool, before: usize, all: usize, work: impl FnOnce() -> T) -> T {
    let names: Vec<&str> = pool.kernels().iter().map(Kernel::name).collect();
    let answered = || pool.kernels().iter().map(|kernel| kernel.tally().programs).sum::<u64>();
    let (kernels, start) = (names.len() as u64, answered());
    let done = || before as u64 * kernels + answered().saturating_sub(start);
    progress.during(&format!("answers of {}", names.join(", ")), all as u64 * kernels, done, work)
}

/// Says which programs are passed over because something that they need is not supported.
pub fn skip_unsupported(items: &[Item], as_json: bool, output: &mut Output) -> Result<usize, Failure> {
    let mut skipped = 0;
    for item in items {
        if let Loaded::Unsupported { name, what, .. } = &item.loaded {
            skip(name, &format!("not supported: {what}"), as_json, output)?;
            skipped += 1;
        }
    }
    Ok(skipped)
}

/// Shows what a kernel printed: the first lines and a panic, with the number of the others.
pub fn messages(kmsg: &str, output: &mut Output) -> Result<(), Failure> {
    const LINES: usize = 12;
    let is_shown = |(n, line): &(usize, &str)| *n < LINES || line.starts_with("Kernel panic");
    for (_, line) in kmsg.lines().enumerate().filter(is_shown) {
        output.line(format_args!("    kernel: {}", output.paint(Tone::Bad, line)))?;
    }
    match kmsg.lines().enumerate().filter(|line| !is_shown(line)).count() {
        0 => Ok(()),
        more => output.line(output.paint(Tone::Faint, format!("    {more} more lines (--json has all)"))),
    }
}

/// Says that a program is passed over.
pub fn skip(name: &str, why: &str, as_json: bool, output: &mut Output) -> Result<(), Failure> {
    if as_json {
        output.json(&serde_json::json!({ "name": name, "skipped": why }))
    } else {
        output.line(format_args!("{}: skipped: {}", shown(name), shown(why)))
    }
}
