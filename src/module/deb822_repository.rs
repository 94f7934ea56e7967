//! Adds a package archive to apt in the form that deb822(5) describes, or takes it away, with the key that signs it.
//!
//! ```yaml
//! - deb822_repository:
//!     name: docker
//!     uris: https://download.docker.com/linux/debian
//!     suites: "{{ ansible_distribution_release }}"
//!     components: stable
//!     signed_by: https://download.docker.com/linux/debian/gpg
//! ```
//!
//! It does not fetch the lists: `apt: {update_cache: true}` does, when this changed something.

use std::path::{Path, PathBuf};

use super::openpgp;
use super::prelude::*;

choice! {
    /// Whether the archive shall be there.
    pub enum State { Present = "present", Absent = "absent" }
}

params! {
    pub struct Deb822Repository {
        /// What it is called: the name of its file, too.
        name: String,
        /// Accept that an archive was signed and is not any more.
        allow_downgrade_to_insecure: Option<bool>,
        /// Accept lists that nobody signed.
        allow_insecure: Option<bool>,
        /// Accept weak signatures.
        allow_weak: Option<bool>,
        /// Only these: `amd64`.
        architectures: Option<Vec<String>>,
        /// Fetch lists by their checksum: `yes`, `no` or `force`.
        by_hash: Option<Value>,
        /// Refuse lists from the future.
        check_date: Option<bool>,
        /// Refuse lists that are too old.
        check_valid_until: Option<bool>,
        /// `main`, `contrib`.
        components: Option<Vec<String>>,
        /// How far in the future a list may be, in seconds.
        date_max_future: Option<i64>,
        /// Whether apt uses it.
        enabled: Option<bool>,
        /// Packages that are never taken from it.
        exclude: Option<Vec<String>>,
        /// The only packages that are taken from it.
        include: Option<Vec<String>>,
        /// Where its `InRelease` is.
        inrelease_path: Option<String>,
        /// Languages of descriptions.
        languages: Option<Vec<String>>,
        /// Fetch differences between lists.
        pdiffs: Option<bool>,
        /// The key that signs it: its address, a keyring's path, fingerprints, or the armoured key itself.
        signed_by: Option<String>,
        /// Releases: `bookworm`, or a path that ends with `/`.
        suites: Option<Vec<String>>,
        /// Which lists are fetched.
        targets: Option<Vec<String>>,
        /// Trust it without a signature.
        trusted: Option<bool>,
        /// `deb`, `deb-src`.
        types: Vec<String> = vec!["deb".to_owned()],
        /// Where it is.
        uris: Option<Vec<String>>,
        /// Permissions of its file.
        mode: ModeText = ModeText("0644".to_owned()),
        /// Whether it shall be there.
        state: State = State::Present,
        /// Has no meaning: no Python is needed here.
        install_python_debian: bool = false,
    }
}

const KEYRINGS: &str = "/etc/apt/keyrings";

impl Module for Deb822Repository {
    const REVERSIBLE: Reversible = Reversible::Exact;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let slug = slug(&self.name);
        let dest = PathBuf::from(format!("/etc/apt/sources.list.d/{slug}.sources"));
        if self.state == State::Absent {
            let mut key = None;
            for end in ["asc", "gpg"] {
                let path = Path::new(KEYRINGS).join(format!("{slug}.{end}"));
                if machine.remove(&path)? {
                    key = Some(path);
                }
            }
            machine.remove(&dest)?;
            let key = key.unwrap_or_else(|| Path::new(KEYRINGS).join(format!("{slug}.gpg")));
            let outcome = machine.outcome().with("repo", Value::Null).with("dest", dest.display().to_string());
            return Ok(outcome.with("key_filename", key.display().to_string()));
        }
        let (signed_by, key) = self.key(&slug, machine)?;
        let text = self.text(signed_by.as_deref());
        let attributes = Attributes { mode: Some(self.mode.0.clone()), ..Attributes::default() };
        machine.write(&dest, &text.as_str().into(), &attributes)?;
        let facts = machine.describe(&dest);
        let outcome = machine.outcome().with_all(facts).with("repo", text).with("dest", dest.display().to_string());
        Ok(outcome.with("key_filename", key.map(|path| path.display().to_string())))
    }
}

/// The name of the files.
fn slug(name: &str) -> String {
    let kept = name.trim().to_ascii_lowercase();
    let kept: String = kept.chars().filter(|character| character.is_alphanumeric() || character.is_whitespace() || "_-".contains(*character)).collect();
    kept.split(|character: char| character.is_whitespace() || character == '-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

impl Deb822Repository {
    /// What `Signed-By` is, and the file that has the key.
    fn key(&self, slug: &str, machine: &mut Machine) -> Result<(Option<String>, Option<PathBuf>), Failure> {
        let Some(given) = self.signed_by.as_deref() else { return Ok((None, None)) };
        if !["http://", "https://", "ftp://", "file://"].iter().any(|scheme| given.starts_with(scheme)) {
            return Ok((Some(given.to_owned()), given.starts_with('/').then(|| PathBuf::from(given))));
        }
        let bytes = match given.strip_prefix("file://") {
            Some(path) => machine.read(Path::new(path))?,
            None => download(machine, given)?,
        };
        let end = if openpgp::is_armoured(&bytes) { "asc" } else { "gpg" };
        let path = Path::new(KEYRINGS).join(format!("{slug}.{end}"));
        machine.make_dir(Path::new(KEYRINGS), &Attributes { mode: Some("0755".to_owned()), ..Attributes::default() })?;
        machine.write(&path, &bytes.into(), &Attributes { mode: Some("0644".to_owned()), ..Attributes::default() })?;
        Ok((Some(path.display().to_string()), Some(path)))
    }

    fn text(&self, signed_by: Option<&str>) -> String {
        let flag = |flag: Option<bool>| flag.map(|flag| if flag { "yes" } else { "no" }.to_owned());
        let list = |list: &Option<Vec<String>>| list.as_ref().filter(|list| !list.is_empty()).map(|list| list.join(" "));
        let by_hash = self.by_hash.as_ref().map(|value| match value.to_bool() {
            Some(given) => if given { "yes" } else { "no" }.to_owned(),
            None => value.to_text(),
        });
        // In the order of the parameters' names.
        let fields = [
            ("Allow-Downgrade-To-Insecure", flag(self.allow_downgrade_to_insecure)),
            ("Allow-Insecure", flag(self.allow_insecure)),
            ("Allow-Weak", flag(self.allow_weak)),
            ("Architectures", list(&self.architectures)),
            ("By-Hash", by_hash),
            ("Check-Date", flag(self.check_date)),
            ("Check-Valid-Until", flag(self.check_valid_until)),
            ("Components", list(&self.components)),
            ("Date-Max-Future", self.date_max_future.map(|seconds| seconds.to_string())),
            ("Enabled", flag(self.enabled)),
            ("Exclude", list(&self.exclude)),
            ("Include", list(&self.include)),
            ("InRelease-Path", self.inrelease_path.clone()),
            ("Languages", list(&self.languages)),
            ("X-Repolib-Name", Some(self.name.clone())),
            ("PDiffs", flag(self.pdiffs)),
            ("Signed-By", signed_by.map(folded)),
            ("Suites", list(&self.suites)),
            ("Targets", list(&self.targets)),
            ("Trusted", flag(self.trusted)),
            ("Types", list(&Some(self.types.clone()))),
            ("URIs", list(&self.uris)),
        ];
        let line = |(name, value): (&str, Option<String>)| {
            value.map(|value| if value.starts_with('\n') { format!("{name}:{value}\n") } else { format!("{name}: {value}\n") })
        };
        fields.into_iter().filter_map(line).collect()
    }
}

/// Several lines as a field can have them: indented, a dot in the empty ones.
fn folded(value: &str) -> String {
    if !value.trim().contains('\n') {
        return value.trim().to_owned();
    }
    value.trim().lines().map(|line| if line.trim().is_empty() { "\n    .".to_owned() } else { format!("\n    {}", line.trim_end()) }).collect()
}

fn download(machine: &Machine, url: &str) -> Result<Vec<u8>, Failure> {
    machine.asking(url).content().map_err(|why| Failure::new(format!("Could not fetch signed_by key. {why}")).with("url", url))
}

#[cfg(test)]
mod tests {
    use super::super::Declared as _;
    use super::*;

    #[test]
    fn files_are_as_ansible_writes_them() {
        let text = r#"{"name": "My Repo.x-Y", "uris": "http://e.com/d", "suites": ["stable", "x"], "components": "main,contrib", "enabled": "yes",
            "by_hash": true, "types": ["deb", "deb-src"], "date_max_future": 3, "signed_by": "-----BEGIN\n\nmQ\n-----END\n"}"#;
        let module = Deb822Repository::decode(&serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(slug(&module.name), "my-repox-y");
        assert_eq!(
            module.text(module.signed_by.as_deref()),
            "By-Hash: yes\nComponents: main contrib\nDate-Max-Future: 3\nEnabled: yes\nX-Repolib-Name: My Repo.x-Y\n\
             Signed-By:\n    -----BEGIN\n    .\n    mQ\n    -----END\nSuites: stable x\nTypes: deb deb-src\nURIs: http://e.com/d\n"
        );
    }
}
