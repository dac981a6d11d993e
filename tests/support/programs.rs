//! Finds the programs that the tests need. The build script uses this file as well.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Returns the folder of `initdb` and `postgres`: in the `PATH`, or Debian's newest.
pub(crate) fn postgres() -> Option<PathBuf> {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut debian: Vec<PathBuf> = debian.flatten().map(|entry| entry.path()).collect();
    debian.sort_by_key(|folder| {
        let version = folder.file_name().and_then(|name| name.to_str());
        std::cmp::Reverse(version.and_then(|version| version.parse::<u32>().ok()))
    });
    let debian = debian.into_iter().map(|folder| folder.join("bin"));
    let has_both =
        |folder: &Path| folder.join("postgres").exists() && folder.join("initdb").exists();
    path().chain(debian).find(|folder| has_both(folder))
}

/// Returns whether a `redis-server`, which may be a Valkey, is in the `PATH`.
pub(crate) fn has_redis() -> bool {
    path().any(|folder| folder.join("redis-server").exists())
}

/// Returns one line that names all missing programs, and the command that installs them.
pub(crate) fn missing() -> Option<String> {
    let (programs, packages) = match (postgres().is_some(), has_redis()) {
        (true, true) => return None,
        (false, true) => ("a PostgreSQL server", "postgresql"),
        (true, false) => ("a Redis server", "redis-server"),
        (false, false) => ("a PostgreSQL and a Redis server", "postgresql redis-server"),
    };
    Some(format!("the tests need {programs}: apt-get install -y {packages}"))
}

fn path() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).collect::<Vec<_>>().into_iter()
}
