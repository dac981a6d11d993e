use redis::Cmd;
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

    pub(super) fn all(&self) -> [&Script; 4] {
        [&self.claim, &self.complete, &self.release, &self.extend]
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

    /// Returns the command that loads the script: at first, and after a restart, a fail-over or
    /// `SCRIPT FLUSH`.
    pub(super) fn load(&self) -> Cmd {
        let mut command = redis::cmd("SCRIPT");
        command.arg("LOAD").arg(self.source);
        command
    }
}
