//! Completions for shells, and man pages.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use integration_tests::Folder;

use crate::{command, run, text};

/// How each shell parses a script without running it.
const SHELLS: [(&str, &[&str]); 5] = [
    ("bash", &["bash", "-n"]),
    ("zsh", &["zsh", "-n"]),
    ("fish", &["fish", "--no-execute"]),
    ("elvish", &["elvish", "-compileonly"]),
    (
        "powershell",
        &[
            "pwsh",
            "-NoProfile",
            "-Command",
            "$null = [scriptblock]::Create((Get-Content -Raw $args[0]))",
        ],
    ),
];

#[test]
fn each_shell_parses_its_completions() {
    let folder = Folder::new("shells");
    for (shell, parse) in SHELLS {
        let output = run(&["completions", shell], b"");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let script = text(&output.stdout);
        for word in ["webhook-verify", "scheme-file", "discard", "keep-bodies"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
        // A shell may read nothing from a path without its own suffix.
        let suffix = match shell {
            "elvish" => "elv",
            "powershell" => "ps1",
            _ => shell,
        };
        let file = folder.path().join(format!("script.{suffix}"));
        // Only an interactive elvish has this name.
        let script = match shell {
            "elvish" => format!("var edit: = (ns [&])\n{script}"),
            _ => script,
        };
        fs::write(&file, script).unwrap();
        match Command::new(parse[0]).args(&parse[1..]).arg(&file).output() {
            Ok(parsed) => {
                let said = text(&parsed.stderr);
                assert!(parsed.status.success() && said.is_empty(), "{shell}: {said}");
            }
            Err(error) => {
                assert_ne!(shell, "bash", "{error}");
                let _ = writeln!(std::io::stderr(), "NOT TESTED: {shell} is not there");
            }
        }
    }
    let unknown = run(&["completions", "csh"], b"");
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("bash, elvish, fish"));
}

/// Bash itself completes words with the script.
#[test]
fn bash_completes_subcommands_and_options() {
    let folder = Folder::new("bash");
    let file = folder.path().join("completions");
    fs::write(&file, run(&["completions", "bash"], b"").stdout).unwrap();
    let completed = |words: &[&str]| {
        let script = "source \"$1\"; shift
            COMP_WORDS=(webhook-verify \"$@\"); COMP_CWORD=$#
            _webhook__verify webhook-verify \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"
            echo \"${COMPREPLY[*]}\"";
        let output = Command::new("bash")
            .args(["-c", script, "bash"])
            .arg(&file)
            .args(words)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).trim_end().to_owned()
    };
    assert_eq!(completed(&["sch"]), "schemes");
    assert_eq!(completed(&["inbox", "dis"]), "discard");
    assert_eq!(completed(&["inbox", "discard", "--st"]), "--state");
    assert_eq!(completed(&["inbox", "discard", "--state", ""]), "waiting dead");
    assert_eq!(completed(&["completions", "ba"]), "bash");
}

#[test]
fn each_subcommand_has_a_man_page() {
    let folder = Folder::new("man");
    let pages = [
        (&[][..], "webhook\\-verify\\-inbox(1)"),
        (&["check"], "\\-\\-scheme\\-file"),
        (&["sign"], "\\-\\-secret\\-file"),
        (&["inbox"], "webhook\\-verify\\-inbox\\-list(1)"),
        (&["inbox", "purge"], "\\-\\-keep\\-bodies"),
        (&["man"], "man page"),
    ];
    for (words, part) in pages {
        let output = run(&[&["man"], words].concat(), b"");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let page = text(&output.stdout);
        let title = [&["webhook-verify"], words].concat().join("-");
        assert!(page.contains(&format!(".TH {title} 1")), "{page}");
        assert!(page.contains(part), "{page}");
        assert!(!page.contains("\\-help(1)"), "a page that does not exist: {page}");
        let file = folder.path().join("page.1");
        fs::write(&file, page).unwrap();
        assert_formats(&file);
    }
}

/// Formats a man page. There must be no warning.
fn assert_formats(page: &Path) {
    let formatted =
        Command::new("groff").args(["-man", "-Kutf8", "-Tutf8", "-ww", "-z"]).arg(page).output();
    match formatted {
        Ok(formatted) => assert_eq!(text(&formatted.stderr), ""),
        Err(_) => drop(writeln!(std::io::stderr(), "NOT TESTED: groff is not there")),
    }
}

#[test]
fn a_reader_may_close_the_pipe() {
    for arguments in [&["completions", "zsh"][..], &["man", "sign"]] {
        let mut child = command()
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    }
}
