//! [`Terms`]: who is to answer, and who is believed.

use std::ffi::OsString;
use std::path::PathBuf;

/// What a connection has to hold to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The server's name.
    pub host: String,
    /// Whether it must prove that it is that server.
    pub validate: bool,
    /// A file of the authorities to believe; none are those that the system believes.
    pub authorities: Option<PathBuf>,
    /// The certificate and the key that say who we are.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl Terms {
    /// As the words that `rappel-tls` is started with: `HOST [--anyone] [--authorities FILE] [--client CERTIFICATE KEY]`.
    pub fn to_words(&self) -> Vec<OsString> {
        let mut words = vec![self.host.clone().into()];
        if !self.validate {
            words.push("--anyone".into());
        }
        if let Some(file) = &self.authorities {
            words.extend(["--authorities".into(), file.into()]);
        }
        if let Some((certificate, key)) = &self.client {
            words.extend(["--client".into(), certificate.into(), key.into()]);
        }
        words
    }

    /// From such words.
    ///
    /// # Errors
    /// The name is missing, or a word is unknown.
    pub fn from_words(mut words: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let host = words.next().ok_or("expected the name of a server")?.to_string_lossy().into_owned();
        let mut terms = Self { host, validate: true, authorities: None, client: None };
        while let Some(word) = words.next() {
            let mut file = || words.next().map(PathBuf::from);
            match word.to_str() {
                Some("--anyone") => terms.validate = false,
                Some("--authorities") => terms.authorities = file(),
                Some("--client") => terms.client = file().zip(file()),
                _ => return Err(format!("unknown option `{}`", word.display())),
            }
        }
        Ok(terms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_carry_all_of_it() {
        let plain = Terms { host: "a.example".into(), validate: true, authorities: None, client: None };
        let strict = Terms { authorities: Some("/ca".into()), client: Some(("/c".into(), "/k".into())), ..plain.clone() };
        for terms in [Terms { validate: false, ..plain.clone() }, plain, strict] {
            assert_eq!(Terms::from_words(terms.to_words().into_iter()), Ok(terms));
        }
        assert!(Terms::from_words(["a".into(), "--none".into()].into_iter()).is_err());
    }
}
