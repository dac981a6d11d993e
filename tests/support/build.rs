//! Warns while the tests are built if a server that they need is missing.

mod programs;

fn main() {
    println!("cargo::rerun-if-changed=support/programs.rs");
    if let Some(missing) = programs::missing() {
        println!("cargo::warning={missing}");
        // This file never exists, so that each build checks again until nothing is missing.
        println!("cargo::rerun-if-changed=until-nothing-is-missing");
    }
}
