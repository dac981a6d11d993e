//! Says while the tests are built that a server which they need is missing.

#[path = "support/programs.rs"]
mod programs;

fn main() {
    println!("cargo::rerun-if-changed=support/programs.rs");
    if let Some(missing) = programs::missing() {
        println!("cargo::warning={missing}");
        // A file that is not there: it is looked at again with each build until nothing is missing.
        println!("cargo::rerun-if-changed=until-nothing-is-missing");
    }
}
