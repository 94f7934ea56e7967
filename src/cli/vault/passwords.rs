//! Where vault passwords come from: files, programs, the terminal.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::cli::settings::Settings;
use crate::text::Vault;

/// The options that say where vault passwords are.
#[derive(Args, Clone, Debug, Default)]
pub struct VaultArgs {
    /// A vault password by its name: `prod@FILE`, `prod@prompt` (may be repeated)
    #[arg(long, value_name = "ID@SOURCE")]
    pub vault_id: Vec<String>,
    /// File or program that holds or prints the vault password (may be repeated)
    #[arg(long, value_name = "FILE", visible_alias = "vault-pass-file")]
    pub vault_password_file: Vec<PathBuf>,
    /// Ask for the vault password
    #[arg(short = 'J', long, visible_alias = "ask-vault-pass")]
    pub ask_vault_password: bool,
}

/// Why there is no password.
#[derive(Debug, Error)]
pub enum PasswordError {
    /// There is no such file.
    #[error("the vault password file `{0}` was not found")]
    Missing(PathBuf),
    /// It cannot be read or started.
    #[error("cannot read the vault password from `{0}`")]
    Unreadable(PathBuf, #[source] io::Error),
    /// It is a program and failed.
    #[error("the vault password program `{0}` failed: {1}")]
    Failed(PathBuf, std::process::ExitStatus),
    /// There is nothing in it.
    #[error("the vault password from `{0}` is empty")]
    Empty(String),
    /// Nobody to ask.
    #[error("cannot ask for the vault password of `{0}`")]
    Unasked(String, #[source] io::Error),
    /// The two answers to a new password differ.
    #[error("the two passwords are not the same")]
    Differ,
}

/// Asks a person for a password.
pub trait Ask {
    /// The answer to `prompt`.
    fn ask(&self, prompt: &str) -> io::Result<String>;
}

/// Asks on the terminal, without showing what is typed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terminal;

impl Ask for Terminal {
    fn ask(&self, prompt: &str) -> io::Result<String> {
        crate::cli::passwords::hidden(prompt)
    }
}

/// What a person is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To open: asked once.
    Open,
    /// To seal with a new password: asked twice.
    Seal,
}

/// All passwords that options and settings name. Where they name none, `purpose` says whether one is asked for.
///
/// # Errors
/// See [`PasswordError`].
pub fn collect(arguments: &VaultArgs, settings: &Settings, ask: &dyn Ask, purpose: Purpose) -> Result<Vault, PasswordError> {
    let mut vault = Vault::default();
    if settings.vault_id_match {
        vault.match_ids();
    }
    for written in settings.vault_identity_list.iter().chain(&arguments.vault_id) {
        add(&mut vault, written, settings, ask, purpose)?;
    }
    let given = !arguments.vault_id.is_empty() || !arguments.vault_password_file.is_empty();
    // As in Ansible, options add to the configuration; but what seals is what they name.
    let configured = settings.vault_password_file.iter().filter(|_| !given || purpose == Purpose::Open);
    for file in arguments.vault_password_file.iter().chain(configured) {
        vault.add(settings.vault_identity.as_str(), from_file(file, &settings.vault_identity)?.as_slice());
    }
    if arguments.ask_vault_password || settings.ask_vault_pass {
        add(&mut vault, &format!("{}@prompt", settings.vault_identity), settings, ask, purpose)?;
    }
    Ok(vault)
}

/// Adds the password of `ID@SOURCE`, `SOURCE`, or `ID@prompt`.
fn add(vault: &mut Vault, written: &str, settings: &Settings, ask: &dyn Ask, purpose: Purpose) -> Result<(), PasswordError> {
    let (id, source) = identity(written, &settings.vault_identity);
    let password = match source {
        "prompt" | "prompt_ask_vault_pass" => asked(id, ask, purpose)?,
        file => from_file(&expanded(file), id)?,
    };
    vault.add(id, password.as_slice());
    Ok(())
}

/// The id and the source of a `--vault-id`.
pub(super) fn identity<'a>(written: &'a str, default: &'a str) -> (&'a str, &'a str) {
    match written.split_once('@') {
        Some((id, source)) if !id.is_empty() => (id, source),
        Some((_, source)) => (default, source),
        None => (default, written),
    }
}

fn expanded(file: &str) -> PathBuf {
    match (file.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => PathBuf::from(file),
    }
}

pub(super) fn asked(id: &str, ask: &dyn Ask, purpose: Purpose) -> Result<Zeroizing<Vec<u8>>, PasswordError> {
    let named = if id == crate::text::vault::DEFAULT_ID { String::new() } else { format!(" ({id})") };
    let answer = |prompt: String| {
        let typed = ask.ask(&prompt).map_err(|error| PasswordError::Unasked(id.to_owned(), error))?;
        let typed = Zeroizing::new(typed);
        Ok(Zeroizing::new(typed.trim_end_matches(['\r', '\n']).as_bytes().to_vec()))
    };
    let password = match purpose {
        Purpose::Open => answer(format!("Vault password{named}: "))?,
        Purpose::Seal => {
            let first = answer(format!("New vault password{named}: "))?;
            if first != answer(format!("Confirm new vault password{named}: "))? {
                return Err(PasswordError::Differ);
            }
            first
        }
    };
    if password.is_empty() { Err(PasswordError::Empty(format!("the prompt for {id}"))) } else { Ok(password) }
}

/// The password in `file`, or what it prints if it is a program; one named `…-client` is told the vault id.
pub(super) fn from_file(file: &Path, id: &str) -> Result<Zeroizing<Vec<u8>>, PasswordError> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => PasswordError::Missing(file.to_owned()),
        _ => PasswordError::Unreadable(file.to_owned(), error),
    };
    let metadata = std::fs::metadata(file).map_err(unreadable)?;
    let bytes = if metadata.permissions().mode() & 0o111 != 0 && metadata.is_file() {
        printed(file, id)?
    } else {
        Zeroizing::new(std::fs::read(file).map_err(unreadable)?)
    };
    let password = bytes.trim_ascii();
    if password.is_empty() { Err(PasswordError::Empty(file.display().to_string())) } else { Ok(Zeroizing::new(password.to_vec())) }
}

fn printed(program: &Path, id: &str) -> Result<Zeroizing<Vec<u8>>, PasswordError> {
    // Without a slash the system would look in PATH.
    let path = if program.components().count() == 1 { Path::new(".").join(program) } else { program.to_owned() };
    let mut command = Command::new(path);
    let client = program.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| stem.ends_with("-client"));
    if client {
        command.args(["--vault-id", id]);
    }
    // The terminal stays the program's: it may have to ask.
    let output = command.stderr(std::process::Stdio::inherit()).stdin(std::process::Stdio::inherit()).output();
    let output = output.map_err(|error| PasswordError::Unreadable(program.to_owned(), error))?;
    let printed = Zeroizing::new(output.stdout);
    if output.status.success() { Ok(printed) } else { Err(PasswordError::Failed(program.to_owned(), output.status)) }
}
