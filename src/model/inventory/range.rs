//! Host names as inventories write them: with a port, and with ranges that stand for many hosts.

use crate::text::{Diagnostic, Spanned};

/// More hosts than this from one name are a slip of the pen.
const LIMIT: usize = 1_000_000;
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// What a host name of an inventory stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Expanded {
    pub names: Vec<String>,
    pub port: Option<i64>,
}

/// Takes off the port and expands ranges: `web[01:20].example.com:2222`, `db-[a:f]`, `node[0:8:2]`.
pub(super) fn expand(pattern: &Spanned<String>) -> Result<Expanded, Diagnostic> {
    let error = |message: String| Diagnostic::error("host-range", message).at(pattern.span, "");
    if pattern.value.ends_with(':') {
        let help = "a port comes behind the colon; in YAML, check the indentation and the file's extension";
        return Err(error(format!("host `{}` ends with a colon", pattern.value)).help(help));
    }
    let (name, port) = split_port(&pattern.value);
    let names = names(name).map_err(|problem| error(format!("host `{}`: {}", pattern.value, problem.0)).help(problem.1))?;
    Ok(Expanded { names, port })
}

/// A single host's name and port, without ranges.
pub(super) fn address(text: &str) -> (&str, Option<i64>) {
    if text.contains('[') && !text.starts_with('[') { (text, None) } else { split_port(text) }
}

/// The name and port of `name`, `name:22`, `[name]:22`; an IPv6 address keeps its colons.
fn split_port(text: &str) -> (&str, Option<i64>) {
    let whole = (text, None);
    let Some((name, port)) = text.rsplit_once(':') else { return whole };
    let Ok(port) = port.parse::<u32>() else { return whole };
    if let Some(inner) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'))
        && is_name(inner)
    {
        return (inner, Some(i64::from(port)));
    }
    if is_name(name) && !outside_ranges(name).contains(':') { (name, Some(i64::from(port))) } else { whole }
}

/// What can be a host name, a range, or an address.
fn is_name(text: &str) -> bool {
    !text.is_empty() && outside_ranges(text).chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.' | ':' | '%'))
}

fn outside_ranges(text: &str) -> String {
    let mut depth = 0;
    let keep = |letter: &char| {
        depth += i32::from(*letter == '[') - i32::from(*letter == ']');
        depth == 0 && *letter != ']'
    };
    text.chars().filter(keep).collect()
}

/// What is wrong, and what to do.
struct Problem(String, &'static str);

fn names(pattern: &str) -> Result<Vec<String>, Problem> {
    let mut names = vec![String::new()];
    let mut rest = pattern;
    while let Some((head, tail)) = rest.split_once('[') {
        let Some((range, tail)) = tail.split_once(']') else {
            return Err(Problem("a range without `]`".to_owned(), "write `[1:20]`"));
        };
        let parts = steps(range)?;
        if names.len().saturating_mul(parts.len()) > LIMIT {
            return Err(Problem(format!("it stands for more than {LIMIT} hosts"), "check the bounds of the range"));
        }
        names = names.iter().flat_map(|name| parts.iter().map(move |part| format!("{name}{head}{part}"))).collect();
        rest = tail;
    }
    for name in &mut names {
        name.push_str(rest);
    }
    Ok(names)
}

/// The parts that one range stands for. Both bounds belong to it.
fn steps(range: &str) -> Result<Vec<String>, Problem> {
    let mut bounds = range.split(':');
    let (Some(start), Some(end), step, None) = (bounds.next(), bounds.next(), bounds.next(), bounds.next()) else {
        return Err(Problem(format!("expected a range, found `[{range}]`"), "write `[first:last]` or `[first:last:step]`"));
    };
    let start = if start.is_empty() { "0" } else { start };
    if end.is_empty() {
        return Err(Problem(format!("the range `[{range}]` has no end"), "write `[first:last]`; both belong to it"));
    }
    let step = match step.map(str::parse::<usize>) {
        None => 1,
        Some(Ok(step)) if step > 0 => step,
        Some(_) => {
            return Err(Problem(
                format!("the step of `[{range}]` is no positive number"),
                "write `[first:last:step]`, `[0:10:2]` for instance",
            ));
        }
    };
    if let (Some(first), Some(last)) = (letter(start), letter(end)) {
        let letters = LETTERS.chars().skip(first).take((last + 1).saturating_sub(first));
        return Ok(letters.step_by(step).map(String::from).collect());
    }
    let (Ok(first), Ok(last)) = (start.parse::<u64>(), end.parse::<u64>()) else {
        return Err(Problem(format!("the bounds of `[{range}]` are neither two numbers nor two letters"), "write `[1:20]` or `[a:f]`"));
    };
    let width = if start.len() > 1 && start.starts_with('0') { start.len() } else { 0 };
    if width > 0 && end.len() != width {
        return Err(Problem(format!("the bounds of `[{range}]` have a different number of digits"), "pad both with zeros: `[01:20]`"));
    }
    let numbers = (first..=last).step_by(step).take(LIMIT + 1);
    Ok(numbers.map(|number| format!("{number:0width$}")).collect())
}

fn letter(bound: &str) -> Option<usize> {
    let mut letters = bound.chars();
    let first = letters.next().filter(|_| letters.next().is_none())?;
    LETTERS.chars().position(|letter| letter == first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Span;

    fn shown(pattern: &str) -> String {
        match expand(&Spanned::new(pattern.to_owned(), Span::default())) {
            Ok(Expanded { names, port: None }) => names.join(" "),
            Ok(Expanded { names, port: Some(port) }) => format!("{} port {port}", names.join(" ")),
            Err(diagnostic) => diagnostic.message,
        }
    }

    /// As ansible-core 2.19 expands them, but where it stops with a Python error.
    #[test]
    fn expands_as_ansible_does() {
        let cases = [
            ("web", "web"),
            ("web:2222", "web port 2222"),
            ("web[01:03].ex.com", "web01.ex.com web02.ex.com web03.ex.com"),
            ("web[1:2]:22", "web1 web2 port 22"),
            ("h[:3]", "h0 h1 h2 h3"),
            ("h[1:10:4]", "h1 h5 h9"),
            ("h[a:c]", "ha hb hc"),
            ("h[z:B]", "hz hA hB"),
            ("h[a:g:3]", "ha hd hg"),
            ("h[5:1]", ""),
            ("h[8:11]", "h8 h9 h10 h11"),
            ("h[0:1].x[a:b]", "h0.xa h0.xb h1.xa h1.xb"),
            ("[::1]:22", "::1 port 22"),
            ("[web]:22", "web port 22"),
            ("2001:db8::5", "2001:db8::5"),
            ("h:abc", "h:abc"),
            ("h!x:22", "h!x:22"),
            ("é:1", "é port 1"),
            ("h[1:]", "host `h[1:]`: the range `[1:]` has no end"),
            ("h[1]", "host `h[1]`: expected a range, found `[1]`"),
            ("h[]", "host `h[]`: expected a range, found `[]`"),
            ("h[1:2:3:4]", "host `h[1:2:3:4]`: expected a range, found `[1:2:3:4]`"),
            ("h[1:3", "host `h[1:3`: a range without `]`"),
            ("h[01:5]", "host `h[01:5]`: the bounds of `[01:5]` have a different number of digits"),
            ("h[1:a]", "host `h[1:a]`: the bounds of `[1:a]` are neither two numbers nor two letters"),
            ("h[1:9:0]", "host `h[1:9:0]`: the step of `[1:9:0]` is no positive number"),
            ("h[1:99999999999]", "host `h[1:99999999999]`: it stands for more than 1000000 hosts"),
            ("h[0:9999][0:9999]", "host `h[0:9999][0:9999]`: it stands for more than 1000000 hosts"),
            ("all:", "host `all:` ends with a colon"),
        ];
        for (pattern, expected) in cases {
            assert_eq!(shown(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn a_list_of_hosts_has_no_ranges() {
        assert_eq!([address("web[1:3]"), address("x:22"), address("[::1]:33")], [("web[1:3]", None), ("x", Some(22)), ("::1", Some(33))]);
    }
}
