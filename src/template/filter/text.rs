//! Filters on text.

use super::{Filter, filter};
use crate::template::arguments::Args;
use crate::template::error::{Error, Result};
use crate::template::eval::Eval;
use crate::template::text::text_of;
use crate::template::value::Value;
use crate::template::{format, method, python};

pub(super) const FILTERS: &[Filter] = &[
    filter("string", |_, value, _| text_of(&value).map(Value::from)),
    filter("upper", |_, value, _| Ok(Value::from(text_of(&value)?.to_uppercase()))),
    filter("lower", |_, value, _| Ok(Value::from(text_of(&value)?.to_lowercase()))),
    filter("capitalize", |_, value, _| Ok(Value::from(method::capitalize(&text_of(&value)?)))),
    filter("title", title),
    filter("trim", trim),
    filter("replace", replace),
    filter("center", center),
    filter("indent", indent),
    filter("truncate", truncate),
    filter("wordwrap", wordwrap),
    filter("wordcount", wordcount),
    filter("format", formatted),
    filter("split", split),
    filter("quote", quote),
    filter("comment", comment),
    filter("pprint", |_, value, _| Ok(Value::from(python::repr(&value)))),
    filter("safe", |_, value, _| Ok(value)),
    filter("escape", |_, value, _| Ok(Value::from(escaped(&text_of(&value)?)))),
    filter("e", |_, value, _| Ok(Value::from(escaped(&text_of(&value)?)))),
    filter("forceescape", |_, value, _| Ok(Value::from(escaped(&text_of(&value)?)))),
    filter("striptags", striptags),
    filter("xmlattr", xmlattr),
    filter("version_sort", version_sort),
];

fn title(_eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let mut out = String::new();
    let mut inside = false;
    for character in text_of(&value)?.chars() {
        if inside {
            out.extend(character.to_lowercase());
        } else {
            out.extend(character.to_uppercase());
        }
        inside = !(character.is_whitespace() || matches!(character, '-' | '(' | '{' | '[' | '<'));
    }
    Ok(Value::from(out))
}

fn trim(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    let set = args.text("chars")?;
    args.end()?;
    Ok(Value::from(text.trim_matches(|c: char| set.as_ref().map_or_else(|| c.is_whitespace(), |set| set.contains(c)))))
}

fn replace(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    let (old, new) = (args.required_text("old")?, args.required_text("new")?);
    let count = args.int("count")?.and_then(|count| usize::try_from(count).ok());
    args.end()?;
    Ok(Value::from(count.map_or_else(|| text.replace(&old, &new), |count| text.replacen(&old, &new, count))))
}

fn center(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let width = args.size("width", 80)?;
    Ok(Value::from(method::justified(&text_of(&value)?, width, ' ', "center")))
}

fn indent(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let Value::Str(text) = &value else {
        return Err(Error::failed(format!("unsupported operand type(s) for +=: '{}' and 'str'", value.type_name())));
    };
    let indentation = match args.next("width") {
        Some(Value::Str(text)) => text.to_string(),
        Some(width) => " ".repeat(usize::try_from(width.as_int().unwrap_or(4)).unwrap_or_default()),
        None => " ".repeat(4),
    };
    let (first, blank) = (args.flag("first", false), args.flag("blank", false));
    args.end()?;
    let lines = method::lines(&format!("{text}\n"), false);
    let mut out = if first { indentation.clone() } else { String::new() };
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            out.push('\n');
            if blank || !line.is_empty() {
                out.push_str(&indentation);
            }
        }
        out.push_str(line);
    }
    Ok(Value::from(out))
}

fn truncate(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    let length = args.size("length", 255)?;
    let kill_words = args.flag("killwords", false);
    let end = args.required_or("end", "...")?;
    let leeway = args.size("leeway", 5)?;
    args.end()?;
    let characters: Vec<char> = text.chars().collect();
    if characters.len() <= length + leeway {
        return Ok(value);
    }
    let kept: String = characters.iter().take(length.saturating_sub(end.chars().count())).collect();
    let kept = if kill_words { kept.as_str() } else { kept.rsplit_once(' ').map_or(kept.as_str(), |(before, _)| before) };
    Ok(Value::from(format!("{kept}{end}")))
}

/// The pieces at which a line may be broken: after blanks, and after hyphens between letters.
fn pieces(line: &str, hyphens: bool) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut current = String::new();
    let characters: Vec<char> = line.chars().collect();
    for (index, character) in characters.iter().enumerate() {
        let blank = character.is_whitespace();
        if !current.is_empty() && blank != current.starts_with(char::is_whitespace) {
            out.push(std::mem::take(&mut current));
        }
        current.push(*character);
        let next_is_letter = characters.get(index + 1).is_some_and(|next| next.is_alphanumeric());
        if hyphens && *character == '-' && current.len() > 1 && next_is_letter {
            out.push(std::mem::take(&mut current));
        }
    }
    out.extend(Some(current).filter(|current| !current.is_empty()));
    out
}

fn wordwrap(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    let width = args.size("width", 79)?.max(1);
    let break_long = args.flag("break_long_words", true);
    let separator = args.required_or("wrapstring", "\n")?;
    let hyphens = args.flag("break_on_hyphens", true);
    args.end()?;
    let wrapped = method::lines(&text, false).into_iter().map(|line| wrapped_line(&line, width, break_long, hyphens).join(&separator));
    Ok(Value::from(wrapped.collect::<Vec<_>>().join(&separator)))
}

fn wrapped_line(line: &str, width: usize, break_long: bool, hyphens: bool) -> Vec<String> {
    let mut out = Vec::new();
    let mut current = String::new();
    let length = |text: &str| text.chars().count();
    for mut piece in pieces(line, hyphens) {
        if length(&current) + length(&piece) > width
            && !current.is_empty()
            && !piece.trim().is_empty()
            && (!break_long || length(&piece) <= width)
        {
            out.push(current.trim_end().to_owned());
            current.clear();
        }
        while break_long && length(&current) + length(&piece) > width && !piece.trim().is_empty() {
            let room = width.saturating_sub(length(&current)).max(1);
            current.extend(piece.chars().take(room));
            piece = piece.chars().skip(room).collect();
            out.push(current.trim_end().to_owned());
            current.clear();
        }
        if !(current.is_empty() && piece.trim().is_empty() && !out.is_empty()) {
            current.push_str(&piece);
        }
    }
    if !current.trim_end().is_empty() || out.is_empty() {
        out.push(current.trim_end().to_owned());
    }
    out
}

fn wordcount(_eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    Ok(Value::from(text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).count()))
}

fn formatted(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let pattern = text_of(&value)?;
    let named: Vec<_> = args.named.drain(..).map(|(name, value)| (Value::Str(name), value)).collect();
    let positional = args.rest();
    if !named.is_empty() && !positional.is_empty() {
        return Err(Error::failed("can't handle positional and keyword arguments at the same time"));
    }
    let arguments = if named.is_empty() { Value::tuple(positional) } else { Value::map(named) };
    format::percent(&pattern, &arguments).map(Value::from)
}

fn split(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let Value::Str(text) = &value else {
        return Err(Error::failed(format!("'{}' object has no attribute 'split'", value.type_name())));
    };
    let separator = args.text("sep")?;
    let most = args.int("maxsplit")?;
    args.end()?;
    method::split(text, separator.as_deref(), most).map(Value::list)
}

/// Text as one word of a shell command.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\"'\"'")) }
}

fn quote(_eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let text = if value.is_none() { String::new() } else { text_of(&value)? };
    Ok(Value::from(quoted(&text)))
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
        other => return Err(Error::failed(format!("Invalid comment style '{other}'"))),
    };
    let mut option = |name: &str, default: &str| args.text_named(name).map(|given| given.unwrap_or_else(|| default.to_owned()));
    let newline = option("newline", "\n")?;
    let decoration = option("decoration", decoration)?;
    let line = decoration.trim_end();
    let (beginning, end) = (option("beginning", beginning)?, option("end", end)?);
    let (prefix, postfix) = (option("prefix", line)?, option("postfix", line)?);
    let mut count =
        |name: &str| args.named(name).and_then(|count| count.as_int()).and_then(|count| usize::try_from(count).ok()).unwrap_or(1);
    let (before, after) = (count("prefix_count"), count("postfix_count"));
    args.end()?;
    let mut out = String::new();
    if !beginning.is_empty() {
        out.push_str(&format!("{beginning}{newline}"));
    }
    if !prefix.is_empty() {
        out.push_str(&format!("{prefix}{newline}").repeat(before));
    }
    let body = format!("{decoration}{}", text.replace('\n', &format!("{newline}{decoration}")));
    out.push_str(&body.replace(&format!("{decoration}{newline}"), &format!("{line}{newline}")));
    out.push_str(&format!("{newline}{postfix}").repeat(after));
    if !end.is_empty() {
        out.push_str(&format!("{newline}{end}"));
    }
    Ok(Value::from(out))
}

/// Text for HTML and XML.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;").replace('"', "&#34;")
}

fn striptags(_eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let mut out = String::new();
    let mut inside = false;
    for character in text_of(&value)?.chars() {
        match character {
            '<' => inside = true,
            '>' if inside => inside = false,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    let text = out.split_whitespace().collect::<Vec<_>>().join(" ");
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&#34;", "\""), ("&quot;", "\""), ("&#39;", "'"), ("&nbsp;", "\u{a0}"), ("&amp;", "&")];
    Ok(Value::from(entities.iter().fold(text, |text, (entity, character)| text.replace(entity, character))))
}

fn xmlattr(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let spaced = args.flag("autospace", true);
    let Some(entries) = value.as_entries() else {
        return Err(Error::failed(format!("'{}' object has no attribute 'items'", value.type_name())));
    };
    let kept = entries.iter().filter(|(_, value)| !value.is_none() && !value.is_undefined());
    let attributes: Vec<_> = kept.map(|(key, value)| format!("{}=\"{}\"", escaped(&key.0.to_text()), escaped(&value.to_text()))).collect();
    let text = attributes.join(" ");
    Ok(Value::from(if spaced && !text.is_empty() { format!(" {text}") } else { text }))
}

fn version_sort(eval: &Eval<'_>, value: Value, _args: Args) -> Result<Value> {
    let mut items = eval.iterate(&value)?;
    items.sort_by(|left, right| crate::template::version::loose(&left.to_text(), &right.to_text()));
    Ok(Value::list(items))
}
