//! `rappel vault` on real files: what `ansible-vault` wrote, and what it must be able to read.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use clap::Parser;
use rappel::cli::settings::{Environment, Settings};
use rappel::cli::vault::{Ask, Console, VaultCommand};
use rappel::text::{Diagnostics, Sources};

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    command: VaultCommand,
}

/// An environment with one variable: the editor.
struct Editor(&'static str);

impl Environment for Editor {
    fn variable(&self, name: &str) -> Option<String> {
        (name == "EDITOR").then(|| self.0.to_owned())
    }
}

struct Answer(&'static str);

impl Ask for Answer {
    fn ask(&self, _prompt: &str) -> io::Result<String> {
        Ok(self.0.to_owned())
    }
}

/// Runs `rappel vault` in `folder`: `FOLDER/` in arguments is replaced by it. Returns what it prints, or its error.
fn vault(folder: &Path, arguments: &str, input: &str, editor: &'static str) -> Result<String, String> {
    let arguments = arguments.split_whitespace().map(|word| word.replace("FOLDER", folder.to_str().unwrap()));
    let program = Program::try_parse_from(std::iter::once("vault".to_owned()).chain(arguments)).map_err(|error| error.to_string())?;
    let settings = Settings::load(&Sources::default(), &Editor(editor), folder, &mut Diagnostics::default());
    let (mut input, mut output) = (input.as_bytes(), Vec::new());
    let mut console = Console { input: &mut input, output: &mut output, ask: &Answer("swordfish") };
    program.command.run(&settings, &mut console).map_err(|error| error.to_string().replace(folder.to_str().unwrap(), "FOLDER"))?;
    Ok(String::from_utf8(output).unwrap())
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("pw", "swordfish\n");
    write("pw2", "sesame\n");
    write("empty", "\n");
    write("plain.yml", "a: 1\n");
    for (name, script) in [("tell-client", "test \"$1 $2\" = '--vault-id prod' && echo sesame"), ("broken", "exit 3")] {
        write(name, &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    for name in ["default.yml", "prod.yml"] {
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vault").join(name), folder.path().join(name)).unwrap();
    }
    folder
}

fn first_line(path: &Path) -> String {
    fs::read_to_string(path).unwrap().lines().next().unwrap().to_owned()
}

#[test]
fn shows_what_ansible_vault_encrypted() {
    let folder = folder();
    let view = |arguments| vault(folder.path(), arguments, "", "true");
    let default = "db_password: hunter2\n".to_owned();
    let prod = "db_password: correct horse\n".to_owned();
    assert_eq!(view("view --vault-password-file FOLDER/pw FOLDER/default.yml"), Ok(default.clone()));
    assert_eq!(view("view --vault-id FOLDER/pw FOLDER/default.yml"), Ok(default.clone()));
    assert_eq!(view("view --ask-vault-pass FOLDER/default.yml"), Ok(default.clone()));
    assert_eq!(view("view FOLDER/default.yml"), Ok(default.clone()));
    assert_eq!(view("view --vault-id prod@FOLDER/tell-client FOLDER/prod.yml"), Ok(prod.clone()));
    assert_eq!(
        view("view --vault-id prod@prompt --vault-id x@FOLDER/pw2 FOLDER/default.yml FOLDER/prod.yml"),
        Ok(format!("{default}{prod}"))
    );
    assert_eq!(view("decrypt --output - --vault-id FOLDER/pw FOLDER/default.yml"), Ok(default));
}

#[test]
fn encrypts_decrypts_and_rekeys_in_place() {
    let folder = folder();
    let file = folder.path().join("plain.yml");
    let run = |arguments: &str| vault(folder.path(), arguments, "", "true");
    assert_eq!(run("encrypt --vault-password-file FOLDER/pw FOLDER/plain.yml"), Ok(String::new()));
    assert_eq!(first_line(&file), "$ANSIBLE_VAULT;1.1;AES256");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(
        run("rekey --vault-password-file FOLDER/pw --new-vault-id prod@FOLDER/pw2 FOLDER/plain.yml"),
        Ok("Rekey successful\n".to_owned())
    );
    assert_eq!(first_line(&file), "$ANSIBLE_VAULT;1.2;AES256;prod");
    assert_eq!(run("decrypt --vault-id any@FOLDER/pw2 FOLDER/plain.yml"), Ok(String::new()));
    assert_eq!(fs::read_to_string(&file).unwrap(), "a: 1\n");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 8, "no temporary file is left");
}

#[test]
fn edits_keep_the_vault_id_and_skip_what_did_not_change() {
    let folder = folder();
    let file = folder.path().join("prod.yml");
    let before = fs::read_to_string(&file).unwrap();
    vault(folder.path(), "edit --vault-id other@FOLDER/pw2 FOLDER/prod.yml", "", "true").unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    vault(folder.path(), "edit --vault-id other@FOLDER/pw2 FOLDER/prod.yml", "", "sed -i s/correct/wrong/").unwrap();
    assert_eq!(first_line(&file), "$ANSIBLE_VAULT;1.2;AES256;prod");
    let shown = vault(folder.path(), "view --vault-id x@FOLDER/pw2 FOLDER/prod.yml", "", "true");
    assert_eq!(shown, Ok("db_password: wrong horse\n".to_owned()));
    vault(folder.path(), "create --vault-id FOLDER/pw FOLDER/new.yml", "", "sed -i -e $anew").unwrap();
    assert!(folder.path().join("new.yml").exists());
}

#[test]
fn strings_become_variables() {
    let folder = folder();
    let run = |arguments: &str, input: &str| vault(folder.path(), arguments, input, "true").unwrap();
    let two = run("encrypt_string --vault-id dev@FOLDER/pw one two --name a --name b", "");
    let heads: Vec<_> = two.lines().filter(|line| line.contains('!') || line.contains('$')).collect();
    assert_eq!(heads, ["a: !vault |", "          $ANSIBLE_VAULT;1.2;AES256;dev", "b: !vault |", "          $ANSIBLE_VAULT;1.2;AES256;dev"]);
    assert!(
        run("encrypt_string --vault-id FOLDER/pw --stdin-name s", "text").starts_with("s: !vault |\n          $ANSIBLE_VAULT;1.1;AES256\n")
    );
    let sealed = run("encrypt --vault-id FOLDER/pw", "a: 1\n");
    assert_eq!(run("decrypt --vault-id FOLDER/pw -", &sealed), "a: 1\n");
}

#[test]
fn says_what_is_wrong_and_changes_nothing() {
    let folder = folder();
    let cases = [
        ("encrypt --vault-id FOLDER/pw FOLDER/prod.yml", "`FOLDER/prod.yml` is already encrypted"),
        (
            "decrypt --vault-id FOLDER/pw FOLDER/plain.yml",
            "`FOLDER/plain.yml`: not encrypted: the first line does not start with `$ANSIBLE_VAULT`",
        ),
        (
            "view --vault-id a@FOLDER/pw FOLDER/prod.yml",
            "`FOLDER/prod.yml`: encrypted with vault id `prod`, and no vault password given opens it; tried `a`",
        ),
        (
            "encrypt --vault-id a@FOLDER/pw --vault-id b@FOLDER/pw2 FOLDER/plain.yml",
            "several vault ids are given (`a`, `b`): say with `--encrypt-vault-id` which one to encrypt with",
        ),
        (
            "encrypt --vault-id a@FOLDER/pw --encrypt-vault-id z FOLDER/plain.yml",
            "there is no password for `--encrypt-vault-id z`; there are `a`",
        ),
        ("view --vault-password-file FOLDER/none FOLDER/prod.yml", "the vault password file `FOLDER/none` was not found"),
        ("view --vault-password-file FOLDER/empty FOLDER/prod.yml", "the vault password from `FOLDER/empty` is empty"),
        ("view --vault-password-file FOLDER/broken FOLDER/prod.yml", "the vault password program `FOLDER/broken` failed: exit status: 3"),
        ("create --vault-id FOLDER/pw FOLDER/plain.yml", "`FOLDER/plain.yml` exists: use `rappel vault edit`"),
        ("encrypt_string --vault-id FOLDER/pw", "standard input is empty"),
        ("encrypt_string --vault-id FOLDER/pw one --name a --name b", "2 names for 1 strings"),
        ("encrypt --vault-id FOLDER/pw --output FOLDER/x FOLDER/plain.yml FOLDER/pw", "`--output` takes one file, not 2"),
        ("edit --vault-id FOLDER/pw2 FOLDER/prod.yml", "the editor `false` failed: exit status: 1"),
    ];
    let state = || ["plain.yml", "prod.yml"].map(|name| fs::read_to_string(folder.path().join(name)).unwrap());
    let before = state();
    for (arguments, expected) in cases {
        assert_eq!(vault(folder.path(), arguments, "", "false"), Err(expected.to_owned()), "{arguments}");
        assert_eq!(state(), before, "{arguments}");
    }
}
