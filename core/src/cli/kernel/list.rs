//! `loopdiff kernel list`.

use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Output, Tone, note};
use crate::guest::Cache;
use serde_json::json;

/// Arguments of `kernel list`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

pub fn main(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let cache = Cache::of_user();
    let images = cache.images();
    if images.is_empty() {
        note(format_args!("no kernels in {}; loopdiff kernel fetch downloads some", cache.kernels().display()));
    }
    for image in images {
        let rules = image.version.map(|v| v.name());
        if args.json {
            output.json(&json!({
                "release": image.release, "point": image.point, "rules": rules, "path": image.path,
            }))?;
            continue;
        }
        let modelled = match rules {
            Some(rules) => format!("modelled by the rules of {rules}"),
            None => "no rules: it runs programs".to_owned(),
        };
        let name = output.paint(Tone::Strong, format!("{:10}", image.point));
        output.line(format_args!("{name} {:32} {modelled}", image.release))?;
    }
    Ok(Exit::Fine)
}
