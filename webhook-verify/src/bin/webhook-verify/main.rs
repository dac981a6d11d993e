//! Lists schemes, judges recorded requests, and signs new ones.
#![forbid(unsafe_code)]

mod check;
mod recorded;
mod schemes;
mod sign;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Knows how webhooks are signed: lists senders, judges recorded requests, signs new ones.
#[derive(Parser)]
#[command(
    name = "webhook-verify",
    version,
    after_help = "Exits with 0, with 1 if `check` judged a request otherwise than expected, and with 2 on errors."
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
}

/// What went wrong, for people. Exits with 2.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Schemes(schemes) => schemes.run(),
        Command::Check(check) => check.run(),
        Command::Sign(sign) => sign.run(),
    };
    outcome.unwrap_or_else(|failure| {
        // A reader that has seen enough is no failure.
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
