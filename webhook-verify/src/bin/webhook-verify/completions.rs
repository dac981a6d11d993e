use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Args;
use clap_complete::Shell;

use crate::Failure;

/// Prints a script with which a shell completes commands and options
#[derive(Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self, mut command: clap::Command) -> Result<ExitCode, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "webhook-verify", &mut script);
        let mut out = io::stdout().lock();
        out.write_all(&script)?;
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}
