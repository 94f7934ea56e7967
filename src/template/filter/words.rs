//! Filters on text.

use super::{Filter, filter, raw};
use crate::template::arguments::Args;
use crate::template::error::{Error, Result};
use crate::template::eval::Eval;
use crate::template::format;
use crate::template::method;
use crate::template::text::text_of;
use crate::template::value::{Entries, Key, Map, Value};

pub(super) const FILTERS: &[Filter] = &[
    filter("string", |_, value, _| text_of(&value).map(Value::from)),
    filter("lower", |_, value, _| Ok(Value::from(text_of(&value)?.to_lowercase()))),
    filter("upper", |_, value, _| Ok(Value::from(text_of(&value)?.to_uppercase()))),
    filter("capitalize", |_, value, _| Ok(Value::from(method::capitalize(&text_of(&value)?)))),
    filter("title", title),
    filter("trim", trim),
    filter("replace", replace),
    filter("split", split),
    filter("indent", indent),
    filter("quote", quote),
    filter("format", formatted),
    filter("center", center),
    filter("wordcount", word_count),
    filter("truncate", truncate),
    filter("wordwrap", word_wrap),
    filter("escape", escape),
    filter("e", escape),
    filter("forceescape", escape),
    raw("safe", |_, value, _| Ok(value)),
    filter("striptags", strip_tags),
    filter("xmlattr", xml_attributes),
    filter("comment", comment),
];

fn title(_eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let mut out = String::new();
    let mut starts = true;
    for character in text_of(&value)?.chars() {
        if starts {
            out.extend(character.to_uppercase());
        } else {
            out.extend(character.to_lowercase());
        }
        starts = character.is_whitespace() || "-({[<".contains(character);
    }
    Ok(Value::from(out))
}

fn trim(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    Ok(Value::from(match args.text("chars")? {
        Some(characters) => text.trim_matches(|c| characters.contains(c)).to_owned(),
        None => text.trim().to_owned(),
    }))
}

fn replace(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    let (old, new) = (args.required_text("old")?, args.required_text("new")?);
    let count = args.int("count")?;
    args.end()?;
    Ok(Value::from(match count.and_then(|count| usize::try_from(count).ok()) {
        Some(count) => text.replacen(&old, &new, count),
        None => text.replace(&old, &new),
    }))
}

fn split(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let Some(text) = value.as_str() else {
        return Err(Error::failed(format!("'{}' object has no attribute 'split'", value.type_name())));
    };
    let separator = args.text("sep")?;
    let most = args.int("maxsplit")?.filter(|most| *most >= 0);
    args.end()?;
    method::split(text, separator.as_deref(), most).map(Value::list)
}

fn indent(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    let margin = match args.next("width") {
        Some(Value::Str(margin)) => margin.to_string(),
        Some(width) => " ".repeat(width.as_int().and_then(|width| usize::try_from(width).ok()).unwrap_or_default().min(10_000)),
        None => "    ".to_owned(),
    };
    let (first, blank) = (args.flag("first", false), args.flag("blank", false));
    args.end()?;
    let mut out = String::new();
    for (index, line) in method::lines(&format!("{text}\n"), false).iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        if if index == 0 { first } else { blank || !line.is_empty() } {
            out.push_str(&margin);
        }
        out.push_str(line);
    }
    Ok(Value::from(out))
}

/// As `shlex.quote` does.
fn quote(_eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let text = if value.is_none() { String::new() } else { text_of(&value)? };
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return Ok(Value::from(text));
    }
    Ok(Value::from(format!("'{}'", text.replace('\'', "'\"'\"'"))))
}

fn formatted(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let pattern = text_of(&value)?;
    let positional = args.rest();
    if !positional.is_empty() && !args.named.is_empty() {
        return Err(Error::failed("can't handle positional and keyword arguments at the same time"));
    }
    let arguments = if args.named.is_empty() {
        Value::tuple(positional)
    } else {
        Value::Map(Map::open(args.named.drain(..).map(|(name, value)| (Key(Value::Str(name)), value)).collect::<Entries>()))
    };
    format::percent(&pattern, &arguments).map(Value::from)
}

fn center(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let width = args.size("width", 80)?.min(1 << 20);
    Ok(Value::from(method::justified(&text_of(&value)?, width, ' ', "center")))
}

fn word_count(_eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    Ok(Value::from(text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).count()))
}

fn truncate(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    let length = args.size("length", 255)?;
    let kill_words = args.flag("killwords", false);
    let end = args.required_or("end", "...")?;
    let leeway = args.size("leeway", 0)?;
    args.end()?;
    let (count, ending) = (text.chars().count(), end.chars().count());
    if length < ending {
        return Err(Error::failed(format!("expected length >= {ending}, got {length}")));
    }
    if count <= length + leeway {
        return Ok(Value::from(text));
    }
    let kept: String = text.chars().take(length - ending).collect();
    let kept = if kill_words { kept.as_str() } else { kept.rsplit_once(' ').map_or(kept.as_str(), |(words, _)| words) };
    Ok(Value::from(format!("{kept}{end}")))
}

fn word_wrap(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    let width = args.size("width", 79)?.max(1);
    let break_long = args.flag("break_long_words", true);
    let separator = args.required_or("wrapstring", "\n")?;
    let hyphens = args.flag("break_on_hyphens", true);
    args.end()?;
    let lines = method::lines(&text, false).into_iter().map(|line| wrapped(&line, width, break_long, hyphens).join(&separator));
    Ok(Value::from(lines.collect::<Vec<_>>().join(&separator)))
}

/// Words and the blanks between them; a hyphen inside a word ends a piece.
fn pieces(line: &str, hyphens: bool) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let characters: Vec<char> = line.chars().collect();
    for (index, character) in characters.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|index| characters.get(index));
        let earlier = index.checked_sub(2).and_then(|index| characters.get(index));
        let after_hyphen =
            hyphens && before == Some(&'-') && character.is_alphabetic() && earlier.is_some_and(|c| c.is_alphanumeric() || *c == '_');
        match out.last_mut() {
            Some(piece) if before.is_some_and(|c| c.is_whitespace() == character.is_whitespace()) && !after_hyphen => {
                piece.push(*character)
            }
            _ => out.push(character.to_string()),
        }
    }
    out
}

/// As Python's `textwrap` fills lines, keeping the blanks inside them.
fn wrapped(line: &str, width: usize, break_long: bool, hyphens: bool) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut current = String::new();
    let mut used = 0;
    for piece in pieces(line, hyphens) {
        let mut piece: Vec<char> = piece.chars().collect();
        let blank = piece.first().is_some_and(|c| c.is_whitespace());
        if used + piece.len() > width && used > 0 && (piece.len() <= width || !break_long) {
            lines.push(current.trim_end().to_owned());
            (current, used) = (String::new(), 0);
        }
        while break_long && used + piece.len() > width {
            let rest = piece.split_off(width.saturating_sub(used));
            current.extend(piece);
            lines.push(std::mem::take(&mut current).trim_end().to_owned());
            (piece, used) = (rest, 0);
        }
        if !(blank && used == 0 && !lines.is_empty()) {
            used += piece.len();
            current.extend(piece);
        }
    }
    if !current.trim_end().is_empty() || lines.is_empty() {
        lines.push(current.trim_end().to_owned());
    }
    lines
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('>', "&gt;").replace('<', "&lt;").replace('\'', "&#39;").replace('"', "&#34;")
}

fn escape(_eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    Ok(Value::from(escaped(&text_of(&value)?)))
}

fn strip_tags(_eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    let (mut out, mut rest) = (String::new(), text.as_str());
    while let Some((before, after)) = rest.split_once('<') {
        out.push_str(before);
        let end = if after.starts_with("!--") { "-->" } else { ">" };
        match after.split_once(end) {
            Some((_, tail)) => rest = tail,
            None => {
                out.push('<');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    let plain = out.split_whitespace().collect::<Vec<_>>().join(" ");
    let plain = plain.replace("&lt;", "<").replace("&gt;", ">").replace("&#39;", "'").replace("&#34;", "\"").replace("&quot;", "\"");
    Ok(Value::from(plain.replace("&nbsp;", "\u{a0}").replace("&amp;", "&")))
}

fn xml_attributes(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let space = args.flag("autospace", true);
    let Some(entries) = value.as_entries() else {
        return Err(Error::failed(format!("'{}' object has no attribute 'items'", value.type_name())));
    };
    let mut parts = Vec::new();
    for (key, value) in entries.iter().filter(|(_, value)| !value.is_none()) {
        let key = text_of(&key.0)?;
        if key.contains([' ', '\t', '\n', '/', '>', '=']) {
            return Err(Error::failed(format!("invalid character in attribute name: '{key}'")));
        }
        parts.push(format!("{}=\"{}\"", escaped(&key), escaped(&text_of(value)?)));
    }
    let text = parts.join(" ");
    Ok(Value::from(if space && !text.is_empty() { format!(" {text}") } else { text }))
}

fn comment(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    let style = args.required_or("style", "plain")?;
    let (beginning, decoration, end) = match style.as_str() {
        "plain" => ("", "# ", ""),
        "erlang" => ("", "% ", ""),
        "c" => ("", "// ", ""),
        "cblock" => ("/*", " * ", " */"),
        "xml" => ("<!--", " - ", "-->"),
        other => return Err(Error::failed(format!("Invalid style '{other}'"))),
    };
    let mut part = |name: &str, default: &str| -> Result<String> { Ok(args.text_named(name)?.unwrap_or_else(|| default.to_owned())) };
    let newline = part("newline", "\n")?;
    let beginning = part("beginning", beginning)?;
    let decoration = part("decoration", decoration)?;
    let end = part("end", end)?;
    let prefix = part("prefix", decoration.trim_end())?;
    let postfix = part("postfix", decoration.trim_end())?;
    let mut count =
        |name: &str| args.named(name).and_then(|count| count.as_int()).and_then(|count| usize::try_from(count).ok()).unwrap_or(1);
    let (before, after) = (count("prefix_count"), count("postfix_count"));
    let mut out = String::new();
    if !beginning.is_empty() {
        out.push_str(&format!("{beginning}{newline}"));
    }
    if !prefix.is_empty() {
        out.push_str(&format!("{prefix}{newline}").repeat(before));
    }
    let lines = text
        .split(newline.as_str())
        .map(|line| if line.is_empty() { decoration.trim_end().to_owned() } else { format!("{decoration}{line}") });
    out.push_str(&lines.collect::<Vec<_>>().join(&newline));
    if !postfix.is_empty() {
        out.push_str(&format!("{newline}{postfix}").repeat(after));
    }
    if !end.is_empty() {
        out.push_str(&format!("{newline}{end}"));
    }
    Ok(Value::from(out))
}
