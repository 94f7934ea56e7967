//! Adds a package archive for dnf and yum, or takes it away.
//!
//! ```yaml
//! - yum_repository: {name: epel, description: EPEL, baseurl: "https://mirror.example.com/epel/9/$basearch/", gpgcheck: true}
//! ```

use std::path::Path;

use super::prelude::*;

choice! {
    /// Whether the archive shall be there.
    pub enum State { Present = "present", Absent = "absent" }
}

params! {
    pub struct YumRepository {
        /// Its name: the section of the file.
        name: String,
        /// What it is called for people.
        description: Option<String>,
        /// Where it is.
        baseurl: Option<Vec<String>>,
        /// Where a list of its mirrors is.
        mirrorlist: Option<String>,
        /// Where a metalink is.
        metalink: Option<String>,
        /// The file, without its end; the name when not given.
        file: Option<String>,
        /// Where the files are.
        reposdir: PathText = PathText("/etc/yum.repos.d".to_owned()),
        /// Whether it shall be there.
        state: State = State::Present,
        /// Permissions of the file.
        mode: Option<ModeText>,
        /// User name or number.
        owner: Option<String>,
        /// Group name or number.
        group: Option<String>,
        /// Flags as `chattr` takes them.
        attributes | attr: Option<String>,
        /// Write in place where the file cannot be replaced.
        unsafe_writes: bool = false,
        /// Older than this, a complaint of its age is for nothing.
        r#async: Option<bool>,
        /// The most it may use: `1M`, `50%`.
        bandwidth: Option<String>,
        /// How dear it is compared with others.
        cost: Option<String>,
        /// Load the lists of files only when needed.
        deltarpm_metadata_percentage: Option<String>,
        /// Load only differences of this share.
        deltarpm_percentage: Option<String>,
        /// Whether it is used.
        enabled: Option<bool>,
        /// Use the groups of packages it defines.
        enablegroups: Option<bool>,
        /// Packages that are never taken from it.
        exclude | excludepkgs: Option<Vec<String>>,
        /// How it chooses among mirrors.
        failovermethod: Option<String>,
        /// The certificate of the key's authority.
        gpgcakey: Option<String>,
        /// Check the packages' signatures.
        gpgcheck: Option<bool>,
        /// The keys that sign its packages.
        gpgkey: Option<Vec<String>>,
        /// What is kept of its answers.
        http_caching: Option<String>,
        /// More configuration.
        include: Option<String>,
        /// The only packages that are taken from it.
        includepkgs: Option<Vec<String>>,
        /// `4`, `6` or `whatever`.
        ip_resolve: Option<String>,
        /// Keep connections open.
        keepalive: Option<bool>,
        /// Whether what was downloaded is kept.
        keepcache: Option<String>,
        /// How old lists may be.
        metadata_expire: Option<String>,
        /// For what that counts.
        metadata_expire_filter: Option<String>,
        /// How old the list of mirrors may be.
        mirrorlist_expire: Option<String>,
        /// Its packages come before those of modules.
        module_hotfixes: Option<bool>,
        /// The password for it.
        password: Option<String>,
        /// Which archive's packages win; 1 is first.
        priority: Option<String>,
        /// Has no meaning for dnf.
        protect: Option<bool>,
        /// The proxy; `_none_` for none.
        proxy: Option<String>,
        /// The proxy's password.
        proxy_password: Option<String>,
        /// The proxy's user.
        proxy_username: Option<String>,
        /// Check the signature of its lists.
        repo_gpgcheck: Option<bool>,
        /// How often to try.
        retries: Option<String>,
        /// Has no meaning for dnf.
        s3_enabled: Option<bool>,
        /// Go on without it when it does not answer.
        skip_if_unavailable: Option<bool>,
        /// Trust its certificate's own name.
        ssl_check_cert_permissions: Option<bool>,
        /// Certificates to trust.
        sslcacert | ca_cert: Option<String>,
        /// The certificate for it.
        sslclientcert | client_cert: Option<String>,
        /// The key of that.
        sslclientkey | client_key: Option<String>,
        /// Check its certificate.
        sslverify | validate_certs: Option<bool>,
        /// Slower than this many bytes a second is given up.
        throttle: Option<String>,
        /// Seconds to wait.
        timeout: Option<String>,
        /// The name of what is kept of it.
        ui_repoid_vars: Option<String>,
        /// The user for it.
        username: Option<String>,
        /// `main`, or several.
        countme: Option<bool>,
    }
}

impl Module for YumRepository {
    const REVERSIBLE: Reversible = Reversible::Exact;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let folder = machine.path(&self.reposdir.0);
        if !machine.is_dir(&folder) {
            return Err(Failure::new(format!("Repo directory '{}' does not exist.", folder.display())));
        }
        let path = folder.join(format!("{}.repo", self.file.as_deref().unwrap_or(&self.name)));
        let old = machine.read_text(&path)?.unwrap_or_default();
        match self.state {
            State::Present => {
                if self.baseurl.is_none() && self.mirrorlist.is_none() && self.metalink.is_none() {
                    return Err(Failure::new("state is present but any of the following are missing: baseurl, mirrorlist, metalink"));
                }
                let section = self.section();
                let new = if found(&old, &self.name) == section { old } else { without(&old, &self.name) + &section };
                machine.write(&machine.resolve(&path), &new.into(), &self.looks())?;
            }
            State::Absent if found(&old, &self.name).is_empty() => {}
            State::Absent => self.remove(&path, &old, machine)?,
        }
        Ok(machine.outcome().with("repo", self.name).with("state", self.state.word()))
    }
}

impl YumRepository {
    fn looks(&self) -> Attributes {
        let mode = self.mode.as_ref().map(|mode| mode.0.clone());
        Attributes { mode, owner: self.owner.clone(), group: self.group.clone(), flags: self.attributes.clone(), no_follow: false }
    }

    fn remove(&self, path: &Path, old: &str, machine: &mut Machine) -> Result<(), Failure> {
        let left = without(old, &self.name);
        if left.lines().any(|line| line.trim_start().starts_with('[')) {
            machine.write(&machine.resolve(path), &left.into(), &self.looks()).map(drop)
        } else {
            machine.remove(path).map(drop)
        }
    }

    /// The archive as the file has it; the options in the order of their names.
    fn section(&self) -> String {
        let flag = |flag: Option<bool>| flag.map(|flag| i32::from(flag).to_string());
        let list = |list: &Option<Vec<String>>, between: &str| list.as_ref().map(|list| list.join(between));
        let text = |text: &Option<String>| text.clone();
        let options = [
            ("async", flag(self.r#async)),
            ("bandwidth", text(&self.bandwidth)),
            ("baseurl", list(&self.baseurl, "\n\t")),
            ("cost", text(&self.cost)),
            ("countme", flag(self.countme)),
            ("deltarpm_metadata_percentage", text(&self.deltarpm_metadata_percentage)),
            ("deltarpm_percentage", text(&self.deltarpm_percentage)),
            ("enabled", flag(self.enabled)),
            ("enablegroups", flag(self.enablegroups)),
            ("exclude", list(&self.exclude, " ")),
            ("failovermethod", text(&self.failovermethod)),
            ("gpgcakey", text(&self.gpgcakey)),
            ("gpgcheck", flag(self.gpgcheck)),
            ("gpgkey", list(&self.gpgkey, "\n\t")),
            ("http_caching", text(&self.http_caching)),
            ("include", text(&self.include)),
            ("includepkgs", list(&self.includepkgs, " ")),
            ("ip_resolve", text(&self.ip_resolve)),
            ("keepalive", flag(self.keepalive)),
            ("keepcache", text(&self.keepcache)),
            ("metadata_expire", text(&self.metadata_expire)),
            ("metadata_expire_filter", text(&self.metadata_expire_filter)),
            ("metalink", text(&self.metalink)),
            ("mirrorlist", text(&self.mirrorlist)),
            ("mirrorlist_expire", text(&self.mirrorlist_expire)),
            ("module_hotfixes", flag(self.module_hotfixes)),
            ("name", Some(self.description.clone().unwrap_or_else(|| self.name.clone()))),
            ("password", text(&self.password)),
            ("priority", text(&self.priority)),
            ("protect", flag(self.protect)),
            ("proxy", text(&self.proxy)),
            ("proxy_password", text(&self.proxy_password)),
            ("proxy_username", text(&self.proxy_username)),
            ("repo_gpgcheck", flag(self.repo_gpgcheck)),
            ("retries", text(&self.retries)),
            ("s3_enabled", flag(self.s3_enabled)),
            ("skip_if_unavailable", flag(self.skip_if_unavailable)),
            ("ssl_check_cert_permissions", flag(self.ssl_check_cert_permissions)),
            ("sslcacert", text(&self.sslcacert)),
            ("sslclientcert", text(&self.sslclientcert)),
            ("sslclientkey", text(&self.sslclientkey)),
            ("sslverify", flag(self.sslverify)),
            ("throttle", text(&self.throttle)),
            ("timeout", text(&self.timeout)),
            ("ui_repoid_vars", text(&self.ui_repoid_vars)),
            ("username", text(&self.username)),
        ];
        let lines = options.into_iter().filter_map(|(name, value)| value.map(|value| format!("{name} = {value}\n")));
        format!("[{}]\n{}\n", self.name, lines.collect::<String>())
    }
}

/// The lines of `text` with whether they belong to the section `name`.
fn marked<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = (bool, &'a str)> {
    let mut inside = false;
    text.split_inclusive('\n').map(move |line| {
        if let Some(header) = line.trim_end().strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            inside = header == name;
        }
        (inside, line)
    })
}

fn found(text: &str, name: &str) -> String {
    marked(text, name).filter(|(inside, _)| *inside).map(|(_, line)| line).collect()
}

fn without(text: &str, name: &str) -> String {
    let mut left: String = marked(text, name).filter(|(inside, _)| !*inside).map(|(_, line)| line).collect();
    if !left.is_empty() && !left.ends_with('\n') {
        left.push('\n');
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_found() {
        let text = "# head\n[a]\nx = 1\n\n[b]\ny = 1\n\tz";
        assert_eq!(found(text, "a"), "[a]\nx = 1\n\n");
        assert_eq!(without(text, "a"), "# head\n[b]\ny = 1\n\tz\n");
        assert_eq!(found(text, "c"), "");
    }
}
