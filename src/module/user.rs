//! Makes, changes and removes users.
//!
//! ```yaml
//! - user:
//!     name: web
//!     groups: [docker, adm]
//!     append: true
//!     shell: /bin/bash
//!     generate_ssh_key: true
//! ```

mod home;
mod key;
mod shadow;

use super::group::Presence;
use super::prelude::*;
use crate::machine::Undo;
use crate::machine::owner::{Group, User as Entry};
use shadow::Shadow;

choice! {
    /// When a password is set.
    pub enum UpdatePassword { Always = "always", OnCreate = "on_create" }
}

params! {
    pub struct User {
        /// The login name.
        name | user: String,
        /// Whether it shall be there.
        state: Presence = Presence::Present,
        /// The number.
        uid: Option<i64>,
        /// Allow a number that another user has.
        non_unique: bool = false,
        /// The primary group, by name or number.
        group: Option<String>,
        /// Further groups; an empty list for none.
        groups: Option<Vec<String>>,
        /// Leave the groups that the user is in already.
        append: bool = false,
        /// The comment, usually the full name.
        comment: Option<String>,
        /// The home directory.
        home: Option<PathText>,
        /// The login shell.
        shell: Option<PathText>,
        /// The hash of the password: `{{ 'secret' | password_hash('sha512') }}`; `!` or `*` for none.
        password: Option<String>,
        /// Set the password of a user that is there, too.
        update_password: UpdatePassword = UpdatePassword::Always,
        /// Lock or unlock the password; keys still work.
        password_lock: Option<bool>,
        /// The password cannot be changed for this many days.
        password_expire_min: Option<i64>,
        /// The password must be changed after this many days.
        password_expire_max: Option<i64>,
        /// Days of warning before that.
        password_expire_warn: Option<i64>,
        /// Days until a password that was not changed locks the account.
        password_expire_account_disable: Option<i64>,
        /// Take a number from those of the system, when the user is made.
        system: bool = false,
        /// Make the home directory.
        create_home | createhome: bool = true,
        /// Move what is in the old home directory to a new one.
        move_home: bool = false,
        /// Where the first content of the home directory comes from.
        skeleton: Option<String>,
        /// The mask for the mode of the home directory.
        umask: Option<String>,
        /// Remove the home directory too.
        remove: bool = false,
        /// Remove a user that is logged in; make a key over one that is there.
        force: bool = false,
        /// When the account expires, in seconds since the epoch; negative for never.
        expires: Option<f64>,
        /// Make a key for SSH if there is none.
        generate_ssh_key: bool = false,
        /// `rsa`, `ed25519`, `ecdsa`.
        ssh_key_type: String = "rsa",
        /// Its length.
        ssh_key_bits: Option<i64>,
        /// Where it is, relative to the home directory.
        ssh_key_file: Option<PathText>,
        /// Its comment; `ansible-generated on HOST` when not given.
        ssh_key_comment: Option<String>,
        /// Its passphrase.
        ssh_key_passphrase: Option<String>,
        /// Look in the host's own files only, not in directories.
        local: bool = false,
        /// The smallest number to take.
        uid_min: Option<i64>,
        /// The largest number to take.
        uid_max: Option<i64>,
        /// The SELinux user.
        seuser: Option<String>,
        /// The login class. For BSD only.
        login_class: Option<String>,
        /// The profile. For Solaris only.
        profile: Option<String>,
        /// The authorization. For Solaris only.
        authorization: Option<String>,
        /// The role. For Solaris only.
        role: Option<String>,
        /// Hide the user at the login window. For macOS only.
        hidden: Option<bool>,
    }
}

impl Module for User {
    const REVERSIBLE: Reversible = Reversible::BestEffort;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        for (given, name) in [(self.login_class.is_some(), "login_class"), (self.profile.is_some(), "profile"), (self.role.is_some(), "role")] {
            if given {
                machine.warn(format!("`{name}` means nothing on Linux"));
            }
        }
        let found = Entry::named(&self.name);
        if self.state == Presence::Absent {
            return self.remove_user(found.as_ref(), machine);
        }
        self.check_groups()?;
        let unknown = [("umask", self.umask.is_some()), ("uid_min", self.uid_min.is_some()), ("uid_max", self.uid_max.is_some())];
        if let Some((name, _)) = unknown.iter().find(|(_, given)| self.local && *given) {
            return Err(Failure::new(format!("'{name}' can not be used with 'local'")));
        }
        if self.append && self.groups.is_none() {
            machine.warn("'append' is set, but no 'groups' are specified. Use 'groups' for appending new groups. This will change to an error in Ansible 2.14.");
        }
        self.check_password(machine);
        let new = found.is_none();
        match &found {
            None => self.add(machine)?,
            Some(entry) => self.change(entry, machine)?,
        }
        self.age(machine)?;
        self.result(new, machine)
    }
}

impl User {
    /// The groups to be in, without the primary one, which a playbook may list again.
    fn group_names(&self) -> Vec<String> {
        let listed = self.groups.iter().flatten().map(|group| group.trim()).filter(|group| !group.is_empty());
        let primary = self.group.as_deref();
        let mut names = Vec::new();
        for group in listed.filter(|group| Some(*group) != primary) {
            let by_number = group.parse().ok().and_then(Group::numbered).map(|found| found.name);
            let name = by_number.unwrap_or_else(|| group.to_owned());
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    fn check_groups(&self) -> Result<(), Failure> {
        let exists = |name: &str| Group::named(name).is_some() || name.parse().is_ok_and(|gid| Group::numbered(gid).is_some());
        let names = self.group_names();
        let missing = names.iter().map(String::as_str).chain(self.group.as_deref()).find(|name| !exists(name));
        match missing {
            Some(name) => Err(Failure::new(format!("Group {name} does not exist"))),
            None => Ok(()),
        }
    }

    fn check_password(&self, machine: &mut Machine) {
        let Some(password) = &self.password else { return };
        let hash = password.trim_start_matches(['!', '*']);
        let fields: Vec<&str> = hash.split('$').collect();
        let sum = fields.last().copied().unwrap_or_default();
        let length = match fields.get(1).copied() {
            Some("1") => 22,
            Some("5") => 43,
            Some("6") => 86,
            _ => sum.len(),
        };
        let right = sum.len() == length && sum.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./=".contains(&byte));
        if !(hash.is_empty() || fields.len() >= 3 && right) {
            machine.warn("The input password appears not to have been hashed. The 'password' argument must be encrypted for this module to work properly.");
        }
    }

    fn add(&self, machine: &mut Machine) -> Result<(), Failure> {
        if self.local {
            return self.add_local(machine);
        }
        let mut command = Command::new("useradd").plain();
        let mut option = |flag: &str, value: Option<String>| {
            if let Some(value) = value {
                command.argv.extend([flag.into(), value.into()]);
            }
        };
        option("-u", self.uid.map(|uid| uid.to_string()));
        option("-g", self.group.clone());
        option("-G", Some(self.group_names().join(",")).filter(|groups| !groups.is_empty()));
        option("-c", self.comment.clone());
        option("-d", self.home.as_ref().map(|home| machine.path(&home.0).to_string_lossy().into_owned()));
        option("-s", self.shell.as_ref().map(|shell| machine.path(&shell.0).to_string_lossy().into_owned()));
        option("-e", self.expires.map(|seconds| if seconds < 0.0 { String::new() } else { shadow::date(seconds) }));
        option("-K", self.umask.as_ref().map(|umask| format!("UMASK={umask}")));
        option("-K", self.uid_min.map(|uid| format!("UID_MIN={uid}")));
        option("-K", self.uid_max.map(|uid| format!("UID_MAX={uid}")));
        option("-Z", self.seuser.clone());
        if self.create_home {
            option("-k", self.skeleton.clone());
        }
        let group_of_own_name = self.group.is_none() && Group::named(&self.name).is_some();
        let flags = [
            (self.uid.is_some() && self.non_unique, "-o"),
            (group_of_own_name, "-N"),
            (self.system, "-r"),
            (self.create_home, "-m"),
            (!self.create_home, "-M"),
        ];
        command = command.args(flags.into_iter().filter(|(given, _)| *given).map(|(_, flag)| flag));
        if group_of_own_name {
            command = command.args(["-g", &self.name]);
        }
        machine.act(&command.arg(&self.name), self.undo_of_adding())?;
        if let Some(password) = &self.password {
            let locked = self.password_lock == Some(true) && !password.starts_with('!');
            self.set_password(&if locked { format!("!{password}") } else { password.clone() }, Undo::Nothing, machine)?;
        }
        Ok(())
    }

    /// Makes the user by libuser's tool, which asks no directory whether there is one; it knows less than the others.
    fn add_local(&self, machine: &mut Machine) -> Result<(), Failure> {
        let path = |path: &Option<PathText>| path.as_ref().map(|path| machine.path(&path.0).to_string_lossy().into_owned());
        let group_of_own_name = self.group.is_none() && Group::named(&self.name).is_some();
        let values = [
            ("-u", self.uid.map(|uid| uid.to_string())),
            ("-g", self.group.clone().or_else(|| group_of_own_name.then(|| self.name.clone()))),
            ("-c", self.comment.clone()),
            ("-d", path(&self.home)),
            ("-s", path(&self.shell)),
            ("-k", self.skeleton.clone().filter(|_| self.create_home)),
        ];
        let flags = [(group_of_own_name, "-n"), (self.system, "-r"), (!self.create_home, "-M")];
        let mut command = Command::new("luseradd").plain();
        command = command.args(values.into_iter().filter_map(|(flag, value)| Some([flag.to_owned(), value?])).flatten());
        command = command.args(flags.into_iter().filter(|(given, _)| *given).map(|(_, flag)| flag));
        machine.act(&command.arg(&self.name), self.undo_of_adding())?;
        // What it cannot be told; the user is there now, except in check mode.
        match Entry::named(&self.name) {
            Some(entry) => self.change(&entry, machine),
            None => Ok(()),
        }
    }

    fn undo_of_adding(&self) -> Undo {
        Undo::Command(format!("remove the user {}", self.name), vec!["userdel".into(), "-r".into(), self.name.clone()])
    }

    /// By standard input: everybody can read the arguments of a program.
    fn set_password(&self, hash: &str, undo: Undo, machine: &mut Machine) -> Result<(), Failure> {
        let command = Command::new("chpasswd").arg("-e").plain().stdin(format!("{}:{hash}\n", self.name));
        machine.act(&command, undo).map(drop)
    }

    fn change(&self, entry: &Entry, machine: &mut Machine) -> Result<(), Failure> {
        let mut wanted = Changes::default();
        if let Some(uid) = self.uid.filter(|uid| *uid != i64::from(entry.uid)) {
            wanted.set("-u", &uid.to_string(), &entry.uid.to_string());
            if self.non_unique {
                wanted.forward.push("-o".to_owned());
            }
        }
        if let Some(group) = &self.group {
            let gid = Group::named(group).map(|found| found.gid).or_else(|| group.parse().ok());
            if gid != Some(entry.gid) {
                wanted.set("-g", group, &entry.gid.to_string());
            }
        }
        self.change_groups(entry, &mut wanted);
        if let Some(comment) = self.comment.as_ref().filter(|comment| **comment != entry.gecos) {
            wanted.set("-c", comment, &entry.gecos);
        }
        if let Some(home) = self.home.as_ref().map(|home| machine.path(&home.0)).filter(|home| *home != entry.home) {
            wanted.set("-d", &home.to_string_lossy(), &entry.home.to_string_lossy());
            if self.move_home {
                wanted.forward.push("-m".to_owned());
                wanted.back.push("-m".to_owned());
            }
        }
        if let Some(shell) = self.shell.as_ref().map(|shell| machine.path(&shell.0)).filter(|shell| *shell != entry.shell) {
            wanted.set("-s", &shell.to_string_lossy(), &entry.shell.to_string_lossy());
        }
        let shadow = Shadow::of(&self.name, machine)?;
        if let Some(seconds) = self.expires {
            let days = shadow::days(seconds);
            if days != shadow.expires || !shadow.there {
                let text = days.map_or_else(String::new, |_| shadow::date(seconds));
                wanted.set("-e", &text, &shadow.expires.map_or_else(String::new, shadow::date_of_days));
            }
        }
        self.change_lock(&shadow, &mut wanted);
        if !wanted.forward.is_empty() {
            let back = std::iter::once("usermod".to_owned()).chain(wanted.back).chain([self.name.clone()]).collect();
            let undo = Undo::Command(format!("give the user {} back what it was", self.name), back);
            machine.act(&Command::new("usermod").plain().args(wanted.forward).arg(&self.name), undo)?;
        }
        self.change_password(&shadow, machine)?;
        if self.create_home { home::make(self, entry, machine) } else { Ok(()) }
    }

    fn change_groups(&self, entry: &Entry, wanted: &mut Changes) {
        if self.groups.is_none() {
            return;
        }
        let mut now = shadow::groups_of(&entry.name);
        let listed = self.group_names();
        // The primary group of the file is no further group.
        let primary = Group::numbered(entry.gid).map(|group| group.name);
        now.retain(|name| Some(name) != primary.as_ref() || listed.contains(name));
        let missing = listed.iter().any(|name| !now.contains(name));
        let surplus = !self.append && now.iter().any(|name| !listed.contains(name));
        if missing || surplus {
            wanted.set("-G", &listed.join(","), &now.join(","));
            if self.append {
                wanted.forward.push("-a".to_owned());
            }
        }
    }

    fn change_lock(&self, shadow: &Shadow, wanted: &mut Changes) {
        match self.password_lock {
            Some(true) if !shadow.locked() => wanted.flag("-L", "-U"),
            Some(false) if shadow.locked() => wanted.flag("-U", "-L"),
            _ => {}
        }
    }

    fn change_password(&self, shadow: &Shadow, machine: &mut Machine) -> Result<(), Failure> {
        let Some(password) = self.password.as_ref().filter(|_| self.update_password == UpdatePassword::Always) else { return Ok(()) };
        // A lock is a mark before the hash; it is compared apart, above.
        if shadow.hash().trim_start_matches('!') == password.trim_start_matches('!') && (self.password_lock.is_some() || shadow.hash() == password) {
            return Ok(());
        }
        let keep_locked = self.password_lock == Some(true) && !password.starts_with('!');
        let hash = if keep_locked { format!("!{password}") } else { password.clone() };
        // The journal must not hold a hash in clear, so the old one does not come back.
        self.set_password(&hash, Undo::Impossible(format!("the password of {}", self.name)), machine)
    }

    /// The ages of the password, which only `chage` sets.
    fn age(&self, machine: &mut Machine) -> Result<(), Failure> {
        let shadow = Shadow::of(&self.name, machine)?;
        let fields = [
            ("-m", self.password_expire_min, shadow.min),
            ("-M", self.password_expire_max, shadow.max),
            ("-W", self.password_expire_warn, shadow.warn),
            ("-I", self.password_expire_account_disable, shadow.inactive),
        ];
        let (mut forward, mut back) = (Vec::new(), vec!["chage".to_owned()]);
        for (flag, wanted, now) in fields {
            if let Some(wanted) = wanted.filter(|wanted| Some(*wanted) != now) {
                forward.extend([flag.to_owned(), wanted.to_string()]);
                back.extend([flag.to_owned(), now.unwrap_or(-1).to_string()]);
            }
        }
        if forward.is_empty() {
            return Ok(());
        }
        back.push(self.name.clone());
        let undo = Undo::Command(format!("give the password of {} its ages back", self.name), back);
        machine.act(&Command::new("chage").plain().args(forward).arg(&self.name), undo).map(drop)
    }

    fn remove_user(&self, found: Option<&Entry>, machine: &mut Machine) -> Result<Outcome, Failure> {
        let base = |machine: &mut Machine| machine.outcome().with("name", self.name.as_str()).with("state", "absent");
        let Some(entry) = found else { return Ok(base(machine)) };
        let mut command = Command::new("userdel").plain();
        for (given, flag) in [(self.force, "-f"), (self.remove, "-r")] {
            if given {
                command = command.arg(flag);
            }
        }
        let again = ["useradd", "-M", "-o", "-u", &entry.uid.to_string(), "-g", &entry.gid.to_string(), "-c", &entry.gecos];
        let mut again: Vec<String> = again.map(str::to_owned).to_vec();
        again.extend(["-d", &entry.home.to_string_lossy(), "-s", &entry.shell.to_string_lossy(), &entry.name].map(str::to_owned));
        let loss = if self.remove { " (its home directory is lost)" } else { " (its password is lost)" };
        let ran = machine.act(&command.arg(&self.name), Undo::Command(format!("make the user {} again{loss}", self.name), again))?;
        let outcome = base(machine).with("force", self.force).with("remove", self.remove);
        Ok(if ran.stderr.is_empty() { outcome } else { outcome.with("stderr", ran.stderr_text()) })
    }

    fn result(&self, new: bool, machine: &mut Machine) -> Result<Outcome, Failure> {
        let Some(entry) = Entry::named(&self.name) else {
            // Check mode has not made it.
            return Ok(machine.outcome().with("name", self.name.as_str()).with("state", "present"));
        };
        let key = if self.generate_ssh_key { Some(key::generate(self, &entry, machine)?) } else { None };
        let mut outcome = machine.outcome().with("name", self.name.as_str()).with("state", "present");
        outcome = if new {
            outcome.with("create_home", self.create_home).with("system", self.system)
        } else {
            outcome.with("append", self.append).with("move_home", self.move_home)
        };
        if let Some(groups) = &self.groups {
            outcome = outcome.with("groups", groups.join(","));
        }
        if self.password.is_some() {
            outcome = outcome.with("password", "NOT_LOGGING_PASSWORD");
        }
        outcome = outcome.with("uid", entry.uid).with("group", entry.gid).with("comment", entry.gecos);
        outcome = outcome.with("home", entry.home.to_string_lossy().into_owned()).with("shell", entry.shell.to_string_lossy().into_owned());
        Ok(outcome.with_all(key.unwrap_or_default()))
    }
}

/// Options for usermod, and those that bring back what was.
#[derive(Default)]
struct Changes {
    forward: Vec<String>,
    back: Vec<String>,
}

impl Changes {
    fn set(&mut self, flag: &str, wanted: &str, now: &str) {
        self.forward.extend([flag.to_owned(), wanted.to_owned()]);
        self.back.extend([flag.to_owned(), now.to_owned()]);
    }

    fn flag(&mut self, wanted: &str, back: &str) {
        self.forward.push(wanted.to_owned());
        self.back.push(back.to_owned());
    }
}
