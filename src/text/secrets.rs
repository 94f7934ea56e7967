//! [`Secrets`]: what must not be shown. Filled where secrets are opened, asked where events are made.

use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Node, NodeKind};

/// Shorter secrets are left alone: replacing every `a` would make nonsense of the output and hide nothing.
const SHORTEST_SECRET: usize = 4;

/// A line inside a longer secret counts from here on; shorter ones are `---`, `{` and the like.
const SHORTEST_LINE: usize = 8;

const MASK: &str = "********";

/// Texts to hide. Clones share everything.
#[derive(Clone, Default)]
pub struct Secrets {
    /// The longest first, so that a secret inside another does not leave the other's rest to be seen.
    texts: Arc<RwLock<Vec<String>>>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("<secrets>")
    }
}

impl Secrets {
    /// From now on `secret`, each long line of it, and its base64 form show as stars.
    pub fn hide(&self, secret: &str) {
        let secret = secret.trim();
        if secret.len() < SHORTEST_SECRET {
            return;
        }
        self.add(secret.to_owned());
        self.add(STANDARD.encode(secret));
        if secret.contains('\n') {
            secret.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE).for_each(|line| self.add(line.to_owned()));
        }
    }

    /// Hides every text in `node`; keys are names, not secrets.
    pub fn hide_all(&self, node: &Node) {
        match &node.kind {
            NodeKind::Str(text) => self.hide(text),
            NodeKind::Unsafe(inner) => self.hide_all(inner),
            NodeKind::Seq(items) => items.iter().for_each(|item| self.hide_all(item)),
            NodeKind::Map(entries) => entries.iter().for_each(|(_, value)| self.hide_all(value)),
            _ => {}
        }
    }

    /// Whether the whole of `text` is one of them.
    pub fn contains(&self, text: &str) -> bool {
        self.texts.read().unwrap_or_else(PoisonError::into_inner).iter().any(|secret| secret == text.trim())
    }

    /// Whether there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.texts.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// `text` with all secrets starred.
    pub fn mask(&self, text: &str) -> String {
        let secrets = self.texts.read().unwrap_or_else(PoisonError::into_inner);
        secrets
            .iter()
            .filter(|secret| text.contains(secret.as_str()))
            .fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK))
    }

    fn add(&self, secret: String) {
        let mut texts = self.texts.write().unwrap_or_else(PoisonError::into_inner);
        if !texts.contains(&secret) {
            let place = texts.partition_point(|other| other.len() >= secret.len());
            texts.insert(place, secret);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_whole_secrets_their_lines_and_their_base64() {
        let secrets = Secrets::default();
        secrets.hide("abc"); // too short
        secrets.hide("hunter2");
        secrets.hide("hunter2-and-more");
        secrets.hide("-----BEGIN\nMIIEvQIBADANBg\n}\n");
        for (text, shown) in [
            ("abc", "abc"),
            ("password=hunter2;", "password=********;"),
            ("hunter2-and-more", "********"),
            ("aHVudGVyMg==", "********"),
            ("a MIIEvQIBADANBg b }", "a ******** b }"),
        ] {
            assert_eq!(secrets.mask(text), shown);
        }
        assert_eq!(format!("{secrets:?}"), "<secrets>");
    }
}
