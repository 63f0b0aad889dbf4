//! Builds the guest agent (`core/agent`) and hands it to the library as bytes; says which release this is.
//!
//! The agent is one static program without dependencies, so the compiler itself builds it, without the flags of the build
//! around it (sanitizers, coverage). Where that fails (no static C library, another system), the library is built without
//! an agent and guests answer with an error that says so.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-gnu";

fn main() {
    println!("cargo:rerun-if-changed=agent");
    println!("cargo:rerun-if-changed=src/guest/protocol.rs");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-env=LOOPDIFF_RELEASE={}", release());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("agent");
    if let Err(why) = build(&out) {
        println!("cargo:warning=no guest agent, real kernels cannot be started: {why}");
        if let Err(error) = std::fs::write(&out, b"") {
            println!("cargo:warning={}: {error}", out.display());
        }
    }
}

/// The version, and for a release build the commit. Other builds are made again too often to be made again for each commit.
fn release() -> String {
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    if env::var("PROFILE").as_deref() != Ok("release") {
        return version;
    }
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
    };
    let branch = git(&["symbolic-ref", "-q", "HEAD"]);
    for file in [Some("HEAD".to_owned()), branch].into_iter().flatten() {
        let path = git(&["rev-parse", "--git-path", &file]).filter(|path| Path::new(path).exists());
        path.iter().for_each(|path| println!("cargo:rerun-if-changed={path}"));
    }
    match git(&["rev-parse", "--short=12", "HEAD"]) {
        Some(commit) => format!("{version} ({commit})"),
        None => version,
    }
}

fn build(out: &Path) -> Result<(), String> {
    if env::var("TARGET").as_deref() != Ok(TARGET) {
        return Err(format!("it is built for {TARGET} alone"));
    }
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command.args(["--edition", "2024", "--crate-name", "agent", "--crate-type", "bin", "--target", TARGET]);
    for option in [
        "target-feature=+crt-static",
        "relocation-model=static",
        "opt-level=s",
        "panic=abort",
        "strip=symbols",
        "codegen-units=1",
    ] {
        command.args(["-C", option]);
    }
    command.arg("agent/main.rs").arg("-o").arg(out);
    let output = command.output().map_err(|e| format!("the compiler: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(text.lines().find(|l| l.starts_with("error")).unwrap_or("the compiler failed").to_owned())
}
