use redis::{Arg, Cmd, Pipeline};
use sha1::{Digest as _, Sha1};

use crate::encoding::Encoding;

/// A script that the server runs as one step. Calls contain its digest; the source is sent only to
/// a server that has not loaded it.
pub(super) struct Script {
    source: &'static str,
    digest: String,
}

/// The scripts. Each accesses only the key of its call, so they also run on a cluster.
pub(super) struct Scripts {
    pub(super) claim: Script,
    pub(super) complete: Script,
    pub(super) release: Script,
    pub(super) extend: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            claim: Script::new(include_str!("claim.lua")),
            complete: Script::new(include_str!("complete.lua")),
            release: Script::new(include_str!("release.lua")),
            extend: Script::new(include_str!("extend.lua")),
        }
    }
}

impl Script {
    fn new(source: &'static str) -> Self {
        let digest = Encoding::Hex.encode(&Sha1::digest(source));
        Self { source, digest }
    }

    /// Returns a call for `key`. The caller adds the arguments.
    pub(super) fn call(&self, key: &[u8]) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.digest).arg(1).arg(key);
        command
    }

    /// Returns the call with the source in place of the digest, which loads the script. It is
    /// needed at the start, and after a restart, a failover or `SCRIPT FLUSH`.
    pub(super) fn load_by(&self, call: &Cmd) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(self.source);
        for arg in call.args_iter().skip(2) {
            if let Arg::Simple(bytes) = arg {
                command.arg(bytes);
            }
        }
        command
    }

    /// Returns the calls, changed so that the first one loads the script.
    pub(super) fn load_with(&self, calls: &Pipeline) -> Pipeline {
        let mut commands = Pipeline::new();
        for (number, call) in calls.cmd_iter().enumerate() {
            commands.add_command(if number == 0 { self.load_by(call) } else { call.clone() });
        }
        commands
    }
}
