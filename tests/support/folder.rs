//! Folders of this test process, and the programs that run in them. None of them outlives the
//! process, however it ends.

use std::{
    collections::hash_map::RandomState,
    env, fs,
    hash::{BuildHasher as _, Hasher as _},
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::OnceLock,
};

use crate::{postgres, unique};

/// Waits until the test process is gone, kills the programs that run in its folder, and removes the
/// folder.
const GUARD: &str = include_str!("guard.sh");

/// The folder of this process, and its guards. They are never dropped, because the guards wait for
/// the end of the process.
struct Home {
    path: PathBuf,
    _guards: Vec<Child>,
}

impl Home {
    fn get() -> &'static Self {
        static HOME: OnceLock<Home> = OnceLock::new();
        HOME.get_or_init(Self::new)
    }

    fn new() -> Self {
        let random = RandomState::new().build_hasher().finish();
        let name = format!("webhook-verify-{}-{random:016x}", process::id());
        let path = env::temp_dir().join(name);
        // The guard creates the folder, so that no folder exists without a guard.
        let guard = |stdin, make| {
            let mut command = Command::new("sh");
            command.args(["-c", GUARD, "sh"]).arg(&path).arg(make);
            command.current_dir("/").process_group(0);
            command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::null());
            command
        };
        let mut guards = Vec::new();
        let mut stdin = Stdio::piped();
        // In a container, root may not inspect the processes of another user, but that user may. So
        // that user runs a guard as well, which ends before the other one removes the folder.
        if let Some((user, group)) = postgres::owner() {
            let mut first = guard(stdin, "leave").uid(user).gid(group).spawn().expect("sh");
            stdin = first.stdout.take().unwrap().into();
            guards.push(first);
        }
        let mut last = guard(stdin, "make").spawn().expect("sh");
        let mut ready = String::new();
        let mut output = BufReader::new(last.stdout.take().unwrap());
        output.read_line(&mut ready).unwrap();
        guards.push(last);
        assert_eq!(ready.trim(), "ready", "no folder {}", path.display());
        Self { path, _guards: guards }
    }
}

/// A folder inside the folder of this test process. It is removed when it is dropped, and at the
/// latest with the process.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Creates an empty folder whose name begins with `name`.
    pub fn new(name: &str) -> Self {
        let path = Home::get().path.join(unique(name));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Returns the folder's path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes a program run in the folder of this test process, so that it does not outlive the process,
/// however that ends. The program's path has to be absolute. Programs that it starts are killed as
/// well, unless they change their current directory.
pub fn in_folder(command: &mut Command) -> &mut Command {
    command.current_dir(&Home::get().path)
}
