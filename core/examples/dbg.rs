use loopdiff::*;
fn main() {
    let text = std::fs::read("/tmp/case.json").unwrap();
    let p = program::json::read(&text, program::json::Form::Document).unwrap().remove(0);
    let v: kernel::KernelVersion = std::env::args().nth(1).unwrap().parse().unwrap();
    let r = kernel::Rules::of(v);
    match verifier::verify(&p, &r) {
        verifier::Verdict::Accepted(f) => println!("accept {} {:?} {:?}", f.insns_processed, f.stack_depth, f.loops),
        o => println!("{o:?}"),
    }
    if let Ok(s) = verifier::structure::check(&p, &r) {
        println!("folded {:?}", s.folded);
    }
}
