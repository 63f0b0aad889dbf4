use loopdiff::exec::*;
use loopdiff::kernel::*;
use loopdiff::oracle::*;
use loopdiff_tests::cases;
fn main() {
    for p in std::env::args().skip(1) {
        let p = std::path::PathBuf::from(p);
        let s = std::fs::read_to_string(&p).unwrap();
        let name = p.file_stem().unwrap().to_string_lossy().into_owned();
        let c = match cases::read(&p, &s) {
            Ok(c) => c,
            Err(e) => {
                println!("{name}: {e}");
                continue;
            }
        };
        for v in KernelVersion::ALL {
            let r = cases::examine(&c, v);
            let t = match &r.status {
                Status::Accepted { facts, .. } => {
                    let l: Vec<_> = facts.loops.iter().map(|l| format!("{}:{:?}", l.insn, l.state)).collect();
                    let e: Vec<_> = r
                        .runs
                        .iter()
                        .map(|p| match &p.rewritten.end {
                            End::Returned(x) => format!("{}", *x as u32 as i32),
                            o => format!("{o:?}"),
                        })
                        .collect();
                    format!(
                        "ok n={} {:?} -> {}{}",
                        facts.insns_processed,
                        l,
                        e.join(","),
                        r.findings.iter().map(|f| format!(" !{}", f.signature)).collect::<String>()
                    )
                }
                Status::Rejected(x) => format!("REJ {:?} {} {}", x.at.map(|a| a.0), x.errno.0, x.text),
                Status::Unsupported(u) => format!("UNSUP {:?} {}", u.at, u.what),
            };
            println!("{name:40} {:5} {t}", v.name());
        }
    }
}
