//! What the actions for keys and certificates share: the host's own `openssl` makes them and tells what they are, so neither a
//! library of Python nor a cryptographer's code of our own is needed, and a private key is made where it stays.

use super::prelude::*;
use crate::module::{Declared as _, FileAttributes};

/// What `openssl` of the host prints, given `stdin`.
pub(super) async fn openssl(call: &ActionCall<'_>, words: &[&str], stdin: Option<&str>) -> Result<String, Trouble> {
    let argv: Vec<&str> = std::iter::once("openssl").chain(words.iter().copied()).collect();
    let mut params = Map::from_iter([("argv".to_owned(), argv.into()), ("expand_argument_vars".to_owned(), false.into())]);
    params.extend(stdin.map(|text| ("stdin".to_owned(), text.into())));
    let ran = call.query("command", params).await.map_err(|trouble| match trouble {
        Trouble::Failed(failure, _) => {
            let said = failure.data.get("stderr").map(Value::to_text).unwrap_or_default();
            let said = said.lines().next().unwrap_or(&failure.msg).to_owned();
            Failure { msg: format!("`openssl {}` of the host failed: {said}", words.first().unwrap_or(&"")), ..*failure }.into()
        }
        other @ Trouble::Unreachable(_) => other,
    })?;
    Ok(ran.data.get("stdout").map(Value::to_text).unwrap_or_default() + "\n")
}

/// A file that is to hold what `openssl` made.
pub(super) struct Product<'a> {
    pub(super) call: &'a ActionCall<'a>,
    pub(super) path: &'a str,
    pub(super) backup: bool,
    /// The mode where the task gives none.
    pub(super) mode: Option<&'a str>,
}

impl Product<'_> {
    fn attributes(&self) -> Map {
        let known = |name: &str| FileAttributes::SPEC.find(name).is_some();
        self.call
            .params
            .iter()
            .filter(|(name, value)| known(name) && !value.is_null())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// Removes it.
    pub(super) async fn remove(&self) -> Result<Outcome, Trouble> {
        let params = [("path", self.path), ("state", "absent")].map(|(name, value)| (name.to_owned(), value.into()));
        self.call.module("file", params.into()).await
    }

    /// Leaves what is in it, and gives it owner and mode.
    pub(super) async fn keep(&self) -> Result<Outcome, Trouble> {
        let mut params = self.attributes();
        params.extend([("path", self.path), ("state", "file")].map(|(name, value)| (name.to_owned(), value.into())));
        self.call.module("file", params).await.map(|done| Outcome { data: Map::new(), ..done })
    }

    /// Puts `content` into it. What was there, and is there now, is nobody's business: there is no diff.
    pub(super) async fn write(&self, content: &str) -> Result<Outcome, Trouble> {
        let mut params = self.attributes();
        if let (Some(mode), false) = (self.mode, params.contains_key("mode")) {
            params.insert("mode".to_owned(), mode.into());
        }
        params.extend(
            [("dest", self.path.into()), ("content", content.into()), ("backup", self.backup.into())]
                .map(|(name, value): (&str, Value)| (name.to_owned(), value)),
        );
        let done = self.call.module("copy", params).await?;
        let backup = done.data.get("backup_file").cloned();
        let outcome = Outcome { data: Map::new(), diff: Vec::new(), ..done };
        Ok(match backup {
            Some(file) => outcome.with("backup_file", file),
            None => outcome,
        })
    }

    /// Puts the request or the certificate (`kind` is the command for it: `req`, `x509`) that was `made` into it, unless one that says
    /// the same is there and need not be another. What is in it then is in the result under `content`, if that is a name.
    pub(super) async fn settle(&self, kind: &str, made: String, force: bool, content: Option<&str>) -> Result<Outcome, Trouble> {
        let there = openssl(self.call, &[kind, "-in", self.path, "-noout", "-text"], None).await.ok();
        let wanted = openssl(self.call, &[kind, "-noout", "-text"], Some(&made)).await?;
        let same = there.as_deref().is_some_and(|there| essence(there) == essence(&wanted)) && !force;
        let outcome = if same { self.keep().await? } else { self.write(&made).await? }.with("filename", self.path);
        Ok(match content {
            None => outcome,
            Some(name) if same => outcome.with(name, openssl(self.call, &[kind, "-in", self.path], None).await?),
            Some(name) => outcome.with(name, made),
        })
    }
}

/// What `openssl` says of a request or a certificate, without what is another every time: signature, serial number, time. The order
/// of extensions says nothing.
fn essence(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = Vec::new();
    let mut skip = 0;
    for line in text.lines().map(str::trim) {
        match line {
            _ if line.starts_with("Signature Algorithm") && lines.iter().any(|line| line.starts_with("Subject:")) => {
                lines.push(line);
                break;
            }
            "Serial Number:" => skip = 1,
            "Validity" => skip = 2,
            _ if skip > 0 => skip -= 1,
            _ if line.starts_with("Serial Number:") || line.is_empty() => {}
            _ => lines.push(line),
        }
    }
    lines.sort_unstable();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_another_every_time_does_not_count() {
        let text = |serial: &str, date: &str, subject: &str| {
            format!(
                "Certificate:\n Data:\n  Serial Number: {serial}\n  Signature Algorithm: sha256WithRSAEncryption\n  Validity\n   Not Before: {date}\n   Not \
                 After : {date}\n  Subject: {subject}\n  Signature Algorithm: sha256WithRSAEncryption\n  Signature Value:\n   00:{serial}\n"
            )
        };
        assert_eq!(essence(&text("1", "today", "CN = a")), essence(&text("2", "tomorrow", "CN = a")));
        assert_ne!(essence(&text("1", "today", "CN = a")), essence(&text("1", "today", "CN = b")));
        assert_eq!(essence(&text("\n    12:34", "today", "CN = a")), essence(&text("5", "today", "CN = a")));
    }
}
