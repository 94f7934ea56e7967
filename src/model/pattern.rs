//! Host patterns: `web:&prod:!db[0]`, `~web\d+`, `*.example.com`, as `hosts:` and `--limit` take them.

use std::path::Path;

use indexmap::IndexSet;

use super::inventory::{ALL, Host, Inventory};
use crate::module::glob;
use crate::regex::Regex;
use crate::text::{Diagnostic, Diagnostics, Sources, Span, Spanned, did_you_mean};

/// A host pattern, read: its terms in the order in which they are applied.
#[derive(Clone, Debug, Default)]
pub struct Pattern {
    terms: Vec<Term>,
}

#[derive(Clone, Debug)]
struct Term {
    role: Role,
    /// The term without `&` or `!`.
    text: String,
    /// The term without its subscript, if it has one.
    stem: Option<(String, Subscript)>,
    span: Span,
}

/// What a term does; in the order in which Ansible applies them, wherever they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Add,
    Keep,
    Remove,
}

/// Both bounds belong to it. A missing end means "to the last".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subscript {
    At(i64),
    Range(usize, Option<usize>),
}

impl Pattern {
    /// Reads one or several patterns: the entries of a `hosts:` list count as one pattern.
    pub fn parse(texts: &[Spanned<String>]) -> Self {
        let mut terms: Vec<_> = texts.iter().flat_map(split).filter_map(|term| Term::parse(&term)).collect();
        // Ansible looks at the first term only: an addition behind it does not start from nothing.
        if terms.iter().all(|term| term.role != Role::Add) {
            terms.extend(Term::parse(&Spanned::new(ALL.to_owned(), Span::default())));
        }
        terms.sort_by_key(|term| term.role);
        Self { terms }
    }

    /// Reads what `--limit` was given. `@FILE` stands for the lines of a file.
    ///
    /// # Errors
    /// If such a file cannot be read.
    pub fn limit(sources: &Sources, text: &str) -> Result<Self, Diagnostic> {
        let id = sources.add("--limit", text);
        let mut texts = Vec::new();
        for part in split(&Spanned::new(text.to_owned(), Span::new(id, 0, text.len()))) {
            let Some(file) = part.value.strip_prefix('@') else {
                texts.push(part);
                continue;
            };
            if Path::new(file).is_dir() {
                return Err(
                    Diagnostic::error("unreadable", format!("`--limit @FILE` must be a file, not a directory: {file}")).at(part.span, "")
                );
            }
            let lines = sources.read(Path::new(file)).map_err(|error| {
                Diagnostic::error("unreadable", format!("cannot read the limit file `{file}`: {error}")).at(part.span, "")
            })?;
            let mut start = 0;
            for line in sources.get(lines).text.split_inclusive('\n') {
                texts.push(Spanned::new(line.trim().to_owned(), Span::new(lines, start, start + line.trim_end().len())));
                start += line.len();
            }
        }
        Ok(Self::parse(&texts))
    }
}

/// The terms of a pattern: apart by commas, or else by colons (and white space) outside brackets. An IPv6 address is one term.
fn split(pattern: &Spanned<String>) -> Vec<Spanned<String>> {
    let term = |text: &str| Spanned::new(text.trim().to_owned(), pattern.span);
    let text = pattern.value.as_str();
    if text.contains(',') {
        return text.split(',').map(term).collect();
    }
    if text.trim().parse::<std::net::Ipv6Addr>().is_ok() {
        return vec![term(text)];
    }
    let mut depth = 0;
    let ends = |letter: char| {
        depth += i32::from(letter == '[') - i32::from(letter == ']');
        depth <= 0 && (letter == ':' || letter.is_whitespace())
    };
    text.split(ends).map(term).collect()
}

impl Term {
    fn parse(term: &Spanned<String>) -> Option<Self> {
        let (role, text) = match term.value.split_at_checked(1) {
            Some(("&", rest)) => (Role::Keep, rest),
            Some(("!", rest)) => (Role::Remove, rest),
            _ => (Role::Add, term.value.as_str()),
        };
        // Brackets at the end of a regular expression belong to it.
        let stem = subscript(text).filter(|_| !text.starts_with('~')).map(|(stem, subscript)| (stem.to_owned(), subscript));
        (!text.is_empty()).then(|| Self { role, text: text.to_owned(), stem, span: term.span })
    }
}

/// `web[0]`, `web[-1]`, `web[1:3]`, `web[2:]`. What looks otherwise is a wildcard's set of characters.
fn subscript(text: &str) -> Option<(&str, Subscript)> {
    let (stem, inner) = text.strip_suffix(']')?.rsplit_once('[').filter(|(stem, _)| !stem.is_empty())?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((start, end)) = inner.split_once(':') else {
        let number = inner.strip_prefix('-').unwrap_or(inner);
        return digits(number).then(|| Some((stem, Subscript::At(inner.parse().ok()?))))?;
    };
    match (digits(start), end.is_empty(), digits(end)) {
        (true, true, _) => Some((stem, Subscript::Range(start.parse().ok()?, None))),
        (true, _, true) => Some((stem, Subscript::Range(start.parse().ok()?, Some(end.parse().ok()?)))),
        _ => None,
    }
}

impl Pattern {
    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }
}

impl Inventory {
    /// The hosts that `pattern` means, and `limit` allows: in the order of the pattern's terms, and of the inventory within a term.
    ///
    /// A term that means nobody is a warning, as in Ansible.
    pub fn select(&self, pattern: &Pattern, limit: Option<&Pattern>, diags: &mut Diagnostics) -> Vec<&Host> {
        let mut selected = self.matching(pattern, diags);
        if let Some(limit) = limit {
            let allowed = self.matching(limit, &mut Diagnostics::default());
            selected.retain(|name| allowed.contains(name));
        }
        selected.iter().filter_map(|name| self.host(name)).collect()
    }

    /// Whether `limit` leaves any host, which Ansible asks before a run.
    ///
    /// # Errors
    /// If it leaves none although there are hosts.
    pub fn check_limit(&self, limit: &Pattern, diags: &mut Diagnostics) -> Result<(), Diagnostic> {
        let all = self.members(ALL);
        if all.is_empty() || self.matching(limit, diags).iter().any(|name| all.contains(name)) {
            return Ok(());
        }
        let span = limit.terms.first().map(|term| term.span).unwrap_or_default();
        let message = "Specified inventory, host pattern and/or --limit leaves us with no hosts to target.";
        Err(Diagnostic::error("no-hosts", message).at(span, ""))
    }

    fn matching(&self, pattern: &Pattern, diags: &mut Diagnostics) -> IndexSet<&str> {
        let mut selected = IndexSet::new();
        for term in &pattern.terms {
            let found = match self.meant(term) {
                Ok(found) => found,
                Err(diagnostic) => {
                    diags.push(diagnostic);
                    IndexSet::new()
                }
            };
            if found.is_empty()
                && term.stem.is_none()
                && term.text != ALL
                && term.text != "*"
                && !self.names().any(|name| name == term.text)
            {
                diags.push(self.unmatched(term));
            }
            match term.role {
                Role::Add => selected.extend(found),
                Role::Keep => selected.retain(|name| found.contains(name)),
                Role::Remove => selected.retain(|name| !found.contains(name)),
            }
        }
        selected
    }

    fn unmatched(&self, term: &Term) -> Diagnostic {
        let text = &term.text;
        let warning = Diagnostic::warning("unmatched-pattern", format!("Could not match supplied host pattern, ignoring: {text}"));
        let warning = warning.at(term.span, "");
        match did_you_mean(text, self.names()) {
            _ if text.contains(':') => warning.help("use commas or colons between patterns, not both"),
            Some(meant) => warning.help(format!("did you mean `{meant}`?")),
            None => warning,
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.groups().map(|group| group.name.as_str()).chain(self.hosts().map(|host| host.name.as_str()))
    }

    /// The hosts that one term means.
    fn meant(&self, term: &Term) -> Result<IndexSet<&str>, Diagnostic> {
        let whole = self.exactly(&term.text);
        let Some((stem, subscript)) = &term.stem else {
            return if whole.is_empty() { self.by_wildcard(&term.text, term.span) } else { Ok(whole) };
        };
        if !whole.is_empty() {
            return Ok(whole);
        }
        let mut found = self.exactly(stem);
        if found.is_empty() {
            found = self.by_wildcard(stem, term.span)?;
        }
        subscripted(&found, *subscript).ok_or_else(|| {
            let message = format!("No hosts matched the subscripted pattern '{}'", term.text);
            Diagnostic::error("no-such-host", message).at(term.span, format!("`{stem}` has {} hosts, counted from 0", found.len()))
        })
    }

    /// The hosts of the group `name` and the host `name`; the local machine by its names.
    fn exactly(&self, name: &str) -> IndexSet<&str> {
        let mut found = self.members(if name == "*" { ALL } else { name });
        found.extend(self.host(name).map(|host| host.name.as_str()));
        found
    }

    /// The hosts of all groups whose name matches, then the hosts whose own name does.
    fn by_wildcard(&self, text: &str, span: Span) -> Result<IndexSet<&str>, Diagnostic> {
        let matches: Box<dyn Fn(&str) -> bool> = match text.strip_prefix('~') {
            Some(regex) => {
                let regex = Regex::new(regex).map_err(|error| {
                    Diagnostic::error("host-pattern", format!("`{text}` is no regular expression")).at(span, error.to_string())
                })?;
                Box::new(move |name| regex.begins(name).unwrap_or(false))
            }
            None if glob::is_pattern(text) => Box::new(|name| glob::matches(text, name)),
            None => return Ok(IndexSet::new()),
        };
        let mut found = IndexSet::new();
        for group in self.groups().filter(|group| matches(&group.name)) {
            found.extend(self.members(&group.name));
        }
        found.extend(self.hosts().map(|host| host.name.as_str()).filter(|name| matches(name)));
        Ok(found)
    }
}

fn subscripted<'a>(found: &IndexSet<&'a str>, subscript: Subscript) -> Option<IndexSet<&'a str>> {
    if found.is_empty() {
        return Some(IndexSet::new());
    }
    match subscript {
        Subscript::At(index) => {
            let length = i64::try_from(found.len()).ok()?;
            let index = usize::try_from(if index < 0 { index + length } else { index }).ok()?;
            found.get_index(index).map(|name| IndexSet::from([*name]))
        }
        Subscript::Range(start, end) => {
            let length = end.map_or(usize::MAX, |end| (end + 1).saturating_sub(start));
            Some(found.iter().skip(start).take(length).copied().collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn group(inventory: &mut Inventory, group: &str, hosts: &[&str]) {
        for host in hosts {
            inventory.add_host(host, &[group.to_owned()], Vec::new());
        }
    }

    /// The inventory that the answers below were recorded with.
    fn recorded() -> Inventory {
        let mut inventory = Inventory::default();
        inventory.add_child("site", "db").unwrap();
        inventory.add_child("site", "web").unwrap();
        inventory.add_host("z1", &[], Vec::new());
        inventory.add_host("b1", &[], Vec::new());
        group(&mut inventory, "web", &["web1", "web2", "web3", "web4", "web5"]);
        group(&mut inventory, "db", &["db1", "db2", "db3", "web2"]);
        group(&mut inventory, "v6g", &["2001:db8::1"]);
        inventory
    }

    fn select(inventory: &Inventory, texts: &[&str]) -> (String, Vec<String>) {
        let texts: Vec<_> = texts.iter().map(|text| Spanned::new((*text).to_owned(), Span::default())).collect();
        let mut diags = Diagnostics::default();
        let hosts = inventory.select(&Pattern::parse(&texts), None, &mut diags);
        (
            hosts.iter().map(|host| host.name.as_str()).collect::<Vec<_>>().join(" "),
            diags.iter().map(|found| found.message.clone()).collect(),
        )
    }

    /// Recorded from ansible-core 2.19.
    #[test]
    fn selects_as_ansible_does() {
        let cases = [
            ("web:db", "web1 web2 web3 web4 web5 db1 db2 db3"),
            ("db:web", "db1 db2 db3 web2 web1 web3 web4 web5"),
            ("web,db", "web1 web2 web3 web4 web5 db1 db2 db3"),
            ("web:&db", "web2"),
            ("&db:web", "web2"),
            ("site:!db", "web1 web3 web4 web5"),
            ("!web", "z1 b1 2001:db8::1 db1 db2 db3"),
            ("!web1:all:&web", "web2 web3 web4 web5"),
            ("web[0]", "web1"),
            ("web[-1]", "web5"),
            ("web[1:3]", "web2 web3 web4"),
            ("web[2:]", "web3 web4 web5"),
            ("web[3:9]", "web4 web5"),
            ("web[9:]", ""),
            ("web[:2]", "web2"),
            ("web[1:-1]", "web1"),
            ("web[0:1:2]", "web1 web2"),
            ("web[!1]", "web2 web3 web4 web5"),
            ("we[ab]1", "web1"),
            ("w*", "web1 web2 web3 web4 web5"),
            ("w?b1", "web1"),
            ("*1", "z1 b1 web1 db1 2001:db8::1"),
            ("web*[0]", "web1"),
            ("~web[13]", "web1 web3"),
            ("~(web|db)1", "web1 db1"),
            ("~b1", "b1"),
            ("~db.*[1]", "db1"),
            ("ungrouped", "z1 b1"),
            ("2001:db8::1", "2001:db8::1"),
            ("2001:db8::1,web1", "2001:db8::1 web1"),
            ("web1 db1", "web1 db1"),
            ("web1 , db1", "web1 db1"),
            (":web1:", "web1"),
            ("web,!web[0],&site", "web2 web3 web4 web5"),
            ("localhost:web1", "localhost web1"),
            ("localhost[0]", "localhost"),
            ("::1", "::1"),
            ("web[00]", "web1"),
            ("web[1]:web[1]", "web2"),
        ];
        for (pattern, expected) in cases {
            assert_eq!(select(&recorded(), &[pattern]), (expected.to_owned(), Vec::new()), "{pattern}");
        }
        assert_eq!(select(&recorded(), &["web1:db1", "z1"]).0, "web1 db1 z1");
        assert_eq!(select(&recorded(), &["!web1", "web"]).0, "web2 web3 web4 web5");
    }

    #[test]
    fn says_what_matches_nothing() {
        let ignored = |text: &str| format!("Could not match supplied host pattern, ignoring: {text}");
        let cases = [
            ("nope", "", ignored("nope")),
            ("nope:web1", "web1", ignored("nope")),
            ("web1:!nope", "web1", ignored("nope")),
            ("web1:&nope", "", ignored("nope")),
            ("WEB", "", ignored("WEB")),
            ("local*", "", ignored("local*")),
            ("web:db2,z1", "z1", ignored("web:db2")),
            ("[::1]", "", ignored("[::1]")),
            ("web[7]", "", "No hosts matched the subscripted pattern 'web[7]'".to_owned()),
            ("web[-9]", "", "No hosts matched the subscripted pattern 'web[-9]'".to_owned()),
            ("~*", "", "`~*` is no regular expression".to_owned()),
        ];
        for (pattern, hosts, message) in cases {
            assert_eq!(select(&recorded(), &[pattern]).0, hosts, "{pattern}");
            assert!(select(&recorded(), &[pattern]).1.contains(&message), "{pattern}: {:?}", select(&recorded(), &[pattern]).1);
        }
    }

    #[test]
    fn a_limit_may_come_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("limit");
        std::fs::write(&file, "web1\n\nweb2 \n!web1\n").unwrap();
        let (sources, inventory, mut diags) = (Sources::default(), recorded(), Diagnostics::default());
        let site = Pattern::parse(&[Spanned::new("site:localhost".into(), Span::default())]);
        let mut limited = |limit: &str| {
            let limit = Pattern::limit(&sources, limit).unwrap();
            let hosts: Vec<_> = inventory.select(&site, Some(&limit), &mut diags).iter().map(|host| host.name.clone()).collect();
            (hosts.join(" "), inventory.check_limit(&limit, &mut diags).is_ok())
        };
        assert_eq!(limited(&format!("@{}", file.display())), ("web2".to_owned(), true));
        assert_eq!(limited("db:!web2"), ("db1 db2 db3".to_owned(), true));
        assert_eq!(limited("!nope").0, "db1 db2 db3 web2 web1 web3 web4 web5", "the implicit localhost is not in `all`");
        assert_eq!(limited("z1"), (String::new(), true));
        assert_eq!(limited("nope"), (String::new(), false));
        assert_eq!(limited("localhost"), ("localhost".to_owned(), false));
        assert!(Pattern::limit(&sources, "@/no/such/file").is_err());
    }

    proptest! {
        /// Against sets: union, then intersection, then difference.
        #[test]
        fn selects_what_sets_say(terms in prop::collection::vec((0_u8..3, 0_usize..4), 1..6)) {
            let groups: [(&str, &[u8]); 4] = [("a", &[1, 2, 3]), ("b", &[2, 3, 4]), ("c", &[5]), ("all", &[1, 2, 3, 4, 5])];
            let mut inventory = Inventory::default();
            for (name, hosts) in &groups[..3] {
                for host in *hosts {
                    inventory.add_host(&format!("h{host}"), &[(*name).to_owned()], Vec::new());
                }
            }
            let members = |wanted: u8| terms.iter().filter(move |(role, _)| *role == wanted).map(|(_, group)| groups[*group].1);
            let mut expected: Vec<u8> = members(0).flatten().copied().collect();
            if members(0).next().is_none() {
                expected = vec![1, 2, 3, 4, 5];
            }
            expected.retain(|host| members(1).all(|group| group.contains(host)) && !members(2).any(|group| group.contains(host)));
            expected.sort_unstable();
            expected.dedup();
            let text: Vec<_> = terms.iter().map(|(role, group)| format!("{}{}", ["", "&", "!"][usize::from(*role)], groups[*group].0)).collect();
            let (found, warnings) = select(&inventory, &[&text.join(":")]);
            let mut found: Vec<u8> = found.split_whitespace().map(|name| name[1..].parse().unwrap()).collect();
            found.sort_unstable();
            prop_assert_eq!(found, expected, "{:?}", text);
            prop_assert!(warnings.is_empty());
        }

        /// Nothing that can be typed makes it stop.
        #[test]
        fn takes_any_text(text in ".{0,20}|[a-z~*\\[\\]!&:,0-9-]{0,12}") {
            select(&recorded(), &[&text]);
        }
    }
}
