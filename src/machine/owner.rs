//! Users and groups, without NSS: a static program crashes in `getpwnam`, so files are read and `getent` is asked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// One line of `passwd(5)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Number.
    pub uid: u32,
    /// Number of the primary group.
    pub gid: u32,
    /// Comment.
    pub gecos: String,
    /// Home directory.
    pub home: PathBuf,
    /// Login shell.
    pub shell: PathBuf,
}

/// One line of `group(5)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Number.
    pub gid: u32,
    /// Members beside those who have it as primary group.
    pub members: Vec<String>,
}

impl User {
    /// Reads a line of `passwd(5)`.
    pub fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let (gecos, home, shell) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Self { name: name.into(), uid, gid, gecos: gecos.into(), home: home.into(), shell: shell.trim_end().into() })
    }

    /// The user with this name.
    pub fn named(name: &str) -> Option<Self> {
        find("passwd", name, Self::parse, |user| user.name == name)
    }

    /// The user with this number.
    pub fn numbered(uid: u32) -> Option<Self> {
        find("passwd", &uid.to_string(), Self::parse, |user| user.uid == uid)
    }
}

impl Group {
    /// Reads a line of `group(5)`.
    pub fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let gid = fields.next()?.parse().ok()?;
        let members = fields.next().unwrap_or_default().trim_end();
        Some(Self { name: name.into(), gid, members: members.split(',').filter(|member| !member.is_empty()).map(str::to_owned).collect() })
    }

    /// The group with this name.
    pub fn named(name: &str) -> Option<Self> {
        find("group", name, Self::parse, |group| group.name == name)
    }

    /// The group with this number.
    pub fn numbered(gid: u32) -> Option<Self> {
        find("group", &gid.to_string(), Self::parse, |group| group.gid == gid)
    }
}

/// Looks in the file first, then asks `getent`, which knows remote directories.
fn find<T>(database: &str, key: &str, parse: fn(&str) -> Option<T>, wanted: impl Fn(&T) -> bool) -> Option<T> {
    let file = std::fs::read_to_string(format!("/etc/{database}")).unwrap_or_default();
    if let Some(found) = file.lines().filter_map(parse).find(&wanted) {
        return Some(found);
    }
    // `--` is not understood by every getent, and a name that starts with a dash is no name.
    if key.is_empty() || key.starts_with('-') {
        return None;
    }
    let asked = Command::new("getent").args([database, key]).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let answer = String::from_utf8_lossy(&asked.stdout);
    answer.lines().filter_map(parse).find(wanted)
}

/// The number of a user given by name or number.
pub fn user_id(text: &str) -> Option<u32> {
    User::named(text).map(|user| user.uid).or_else(|| text.parse().ok())
}

/// The number of a group given by name or number.
pub fn group_id(text: &str) -> Option<u32> {
    Group::named(text).map(|group| group.gid).or_else(|| text.parse().ok())
}

/// Names of users and groups that were looked up once: of whole trees, each has thousands.
#[derive(Debug, Default)]
pub struct Names {
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
}

impl Names {
    /// The user's name, or its number when nobody knows a name.
    pub fn user(&mut self, uid: u32) -> &str {
        self.users.entry(uid).or_insert_with(|| User::numbered(uid).map_or_else(|| uid.to_string(), |user| user.name))
    }

    /// The group's name, or its number when nobody knows a name.
    pub fn group(&mut self, gid: u32) -> &str {
        self.groups.entry(gid).or_insert_with(|| Group::numbered(gid).map_or_else(|| gid.to_string(), |group| group.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let user = User::parse("web:x:33:34:Web,,,:/var/www:/usr/sbin/nologin").unwrap();
        assert_eq!((user.name.as_str(), user.uid, user.gid, user.home.to_str()), ("web", 33, 34, Some("/var/www")));
        let group = Group::parse("adm:x:4:syslog,ops").unwrap();
        assert_eq!((group.gid, group.members), (4, vec!["syslog".to_owned(), "ops".to_owned()]));
        assert_eq!(Group::parse("empty:x:5:").unwrap().members, Vec::<String>::new());
        for broken in ["", "#comment", "web:x", "web:x:abc:1:::"] {
            assert_eq!(User::parse(broken), None);
        }
    }

    #[test]
    fn the_system_is_asked() {
        assert_eq!(user_id("root"), Some(0));
        assert_eq!(group_id("4294"), Some(4294));
        assert_eq!(user_id("no-such-user-here"), None);
    }
}
