//! The guest's only file system: the agent and the few device files that exist before the kernel makes its own.
//!
//! Stands for the archive that the kernel unpacks at boot (`init/initramfs.c`, form "newc", 2.6 and later).

const S_IFREG: u32 = 0o100_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFCHR: u32 = 0o020_000;

/// An archive, written entry by entry.
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.entries += 1;
        let fields =
            [self.entries, mode, 0, 0, 1, 0, content.len() as u32, 0, 0, device.0, device.1, name.len() as u32 + 1, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08X}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// The archive with `agent` as the first process.
pub fn initramfs(agent: &[u8]) -> Vec<u8> {
    let mut archive = Archive::default();
    for folder in ["dev", "proc", "sys"] {
        archive.entry(folder, S_IFDIR | 0o755, (0, 0), b"");
    }
    archive.entry("dev/console", S_IFCHR | 0o600, (5, 1), b"");
    archive.entry("dev/null", S_IFCHR | 0o666, (1, 3), b"");
    archive.entry("init", S_IFREG | 0o755, (0, 0), agent);
    archive.entry("TRAILER!!!", 0, (0, 0), b"");
    archive.bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_reads_back() {
        let bytes = initramfs(b"agent!");
        let mut at = 0;
        let mut names = Vec::new();
        loop {
            assert_eq!(&bytes[at..at + 6], b"070701");
            let field = |n: usize| {
                let text = std::str::from_utf8(&bytes[at + 6 + 8 * n..at + 14 + 8 * n]).expect("hex");
                u32::from_str_radix(text, 16).expect("hex") as usize
            };
            let (mode, size, name_len) = (field(1), field(6), field(11));
            let name = std::str::from_utf8(&bytes[at + 110..at + 110 + name_len - 1]).expect("name");
            let content = (at + 110 + name_len).next_multiple_of(4);
            if name == "TRAILER!!!" {
                assert_eq!((content + size).next_multiple_of(4), bytes.len());
                break;
            }
            if name == "init" {
                assert_eq!(&bytes[content..content + size], b"agent!");
                assert_eq!(mode, 0o100_755);
            }
            if name == "dev/console" {
                assert_eq!((mode, field(9), field(10)), (0o020_600, 5, 1));
            }
            names.push(name.to_owned());
            at = (content + size).next_multiple_of(4);
        }
        assert_eq!(names, ["dev", "proc", "sys", "dev/console", "dev/null", "init"]);
    }
}
