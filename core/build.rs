//! Builds the guest agent (`core/agent`) and hands it to the library as bytes.
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
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("agent");
    if let Err(why) = build(&out) {
        println!("cargo:warning=no guest agent, real kernels cannot be started: {why}");
        if let Err(error) = std::fs::write(&out, b"") {
            println!("cargo:warning={}: {error}", out.display());
        }
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
