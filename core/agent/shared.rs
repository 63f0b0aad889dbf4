//! The shared memory, found by its PCI numbers.

use crate::{protocol as p, sys};
use std::fs::{self, OpenOptions};
use std::io;

/// The shared memory.
pub struct Shared {
    memory: sys::Mapping,
}

impl Shared {
    /// Finds and maps it.
    pub fn open() -> io::Result<Shared> {
        for device in fs::read_dir("/sys/bus/pci/devices")? {
            let folder = device?.path();
            let is = |name: &str, value: &str| fs::read_to_string(folder.join(name)).is_ok_and(|t| t.trim() == value);
            if !is("vendor", "0x1af4") || !is("device", "0x1110") {
                continue;
            }
            fs::write(folder.join("enable"), "1")?;
            let open = |name: &str| OpenOptions::new().read(true).write(true).open(folder.join(name));
            let file = open("resource2_wc").or_else(|_| open("resource2"))?;
            return Ok(Shared { memory: sys::Mapping::of(&file, p::SHARED_BYTES as usize)? });
        }
        Err(io::Error::other("no device 1af4:1110"))
    }

    /// A word of the header.
    pub fn get(&self, at: usize) -> u32 {
        self.memory.get(at)
    }

    /// Sets a word of the header, after everything that was written before.
    pub fn set(&self, at: usize, value: u32) {
        self.memory.set(at, value);
    }

    /// Copies bytes out; cut at the end of the memory.
    pub fn read(&self, at: usize, len: usize) -> Vec<u8> {
        self.memory.read(at, len)
    }

    /// Copies bytes in; what does not fit is dropped.
    pub fn write(&self, at: usize, bytes: &[u8]) {
        self.memory.write(at, bytes);
    }

    /// Says what is being done.
    pub fn phase(&self, phase: u32) {
        self.set(p::PHASE, phase);
        self.set(p::BEAT, self.get(p::BEAT).wrapping_add(1));
    }
}
