//! What changes from run to run: time, environment, load, name servers, kernel parameters, the Python that is there.

use std::path::PathBuf;
use std::time::SystemTime;

use super::{Source, map, put};
use crate::machine::clock::{Moment, Zone};
use crate::machine::{Completed, find_program};
use crate::wire::{Map, Value, parse_float};

pub(super) fn date_time(_source: &Source, facts: &mut Map) {
    const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    let now = SystemTime::now();
    let zone = Zone::of_host();
    let local = Moment::of(now, &zone);
    let universal = Moment::of(now, &Zone::default());
    let epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let (_, summer) = zone.names(i64::try_from(epoch).unwrap_or_default());
    let date = |moment: &Moment| format!("{}-{:02}-{:02}", moment.year, moment.month, moment.day);
    let time = |moment: &Moment| format!("{:02}:{:02}:{:02}", moment.hour, moment.minute, moment.second);
    let short = format!("{}T{}", date(&local).replace('-', ""), time(&local).replace(':', ""));
    let weekday = usize::try_from(local.weekday).unwrap_or_default();
    // Weeks begin on Monday; what is before the first Monday is week 0.
    let week = (local.yearday + 6 - (local.weekday + 6) % 7) / 7;
    let offset = local.period.offset;
    let sign = if offset < 0 { '-' } else { '+' };
    let offset = format!("{sign}{:02}{:02}", offset.abs() / 3600, offset.abs() / 60 % 60);
    let facts_of_time = map([
        ("year", local.year.to_string().into()),
        ("month", format!("{:02}", local.month).into()),
        ("weekday", DAYS.get(weekday).copied().unwrap_or_default().into()),
        ("weekday_number", local.weekday.to_string().into()),
        ("weeknumber", format!("{week:02}").into()),
        ("day", format!("{:02}", local.day).into()),
        ("hour", format!("{:02}", local.hour).into()),
        ("minute", format!("{:02}", local.minute).into()),
        ("second", format!("{:02}", local.second).into()),
        ("epoch", epoch.to_string().into()),
        ("epoch_int", epoch.to_string().into()),
        ("date", date(&local).into()),
        ("time", time(&local).into()),
        ("iso8601_micro", format!("{}T{}.{:06}Z", date(&universal), time(&universal), universal.microsecond).into()),
        ("iso8601", format!("{}T{}Z", date(&universal), time(&universal)).into()),
        ("iso8601_basic", format!("{short}{:06}", local.microsecond).into()),
        ("iso8601_basic_short", short.as_str().into()),
        ("tz", local.period.name.as_str().into()),
        ("tz_dst", summer.into()),
        ("tz_offset", offset.into()),
    ]);
    put(facts, [("date_time", facts_of_time.into())]);
}

pub(super) fn environment(source: &Source, facts: &mut Map) {
    let environment: Map = source.environment.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    put(facts, [("env", environment.into())]);
}

pub(super) fn load(source: &Source, facts: &mut Map) {
    let text = source.text("/proc/loadavg").unwrap_or_default();
    let mut numbers = text.split_whitespace().map(|number| parse_float(number).unwrap_or_default());
    let mut next = || Value::from(numbers.next().unwrap_or_default());
    let load = map([("1m", next()), ("5m", next()), ("15m", next())]);
    put(facts, [("loadavg", load.into())]);
}

/// `/proc/1/root` is another place than ours inside a chroot; where it cannot be seen, a file system's root is known by its number
/// (ext4, XFS, Btrfs), as Ansible does it.
pub(super) fn is_chroot(source: &Source) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &str| source.place(path).metadata().ok().map(|meta| (meta.dev(), meta.ino()));
    let (outside, inside) = (identity("/proc/1/root/."), identity("/"));
    let elsewhere = if outside.is_some() { outside != inside } else { inside.is_some_and(|(_, inode)| ![2, 128, 256].contains(&inode)) };
    elsewhere || std::env::var_os("debian_chroot").is_some()
}

pub(super) fn chroot(source: &Source, facts: &mut Map) {
    put(facts, [("is_chroot", is_chroot(source).into())]);
}

pub(super) fn dns(source: &Source, facts: &mut Map) {
    let mut dns = Map::new();
    for line in source.text("/etc/resolv.conf").unwrap_or_default().lines() {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            continue;
        }
        let mut words = line.split_whitespace();
        let keyword = words.next().unwrap_or_default();
        let values: Vec<&str> = words.collect();
        match keyword {
            "nameserver" => {
                let known = dns.entry("nameservers".to_owned()).or_insert_with(|| Value::List(Vec::new()));
                if let Value::List(known) = known {
                    known.extend(values.into_iter().map(Value::from));
                }
            }
            "domain" => put(&mut dns, [("domain", values.first().copied().unwrap_or_default().into())]),
            "search" => put(&mut dns, [("search", values.into())]),
            "sortlist" => put(&mut dns, [("sortlist", values.into())]),
            "options" => {
                let options = values.into_iter().map(|option| match option.split_once(':') {
                    Some((name, value)) => (name.to_owned(), value.into()),
                    None => (option.to_owned(), true.into()),
                });
                put(&mut dns, [("options", options.collect::<Map>().into())]);
            }
            _ => {}
        }
    }
    put(facts, [("dns", dns.into())]);
}

pub(super) fn command_line(source: &Source, facts: &mut Map) {
    let text = source.text("/proc/cmdline").unwrap_or_default();
    let words = crate::machine::words::split(&text).unwrap_or_default();
    let (mut last, mut all) = (Map::new(), Map::new());
    for word in words {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Value::from(value)),
            None => (word, Value::Bool(true)),
        };
        last.insert(name.clone(), value.clone());
        match all.get_mut(&name) {
            None => drop(all.insert(name, value)),
            Some(Value::List(values)) => values.push(value),
            Some(first) => *first = Value::List(vec![first.clone(), value]),
        }
    }
    put(facts, [("cmdline", last.into()), ("proc_cmdline", all.into())]);
}

/// Playbooks branch on the host's Python, though rappel needs none.
pub(super) fn python(source: &Source, facts: &mut Map) {
    let Some((executable, version)) = interpreter(source) else { return };
    let path = executable.to_string_lossy().into_owned();
    let digits = version.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(version.len());
    let (numbers, pre_release) = version.split_at(digits);
    let mut parts = numbers.split('.').map(|part| part.parse::<i64>().unwrap_or_default());
    let mut next = || parts.next().unwrap_or_default();
    let (major, minor, micro) = (next(), next(), next());
    let level = match pre_release.get(..1) {
        None => "final",
        Some("a") => "alpha",
        Some("b") => "beta",
        Some(_) => "candidate",
    };
    let serial: i64 = pre_release.trim_start_matches(|character: char| character.is_ascii_alphabetic()).parse().unwrap_or_default();
    let named = map([
        ("major", major.into()),
        ("minor", minor.into()),
        ("micro", micro.into()),
        ("releaselevel", level.into()),
        ("serial", serial.into()),
    ]);
    let python = map([
        ("version", named.into()),
        ("version_info", Value::List(vec![major.into(), minor.into(), micro.into(), level.into(), serial.into()])),
        ("executable", path.as_str().into()),
        ("has_sslcontext", true.into()),
        ("type", "cpython".into()),
    ]);
    put(
        facts,
        [
            ("python", python.into()),
            ("python_version", format!("{major}.{minor}.{micro}").into()),
            ("discovered_interpreter_python", path.as_str().into()),
        ],
    );
}

/// The first of the interpreters that Ansible looks for, in the places where systems put it; `-V` answers before the
/// interpreter is set up. `PATH` comes last: shims in it (pyenv) may start for seconds, only to fail.
fn interpreter(source: &Source) -> Option<(PathBuf, String)> {
    let newest = (7..=14).rev().map(|minor| format!("python3.{minor}"));
    let names: Vec<String> = newest.chain(["python3".to_owned()]).collect();
    let places = ["/usr/bin", "/usr/local/bin", "/bin"];
    let usual = names.iter().flat_map(|name| places.map(|place| PathBuf::from(place).join(name)));
    let unusual = ["python3", "python"].iter().filter_map(|name| find_program(name));
    let candidates = source.python.iter().cloned().chain(usual).chain([PathBuf::from("/usr/libexec/platform-python")]).chain(unusual);
    candidates.filter(|path| path.is_file()).find_map(|path| {
        let ran = source.complete(&path, &["-V"]).filter(Completed::succeeded)?;
        let text = ran.stdout_text();
        Some((path, text.trim().strip_prefix("Python ")?.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(collect: fn(&Source, &mut Map), files: &[(&str, &str)]) -> String {
        let (_root, source) = Source::fake(files);
        let mut facts = Map::new();
        collect(&source, &mut facts);
        serde_json::to_string(&facts).unwrap()
    }

    #[test]
    fn files_become_facts() {
        let resolv = "# c\nnameserver 10.0.0.1\nnameserver ::1\nsearch a.b c\noptions ndots:2 rotate\n";
        assert_eq!(
            json(dns, &[("/etc/resolv.conf", resolv)]),
            r#"{"dns":{"nameservers":["10.0.0.1","::1"],"search":["a.b","c"],"options":{"ndots":"2","rotate":true}}}"#
        );
        assert_eq!(
            json(command_line, &[("/proc/cmdline", "ro root=/dev/vda console=tty0 console=ttyS0\n")]),
            concat!(
                r#"{"cmdline":{"ro":true,"root":"/dev/vda","console":"ttyS0"},"#,
                r#""proc_cmdline":{"ro":true,"root":"/dev/vda","console":["tty0","ttyS0"]}}"#
            )
        );
        assert_eq!(json(load, &[("/proc/loadavg", "0.50 1.25 2 1/2 3\n")]), r#"{"loadavg":{"1m":0.5,"5m":1.25,"15m":2.0}}"#);
    }

    #[test]
    fn time_has_all_of_ansibles_forms() {
        let text = json(date_time, &[]);
        let facts: Value = serde_json::from_str(&text).unwrap();
        let time = facts.get("date_time").and_then(Value::as_map).unwrap();
        assert_eq!(time.len(), 20);
        assert_eq!(time["epoch"], time["epoch_int"]);
        assert!(time["iso8601"].to_text().ends_with('Z'));
    }
}
