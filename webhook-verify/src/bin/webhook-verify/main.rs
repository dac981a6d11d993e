//! Lists schemes, verifies recorded requests, and signs new ones.
#![forbid(unsafe_code)]

mod check;
mod client;
mod completions;
mod explain;
mod inbox;
mod input;
mod man;
mod options;
mod recorded;
mod scheme_file;
mod schemes;
mod sign;
mod suggest;
mod terminal;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

/// Lists webhook senders, verifies recorded requests, and signs new ones
#[derive(Parser)]
#[command(
    name = "webhook-verify",
    version,
    after_help = "Exits with 0, with 1 if `check` finds a request that is not as expected, and with \
                  2 on errors."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Schemes(schemes::Schemes),
    Check(check::Check),
    Sign(Box<sign::Sign>),
    Explain(Box<explain::Explain>),
    Inbox(Box<inbox::Inbox>),
    Completions(completions::Completions),
    Man(man::Man),
}

/// An error message for the user. The program then exits with 2.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Schemes(schemes) => schemes.run(),
        Command::Check(check) => check.run(),
        Command::Sign(sign) => sign.run(),
        Command::Explain(explain) => explain.run(),
        Command::Inbox(inbox) => inbox.run(),
        Command::Completions(completions) => completions.run(Arguments::command()),
        Command::Man(man) => man.run(Arguments::command()),
    };
    outcome.unwrap_or_else(|failure| {
        // It is not an error if the reader closes the pipe early.
        let closed = failure
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe);
        if closed {
            return ExitCode::SUCCESS;
        }
        eprintln!("error: {failure}");
        ExitCode::from(2)
    })
}
