//! System calls. All `unsafe` code of the agent is here.

use std::ffi::{CStr, c_char, c_int, c_long, c_ulong, c_void};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{Ordering, fence};

/// What the C library has.
mod c {
    use super::{c_char, c_int, c_long, c_ulong, c_void};

    unsafe extern "C" {
        pub fn mount(
            from: *const c_char,
            to: *const c_char,
            kind: *const c_char,
            flags: c_ulong,
            data: *const c_void,
        ) -> c_int;
        pub fn mmap(addr: *mut c_void, len: usize, prot: c_int, flags: c_int, fd: c_int, off: i64) -> *mut c_void;
        pub fn reboot(cmd: c_int) -> c_int;
        pub fn setrlimit(resource: c_int, limit: *const [u64; 2]) -> c_int;
        pub fn syscall(number: c_long, ...) -> c_long;
    }
}

const PROT_READ_WRITE: c_int = 3;
const MAP_SHARED: c_int = 1;
const RB_POWER_OFF: c_int = 0x4321_fedc;
const RLIMIT_MEMLOCK: c_int = 8;
const SYS_BPF: c_long = 321;

/// Mounts a file system of a kind. One that the kernel lacks, or has mounted already, is missed where it is used.
pub fn mount(kind: &CStr, to: &CStr) {
    // SAFETY: strings that end in NUL and outlive the call; no data.
    let done = unsafe { c::mount(kind.as_ptr(), to.as_ptr(), kind.as_ptr(), 0, std::ptr::null()) };
    if done != 0 {
        println!("agent: {kind:?} is not mounted: {}", io::Error::last_os_error());
    }
}

/// Switches the machine off. Does not return unless the kernel refuses.
pub fn power_off() {
    // SAFETY: no memory is involved, and this process is all that runs.
    unsafe { c::reboot(RB_POWER_OFF) };
}

/// Lifts the limit of locked memory, for kernels that count BPF memory there.
pub fn lift_memlock() {
    let all = [u64::MAX; 2];
    // SAFETY: `all` has the layout of `struct rlimit` and outlives the call.
    unsafe { c::setrlimit(RLIMIT_MEMLOCK, &all) };
}

/// The system call `bpf`. `attr` points to every buffer as a number: the caller keeps them alive and large enough.
pub fn bpf(cmd: u32, attr: &mut [u8]) -> Result<i32, i32> {
    // SAFETY: the kernel reads and writes `attr`, and the buffers whose addresses and lengths stand in it. Those come from
    // `bpf.rs` alone, which takes both from one slice that outlives the call.
    let answer = unsafe { c::syscall(SYS_BPF, c_long::from(cmd), attr.as_mut_ptr(), attr.len() as c_long) };
    if answer < 0 { Err(io::Error::last_os_error().raw_os_error().unwrap_or(0)) } else { Ok(answer as i32) }
}

/// Takes over a descriptor that [`bpf`] has returned.
pub fn own(fd: i32) -> OwnedFd {
    // SAFETY: a descriptor that the kernel has just made; nothing else knows it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Memory that is shared with the host, for as long as the process lives.
pub struct Mapping {
    start: *mut u8,
    len: usize,
}

impl Mapping {
    /// Maps the start of a file.
    pub fn of(file: &File, len: usize) -> io::Result<Mapping> {
        // SAFETY: a new mapping at a place that the kernel chooses; it overlaps nothing.
        let start = unsafe { c::mmap(std::ptr::null_mut(), len, PROT_READ_WRITE, MAP_SHARED, file.as_raw_fd(), 0) };
        if start as isize == -1 { Err(io::Error::last_os_error()) } else { Ok(Mapping { start: start.cast(), len }) }
    }

    /// Reads an aligned word, before everything that is read after it.
    pub fn get(&self, at: usize) -> u32 {
        assert!(at % 4 == 0 && at + 4 <= self.len);
        // SAFETY: in bounds and aligned by the assertion; volatile, because the host writes it too.
        let value = unsafe { self.start.add(at).cast::<u32>().read_volatile() };
        fence(Ordering::SeqCst);
        u32::from_le(value)
    }

    /// Writes an aligned word, after everything that was written before.
    pub fn set(&self, at: usize, value: u32) {
        assert!(at % 4 == 0 && at + 4 <= self.len);
        fence(Ordering::SeqCst);
        // SAFETY: as in `get`.
        unsafe { self.start.add(at).cast::<u32>().write_volatile(value.to_le()) };
    }

    /// Copies bytes out; cut at the end.
    pub fn read(&self, at: usize, len: usize) -> Vec<u8> {
        let at = at.min(self.len);
        let mut bytes = vec![0; len.min(self.len - at)];
        // SAFETY: source and target hold `bytes.len()` bytes and do not overlap. The host does not write a request while it
        // waits for the answer.
        unsafe { self.start.add(at).copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
        bytes
    }

    /// Copies bytes in; cut at the end.
    pub fn write(&self, at: usize, bytes: &[u8]) {
        let at = at.min(self.len);
        let len = bytes.len().min(self.len - at);
        // SAFETY: as in `read`, the other way round.
        unsafe { self.start.add(at).copy_from_nonoverlapping(bytes.as_ptr(), len) };
    }
}
