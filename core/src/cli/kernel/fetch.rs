//! `loopdiff kernel fetch`.

use crate::cli::exit::{Exit, Failure};
use crate::cli::output::Output;
use crate::guest::{self, Cache};
use crate::kernel::KernelVersion;

/// Arguments of `kernel fetch`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Series (6.1: its newest point release) or point releases (6.12.95) [default: every modelled series].
    #[arg(value_name = "VERSION")]
    versions: Vec<String>,
}

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let cache = Cache::of_user()?;
    let mut versions = args.versions.clone();
    if versions.is_empty() {
        versions = KernelVersion::ALL.iter().map(|v| v.name().to_owned()).collect();
    }
    for image in guest::fetch(&cache, &versions)? {
        output.line(format_args!("{}  {}  {}", image.point, image.release, image.path.display()))?;
    }
    Ok(Exit::Fine)
}
