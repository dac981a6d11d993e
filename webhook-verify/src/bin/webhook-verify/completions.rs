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
        let script = String::from_utf8(script)?;
        // clap_complete 4.6 escapes the hyphen of a program's name in two ways, so that bash would
        // complete no options of subcommands (clap-rs/clap#6421).
        let script = script.replace("webhook__subcmd__verify__", "webhook__verify__");
        let mut out = io::stdout().lock();
        out.write_all(script.as_bytes())?;
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}
