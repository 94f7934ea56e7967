//! Puts a file together from the pieces in a directory of the host.
//!
//! ```yaml
//! - assemble: {src: /etc/shop/conf.d, dest: /etc/shop.conf, delimiter: "# ---"}
//! ```

use super::copy::Placing;
use super::edit;
use super::prelude::*;
use crate::machine::Content;

params! {
    pub struct Assemble {
        /// The directory of pieces, joined in the order of their names.
        src: PathText,
        /// The file.
        dest: PathText,
        /// The pieces are on the host.
        remote_src: bool = true,
        /// What stands between two pieces.
        delimiter: Option<String>,
        /// Only pieces whose name matches this.
        regexp: Option<String>,
        /// Leave out pieces whose name starts with a dot.
        ignore_hidden: bool = false,
        /// Keep what was there as `dest.PID.date~`.
        backup: bool = false,
        /// Open vault files on the controller.
        decrypt: bool = true,
        /// A command that must accept the file `%s` before it is put in place.
        validate: Option<String>,
    }
    group = file: FileAttributes;
}

impl Module for Assemble {
    const REVERSIBLE: Reversible = Reversible::Exact;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let folder = machine.path(&self.src.0);
        if !self.remote_src {
            return Err(Failure::new("`remote_src: false` is not supported: copy the pieces first"));
        }
        match machine.stat(&folder, true)? {
            None => return Err(Failure::new(format!("Source ({}) does not exist", self.src.0))),
            Some(stat) if !stat.is_dir() => return Err(Failure::new(format!("Source ({}) is not a directory", self.src.0))),
            Some(_) => {}
        }
        let content = self.content(machine, &folder)?;
        let placing = Placing {
            options: self.file.options(self.backup, self.validate.as_deref()),
            directory_mode: None,
            force: true,
            follow: false,
            on_host: true,
        };
        let outcome = placing.file(machine, Some(&self.src.0), &content, &self.dest.0)?;
        Ok(outcome.with("msg", "OK"))
    }
}

impl Assemble {
    fn content(&self, machine: &Machine, folder: &std::path::Path) -> Result<Content, Failure> {
        let pattern = self.regexp.as_deref().map(|regexp| edit::pattern("regexp", regexp, false)).transpose()?;
        let delimiter = self.delimiter.as_deref().map(unescaped);
        let mut whole: Vec<u8> = Vec::new();
        let mut first = true;
        for path in machine.list(folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let wanted = match &pattern {
                Some(pattern) => edit::found(pattern, &name)?,
                None => true,
            };
            if !wanted || self.ignore_hidden && name.starts_with('.') || !machine.stat(&path, true)?.is_some_and(|stat| stat.is_file()) {
                continue;
            }
            if !first && whole.last().is_some_and(|byte| *byte != b'\n') {
                whole.push(b'\n');
            }
            if let Some(delimiter) = delimiter.as_deref().filter(|_| !first) {
                whole.extend_from_slice(delimiter.as_bytes());
                if !delimiter.ends_with('\n') {
                    whole.push(b'\n');
                }
            }
            whole.extend(machine.read(&path)?);
            first = false;
        }
        Ok(whole.into())
    }
}

/// `\n` and `\t` in a delimiter are what they are in Python.
fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\t", "\t")
}
