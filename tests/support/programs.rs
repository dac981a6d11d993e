//! Which programs the tests need, and where they are. The build script looks as well.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The folder of `initdb` and `postgres`: in the `PATH`, or where Debian has the newest.
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

/// Whether there is a `redis-server`, which may be a Valkey, in the `PATH`.
pub(crate) fn has_redis() -> bool {
    path().any(|folder| folder.join("redis-server").exists())
}

/// One line that names all that is missing, and the command that installs it.
pub(crate) fn missing() -> Option<String> {
    let (programs, packages) = match (postgres().is_some(), has_redis()) {
        (true, true) => return None,
        (false, true) => ("a PostgreSQL server", "postgresql"),
        (true, false) => ("a Redis server", "redis-server"),
        (false, false) => ("a PostgreSQL and a Redis server", "postgresql redis-server"),
    };
    Some(format!(
        "the tests need {programs}: apt-get install -y {packages}"
    ))
}

fn path() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).collect::<Vec<_>>().into_iter()
}
