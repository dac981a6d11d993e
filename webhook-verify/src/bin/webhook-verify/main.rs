//! Receives, explains, signs, sends, checks and replays webhooks, and probes receivers.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod check;
mod client;
mod completions;
mod connection;
mod errors;
mod explain;
mod files;
mod ids;
mod inbox;
mod input;
mod listen;
mod man;
mod options;
mod outgoing;
mod probe;
mod recorded;
mod replay;
mod report;
mod rows;
mod scheme_file;
mod schemes;
mod send;
mod sign;
mod suggest;
mod terminal;
mod values;

use std::process::ExitCode;

use clap::{
    CommandFactory as _, Parser, Subcommand,
    error::ErrorKind::{InvalidSubcommand, UnknownArgument},
};

/// Receives, explains, signs, sends, checks and replays webhooks, and probes receivers
#[derive(Parser)]
#[command(
    name = "webhook-verify",
    version,
    after_help = "Exits with 0, with 1 if a check fails: a request that is not as expected or not \
                  valid, a failing row of `probe`, a response that is not 2xx; with 2 on errors; \
                  and with 130 if Ctrl-C ends `send`.\n\nThe variable SSL_CERT_FILE names a file of CA \
                  certificates that are trusted in place of those of the system."
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
    Probe(Box<probe::Probe>),
    Send(Box<send::Send>),
    Replay(Box<replay::Replay>),
    Listen(Box<listen::Listen>),
}

/// An error message for the user. The program then exits with 2.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if [UnknownArgument, InvalidSubcommand].contains(&error.kind()) => {
            eprint!("{}", without_urls(&error.to_string()));
            return ExitCode::from(2);
        }
        Err(error) => error.exit(),
    };
    let outcome = match arguments.command {
        Command::Schemes(schemes) => schemes.run(),
        Command::Check(check) => check.run(),
        Command::Sign(sign) => sign.run(),
        Command::Explain(explain) => explain.run(),
        Command::Inbox(inbox) => inbox.run(),
        Command::Completions(completions) => completions.run(Arguments::command()),
        Command::Man(man) => man.run(Arguments::command()),
        Command::Probe(probe) => probe.run(),
        Command::Send(send) => send.run(),
        Command::Replay(replay) => replay.run(),
        Command::Listen(listen) => listen.run(),
    };
    outcome.unwrap_or_else(|failure| {
        // It is not an error if the reader closes the pipe early.
        let closed = failure
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe);
        if closed {
            return ExitCode::SUCCESS;
        }
        eprintln!("error: {}", terminal::Shown(&errors::text(&*failure)));
        ExitCode::from(2)
    })
}

/// Leaves the URLs of an error message out, except for their schemes. An argument that is not
/// expected may be the URL of a database with a password.
fn without_urls(message: &str) -> String {
    let mut parts = message.split("://");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find("' ").or_else(|| part.find("'\n")).unwrap_or(part.len());
        text.push_str("://…");
        text.push_str(&part[end..]);
    }
    text
}
