//! What the repository says of the version that is asked for.

use super::Tool;
use crate::machine::Machine;
use crate::wire::Failure;

/// A version in the repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Remote {
    /// Its commit, as far as the repository knows the name.
    pub(super) commit: Option<String>,
    /// The branch that it is.
    pub(super) branch: Option<String>,
    /// Whether it is a tag.
    pub(super) tag: bool,
    /// Whether the repository's own branch was asked for, whatever it is.
    head: bool,
}

impl Remote {
    /// Asks the repository.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub(super) fn ask(tool: &Tool, version: &str, machine: &Machine) -> Result<Self, Failure> {
        let (branch, tag) = (format!("refs/heads/{version}"), format!("refs/tags/{version}"));
        let peeled = format!("{tag}^{{}}");
        let text = tool.ask(None, &["ls-remote", "--symref", tool.repo(), "HEAD", &branch, &tag, &peeled], machine)?;
        Ok(Self::read(&text, version))
    }

    fn read(text: &str, version: &str) -> Self {
        let commit = |name: &str| text.lines().filter(|line| !line.starts_with("ref: ")).filter_map(|line| line.split_once('\t')).find(|(_, found)| *found == name).map(|(commit, _)| commit);
        let owned = |commit: &str| Some(commit.to_owned());
        if version == "HEAD" {
            let branch = text.lines().find_map(|line| line.strip_prefix("ref: refs/heads/")?.strip_suffix("\tHEAD")).map(str::to_owned);
            return Self { commit: commit("HEAD").map(str::to_owned), branch, tag: false, head: true };
        }
        if let Some(found) = commit(&format!("refs/heads/{version}")) {
            return Self { commit: owned(found), branch: Some(version.to_owned()), ..Self::default() };
        }
        let tag = format!("refs/tags/{version}");
        if let Some(found) = commit(&format!("{tag}^{{}}")).or_else(|| commit(&tag)) {
            return Self { commit: owned(found), tag: true, ..Self::default() };
        }
        Self { commit: is_commit(version).then(|| version.to_owned()), ..Self::default() }
    }

    /// Whether `clone --branch` understands it.
    pub(super) fn is_named(&self) -> bool {
        !self.head && (self.tag || self.branch.is_some())
    }
}

/// Whether this is a whole commit number.
pub(super) fn is_commit(version: &str) -> bool {
    version.len() == 40 && version.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A command as a result may show it.
pub(super) fn without_password(text: &str) -> String {
    let hide = |word: &str| match (word.find("://"), word.find('@')) {
        (Some(scheme), Some(at)) if scheme < at && word.get(scheme + 3..at).is_some_and(|user| user.contains(':')) => {
            format!("{}://********{}", word.get(..scheme).unwrap_or_default(), word.get(at..).unwrap_or_default())
        }
        _ => word.to_owned(),
    };
    text.split(' ').map(hide).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = "ref: refs/heads/main\tHEAD\naaa\tHEAD\nbbb\trefs/heads/dev\nccc\trefs/tags/v1\nddd\trefs/tags/v1^{}\n";

    #[test]
    fn names_are_branches_tags_or_commits() {
        let number = "0123456789012345678901234567890123456789";
        for (version, commit, branch, tag, named) in [
            ("HEAD", Some("aaa"), Some("main"), false, false),
            ("dev", Some("bbb"), Some("dev"), false, true),
            ("v1", Some("ddd"), None, true, true),
            (number, Some(number), None, false, false),
            ("abc", None, None, false, false),
        ] {
            let found = Remote::read(LISTED, version);
            assert_eq!((found.commit.as_deref(), found.branch.as_deref(), found.tag, found.is_named()), (commit, branch, tag, named), "{version}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(without_password("git clone https://u:pw@h/x d"), "git clone https://********@h/x d");
        assert_eq!(without_password("git clone ssh://git@h/x"), "git clone ssh://git@h/x");
    }
}
