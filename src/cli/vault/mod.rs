//! `rappel vault`: what `ansible-vault` does, on the same files.

mod passwords;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, Subcommand};
use thiserror::Error;
use zeroize::Zeroizing;

use super::settings::Settings;
use crate::text::vault::{DEFAULT_ID, is_sealed};
use crate::text::{Vault, VaultError};
pub use passwords::{Ask, PasswordError, Purpose, Terminal, VaultArgs, collect};

/// `rappel vault`.
#[derive(Args, Debug)]
pub struct VaultCommand {
    /// Show more
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Encrypt files, or standard input
    Encrypt(Transform),
    /// Decrypt files, or standard input
    Decrypt(Transform),
    /// Show encrypted files
    View(Files),
    /// Edit encrypted files
    Edit(Sealing),
    /// Write a new encrypted file
    Create(Sealing),
    /// Encrypt files with another password
    Rekey(Rekey),
    /// Encrypt strings, for use as variables
    #[command(name = "encrypt_string", visible_alias = "encrypt-string")]
    EncryptString(EncryptString),
}

#[derive(Args, Debug)]
struct Transform {
    /// Files; none or `-` is standard input
    files: Vec<PathBuf>,
    /// Write there instead of replacing the file; `-` is standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    with: Encrypting,
}

#[derive(Args, Debug)]
struct Files {
    /// Files
    files: Vec<PathBuf>,
    #[command(flatten)]
    passwords: VaultArgs,
}

#[derive(Args, Debug)]
struct Sealing {
    /// Files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    with: Encrypting,
}

#[derive(Args, Debug)]
struct Encrypting {
    #[command(flatten)]
    passwords: VaultArgs,
    /// The vault id to encrypt with, where several are given
    #[arg(long, value_name = "ID")]
    encrypt_vault_id: Option<String>,
}

#[derive(Args, Debug)]
struct Rekey {
    /// Files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    with: Encrypting,
    /// The new password: `prod@FILE`, `prod@prompt`
    #[arg(long, value_name = "ID@SOURCE")]
    new_vault_id: Option<String>,
    /// File or program with the new password
    #[arg(long, value_name = "FILE")]
    new_vault_password_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct EncryptString {
    /// The strings; none or `-` is standard input
    strings: Vec<String>,
    /// The variable's name (may be repeated, in the order of the strings)
    #[arg(short, long)]
    name: Vec<String>,
    /// The name of the variable that standard input is for
    #[arg(long, value_name = "NAME")]
    stdin_name: Option<String>,
    /// Write there; `-` is standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    with: Encrypting,
}

/// Why it did not work.
#[derive(Debug, Error)]
pub enum VaultCommandError {
    /// A password is missing.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// What is in a file cannot be opened.
    #[error("`{0}`: {1}")]
    Vault(String, #[source] VaultError),
    /// A file cannot be read or written.
    #[error("cannot {0} `{1}`: {2}")]
    File(&'static str, PathBuf, #[source] io::Error),
    /// It is encrypted already.
    #[error("`{0}` is already encrypted")]
    Already(String),
    /// Several passwords to choose from.
    #[error("several vault ids are given ({0}): say with `--encrypt-vault-id` which one to encrypt with")]
    Ambiguous(String),
    /// No password of that id.
    #[error("there is no password for `--encrypt-vault-id {0}`; there are {1}")]
    NoSuchId(String, String),
    /// There are files, but only one place to write to.
    #[error("`--output` takes one file, not {0}")]
    OneOutput(usize),
    /// The editor failed.
    #[error("the editor `{0}` failed: {1}")]
    Editor(String, String),
    /// It exists already.
    #[error("`{0}` exists: use `rappel vault edit`")]
    Exists(PathBuf),
    /// Nothing to encrypt.
    #[error("standard input is empty")]
    Empty,
    /// A name without its string.
    #[error("{0} names for {1} strings")]
    Names(usize, usize),
    /// Not a text.
    #[error("`{0}` is no text that could be encrypted")]
    NotText(String),
}

type Done = Result<(), VaultCommandError>;

/// What the command reads from and writes to besides files.
pub struct Console<'a> {
    /// Standard input.
    pub input: &'a mut dyn Read,
    /// Standard output.
    pub output: &'a mut dyn Write,
    /// Who to ask for passwords.
    pub ask: &'a dyn Ask,
}

impl VaultCommand {
    /// Does it.
    ///
    /// # Errors
    /// See [`VaultCommandError`]. Files are replaced as a whole or not at all.
    pub fn run(&self, settings: &Settings, console: &mut Console<'_>) -> Done {
        match &self.action {
            Action::Encrypt(transform) => transform.encrypt(settings, console),
            Action::Decrypt(transform) => transform.decrypt(settings, console),
            Action::View(files) => files.view(settings, console),
            Action::Edit(sealing) => sealing.edit(settings, console),
            Action::Create(sealing) => sealing.create(settings, console),
            Action::Rekey(rekey) => rekey.run(settings, console),
            Action::EncryptString(strings) => strings.run(settings, console),
        }
    }
}

impl Encrypting {
    /// The passwords, and the id of the one to seal with.
    fn sealing(&self, settings: &Settings, ask: &dyn Ask) -> Result<(Vault, String), VaultCommandError> {
        let mut vault = collect(&self.passwords, settings, ask, Purpose::Seal)?;
        if vault.is_empty() {
            vault.add(DEFAULT_ID, passwords::asked(DEFAULT_ID, ask, Purpose::Seal)?.as_slice());
        }
        let id = self.id(&vault, settings)?;
        Ok((vault, id))
    }

    fn id(&self, vault: &Vault, settings: &Settings) -> Result<String, VaultCommandError> {
        let ids: Vec<_> = vault.ids().collect();
        let listed = || ids.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ");
        match (self.encrypt_vault_id.as_ref().or(settings.vault_encrypt_identity.as_ref()), ids.as_slice()) {
            (Some(id), ids) if ids.contains(&id.as_str()) => Ok(id.clone()),
            (Some(id), _) => Err(VaultCommandError::NoSuchId(id.clone(), listed())),
            (None, [id]) => Ok((*id).to_owned()),
            (None, _) => Err(VaultCommandError::Ambiguous(listed())),
        }
    }
}

/// The passwords to open with; asked for where none is named.
fn opening(arguments: &VaultArgs, settings: &Settings, ask: &dyn Ask) -> Result<Vault, VaultCommandError> {
    let mut vault = collect(arguments, settings, ask, Purpose::Open)?;
    if vault.is_empty() {
        vault.add(DEFAULT_ID, passwords::asked(DEFAULT_ID, ask, Purpose::Open)?.as_slice());
    }
    Ok(vault)
}

impl Transform {
    /// The inputs: standard input where no file is named.
    fn inputs(&self) -> Result<Vec<&Path>, VaultCommandError> {
        let files: Vec<_> = self.files.iter().map(PathBuf::as_path).collect();
        match (&self.output, files.len()) {
            (_, 0) => Ok(vec![Path::new("-")]),
            (Some(_), count) if count > 1 => Err(VaultCommandError::OneOutput(count)),
            _ => Ok(files),
        }
    }

    fn target<'a>(&'a self, file: &'a Path) -> &'a Path {
        self.output.as_deref().unwrap_or(file)
    }

    fn encrypt(&self, settings: &Settings, console: &mut Console<'_>) -> Done {
        let inputs = self.inputs()?;
        let (vault, id) = self.with.sealing(settings, console.ask)?;
        for file in inputs {
            let plain = read(file, console)?;
            if is_sealed(plain.as_slice()) {
                return Err(VaultCommandError::Already(file.display().to_string()));
            }
            write(self.target(file), seal(&vault, &plain, &id)?.as_bytes(), console)?;
        }
        Ok(())
    }

    fn decrypt(&self, settings: &Settings, console: &mut Console<'_>) -> Done {
        let inputs = self.inputs()?;
        let vault = opening(&self.with.passwords, settings, console.ask)?;
        for file in inputs {
            let opened = open(&vault, file, console)?;
            write(self.target(file), &opened.plain, console)?;
        }
        Ok(())
    }
}

impl Files {
    fn view(&self, settings: &Settings, console: &mut Console<'_>) -> Done {
        let vault = opening(&self.passwords, settings, console.ask)?;
        let inputs = if self.files.is_empty() { &[PathBuf::from("-")] } else { self.files.as_slice() };
        for file in inputs {
            let opened = open(&vault, file, console)?;
            write(Path::new("-"), &opened.plain, console)?;
        }
        Ok(())
    }
}

impl Sealing {
    fn edit(&self, settings: &Settings, console: &mut Console<'_>) -> Done {
        let vault = opening(&self.with.passwords, settings, console.ask)?;
        for file in &self.files {
            let opened = open(&vault, file, console)?;
            let edited = edited(&opened.plain, file, settings)?;
            if edited == opened.plain {
                continue;
            }
            // The file keeps the vault id it had, unless another one is asked for.
            let envelope = match &self.with.encrypt_vault_id {
                Some(_) => seal(&vault, &edited, &self.with.id(&vault, settings)?)?,
                None => relabelled(&seal(&vault, &edited, &opened.id)?, opened.label.as_deref()),
            };
            write(file, envelope.as_bytes(), console)?;
        }
        Ok(())
    }

    fn create(&self, settings: &Settings, console: &mut Console<'_>) -> Done {
        let (vault, id) = self.with.sealing(settings, console.ask)?;
        for file in &self.files {
            if file.exists() {
                return Err(VaultCommandError::Exists(file.clone()));
            }
            let written = edited(&[], file, settings)?;
            write(file, seal(&vault, &written, &id)?.as_bytes(), console)?;
        }
        Ok(())
    }
}

impl Rekey {
    fn run(&self, settings: &Settings, console: &mut Console<'_>) -> Done {
        let vault = opening(&self.with.passwords, settings, console.ask)?;
        let mut new = Vault::default();
        let (id, source) = match (&self.new_vault_id, &self.new_vault_password_file) {
            (Some(written), _) => passwords::identity(written, &settings.vault_identity),
            (None, Some(_)) => (settings.vault_identity.as_str(), ""),
            (None, None) => (settings.vault_identity.as_str(), "prompt"),
        };
        let password = match (source, &self.new_vault_password_file) {
            ("", Some(file)) => passwords::from_file(file, id)?,
            ("prompt", _) => passwords::asked(id, console.ask, Purpose::Seal)?,
            (file, _) => passwords::from_file(Path::new(file), id)?,
        };
        new.add(id, password.as_slice());
        // All are opened before any is written: one wrong password must not leave half of them changed.
        let mut opened = Vec::new();
        for file in &self.files {
            opened.push((file, open(&vault, file, console)?.plain));
        }
        for (file, plain) in opened {
            write(file, seal(&new, &plain, id)?.as_bytes(), console)?;
        }
        writeln!(console.output, "Rekey successful").map_err(|error| VaultCommandError::File("write", "-".into(), error))
    }
}

impl EncryptString {
    fn run(&self, settings: &Settings, console: &mut Console<'_>) -> Done {
        let (vault, id) = self.with.sealing(settings, console.ask)?;
        let mut inputs: Vec<(Option<&str>, Zeroizing<Vec<u8>>)> = Vec::new();
        let strings: Vec<_> = self.strings.iter().filter(|string| *string != "-").collect();
        if self.name.len() > strings.len() && !strings.is_empty() {
            return Err(VaultCommandError::Names(self.name.len(), strings.len()));
        }
        if strings.is_empty() || self.stdin_name.is_some() || strings.len() < self.strings.len() {
            let text = read(Path::new("-"), console)?;
            if text.is_empty() {
                return Err(VaultCommandError::Empty);
            }
            let name = self.stdin_name.as_ref().or(self.name.first().filter(|_| strings.is_empty()));
            inputs.push((name.map(String::as_str), text));
        }
        for (index, string) in strings.into_iter().enumerate() {
            inputs.push((self.name.get(index).map(String::as_str), Zeroizing::new(string.as_bytes().to_vec())));
        }
        let mut text = String::new();
        for (name, plain) in inputs {
            text.push_str(&variable(name, &seal(&vault, &plain, &id)?));
        }
        write(self.output.as_deref().unwrap_or(Path::new("-")), text.as_bytes(), console)
    }
}

/// An envelope as a YAML value, indented as `ansible-vault` does.
fn variable(name: Option<&str>, envelope: &str) -> String {
    let mut text = name.map(|name| format!("{name}: ")).unwrap_or_default();
    text.push_str("!vault |\n");
    for line in envelope.lines() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "          {line}");
    }
    text
}

fn seal(vault: &Vault, plain: &[u8], id: &str) -> Result<String, VaultCommandError> {
    vault.seal(plain, Some(id)).map_err(|error| VaultCommandError::Vault(id.to_owned(), error))
}

/// The envelope under another `label`: its header is a hint only, and no part of what is sealed.
fn relabelled(envelope: &str, label: Option<&str>) -> String {
    let body = envelope.split_once('\n').map_or("", |(_, body)| body);
    match label {
        Some(label) => format!("$ANSIBLE_VAULT;1.2;AES256;{label}\n{body}"),
        None => format!("$ANSIBLE_VAULT;1.1;AES256\n{body}"),
    }
}

fn open(vault: &Vault, file: &Path, console: &mut Console<'_>) -> Result<crate::text::vault::Opened, VaultCommandError> {
    let bytes = read(file, console)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| VaultCommandError::Vault(file.display().to_string(), VaultError::NotSealed))?;
    vault.open_with_id(text).map_err(|error| VaultCommandError::Vault(file.display().to_string(), error))
}

fn read(file: &Path, console: &mut Console<'_>) -> Result<Zeroizing<Vec<u8>>, VaultCommandError> {
    let mut bytes = Zeroizing::new(Vec::new());
    let result = if file == Path::new("-") {
        console.input.read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|mut opened| opened.read_to_end(&mut bytes))
    };
    result.map_err(|error| VaultCommandError::File("read", file.to_owned(), error))?;
    Ok(bytes)
}

/// Writes to standard output, or replaces a file by one that only its owner may read.
fn write(file: &Path, bytes: &[u8], console: &mut Console<'_>) -> Done {
    let result =
        if file == Path::new("-") { console.output.write_all(bytes).and_then(|()| console.output.flush()) } else { replace(file, bytes) };
    result.map_err(|error| VaultCommandError::File("write", file.to_owned(), error))
}

fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    // A symbolic link stays; what it leads to is replaced.
    let file = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary =
        tempfile::Builder::new().prefix(".rappel-vault").permissions(PermissionsExt::from_mode(0o600)).tempfile_in(folder)?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    temporary.persist(&file).map_err(|error| error.error)?;
    Ok(())
}

/// What an editor makes of `plain`. The text is on disk meanwhile, readable by its owner only.
fn edited(plain: &[u8], file: &Path, settings: &Settings) -> Result<Zeroizing<Vec<u8>>, VaultCommandError> {
    let failed = |error: io::Error| VaultCommandError::File("edit", file.to_owned(), error);
    let folder = tempfile::Builder::new().prefix("rappel-vault").permissions(PermissionsExt::from_mode(0o700)).tempdir().map_err(failed)?;
    let copy = folder.path().join(file.file_name().unwrap_or("text".as_ref()));
    let mut opened = File::options().write(true).create_new(true).mode(0o600).open(&copy).map_err(failed)?;
    opened.write_all(plain).map_err(failed)?;
    let mut words = settings.editor.split_whitespace();
    let status = Command::new(words.next().unwrap_or("vi")).args(words).arg(&copy).status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(VaultCommandError::Editor(settings.editor.clone(), status.to_string())),
        Err(error) => return Err(VaultCommandError::Editor(settings.editor.clone(), error.to_string())),
    }
    let edited = Zeroizing::new(std::fs::read(&copy).map_err(failed)?);
    // Overwritten before it is removed, as far as the file system lets us.
    let length = usize::try_from(std::fs::metadata(&copy).map_err(failed)?.len()).unwrap_or(0);
    std::fs::write(&copy, vec![0; length]).map_err(failed)?;
    Ok(edited)
}
