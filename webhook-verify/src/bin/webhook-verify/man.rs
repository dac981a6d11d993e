use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Args;

use crate::{Failure, suggest::similar};

/// Prints the man page, or that of a subcommand
#[derive(Args)]
pub(crate) struct Man {
    /// The subcommand, for example `check`, or `inbox list`
    subcommand: Vec<String>,
}

impl Man {
    pub(crate) fn run(&self, command: clap::Command) -> Result<ExitCode, Failure> {
        // Each of its names would lead to a page that does not exist.
        let mut command = command.disable_help_subcommand(true);
        command.build();
        let mut page = &command;
        for name in &self.subcommand {
            page = page.find_subcommand(name).ok_or_else(|| {
                let names = page.get_subcommands().map(clap::Command::get_name);
                let hint = similar(name, names).map(|it| format!(": did you mean {it}?"));
                format!("no subcommand {name:?}{}", hint.unwrap_or_default())
            })?;
        }
        let mut text = Vec::new();
        let version = env!("CARGO_PKG_VERSION");
        let man = clap_mangen::Man::new(page.clone()).source(format!("webhook-verify {version}"));
        man.render(&mut text)?;
        let mut out = io::stdout().lock();
        out.write_all(&text)?;
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}
