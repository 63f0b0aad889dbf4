//! The guest agent: the first and only process of a guest.
//!
//! It finds the memory that it shares with the host (a PCI device), and answers requests in it until it is told to switch
//! off. It has no dependencies, so that one call of the compiler builds it, and `unsafe` stands in `sys.rs` alone.

mod batch;
mod bpf;
#[path = "../src/guest/protocol.rs"]
#[allow(dead_code)] // the host uses the rest
mod protocol;
mod shared;
mod sys;

use batch::Batches;
use protocol as p;
use shared::Shared;
use std::fs;
use std::time::Duration;

fn main() {
    sys::mount(c"proc", c"/proc");
    sys::mount(c"sysfs", c"/sys");
    sys::mount(c"devtmpfs", c"/dev");
    sys::mount(c"debugfs", c"/sys/kernel/debug");
    for (name, value) in [
        ("kernel/kptr_restrict", "0"),
        ("kernel/printk_devkmsg", "on"),
        ("net/core/bpf_jit_enable", "1"),
        ("net/core/bpf_jit_harden", "0"),
        ("net/core/bpf_jit_limit", "1000000000"),
    ] {
        sysctl(name, value);
    }
    sys::lift_memlock();
    match Shared::open() {
        Ok(shared) => serve(shared),
        Err(error) => println!("agent: no shared memory: {error}"),
    }
    sys::power_off();
}

/// Answers requests until one says to switch off.
fn serve(shared: Shared) {
    let mut batches = match Batches::new() {
        Ok(batches) => batches,
        Err(error) => return println!("agent: {error}"),
    };
    shared.set(p::GUEST_SEQ, shared.get(p::HOST_SEQ));
    shared.set(p::MAGIC, p::MAGIC_VALUE);
    loop {
        let seq = wait(&shared);
        match shared.get(p::COMMAND) {
            p::CMD_BATCH => batches.answer(&shared),
            p::CMD_FACTS => {
                let text = facts();
                let len = text.len().min(p::RESPONSE_MAX);
                shared.write(p::RESPONSE_AT, &text.as_bytes()[..len]);
                shared.set(p::RESPONSE_LEN, len as u32);
            }
            p::CMD_POWER_OFF => return,
            _ => shared.set(p::RESPONSE_LEN, 0),
        }
        shared.set(p::GUEST_SEQ, seq);
    }
}

/// Waits for the next request; more lazily the longer there is none.
fn wait(shared: &Shared) -> u32 {
    let mut idle = 0u64;
    loop {
        let seq = shared.get(p::HOST_SEQ);
        if seq != shared.get(p::GUEST_SEQ) {
            return seq;
        }
        if idle > 20 {
            std::thread::sleep(Duration::from_micros((idle * 5).min(2000)));
        } else {
            std::thread::yield_now();
        }
        idle += 1;
    }
}

/// Release, version, and the distances of functions from the base of helper calls, a line each.
fn facts() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut text = format!("release {}", read("/proc/sys/kernel/osrelease"));
    text += &format!("version {}", read("/proc/sys/kernel/version"));
    let symbols = read("/proc/kallsyms");
    let parsed = symbols.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let address = u64::from_str_radix(words.next()?, 16).ok()?;
        let kind = words.next()?;
        let name = words.next()?;
        matches!(kind, "T" | "t" | "W" | "w").then_some((address, name))
    });
    let functions: Vec<(u64, &str)> =
        parsed.filter(|(_, name)| name.starts_with("bpf_") || *name == "__bpf_call_base").collect();
    let base = functions.iter().find(|(_, name)| *name == "__bpf_call_base").map_or(0, |(address, _)| *address);
    if base == 0 {
        return text;
    }
    for (address, name) in functions {
        text += &format!("func {} {name}\n", address.wrapping_sub(base) as i64);
    }
    text
}

/// Sets a kernel parameter; one that a kernel does not have is passed over.
fn sysctl(name: &str, value: &str) {
    let _ = fs::write(format!("/proc/sys/{name}"), value);
}
