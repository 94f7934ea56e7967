//! Regular expressions, in Python's syntax.

use super::{Filter, filter};
use crate::regex::{self, Flags, Regex, Template};
use crate::template::arguments::Args;
use crate::template::error::{Error, Result};
use crate::template::eval::Eval;
use crate::template::text::text_of;
use crate::template::value::Value;

pub(super) const FILTERS: &[Filter] =
    &[filter("regex_replace", replace), filter("regex_search", search), filter("regex_findall", findall), filter("regex_escape", escape)];

/// Compiles `pattern`.
pub(in crate::template) fn compiled(pattern: &str, ignore_case: bool, multi_line: bool) -> Result<Regex> {
    let flags = Flags { ignore_case, multi_line, ..Flags::default() };
    Regex::with(pattern, flags).map_err(|error| Error::failed(format!("`{pattern}` is not a regular expression: {error}")))
}

fn failed(error: &regex::Error) -> Error {
    Error::failed(error.to_string())
}

fn replace(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    let pattern = args.required_or("pattern", "")?;
    let replacement = args.required_or("replacement", "")?;
    let (ignore_case, multiline) = (args.flag("ignorecase", false), args.flag("multiline", false));
    let most = args.size("count", 0)?;
    let mandatory = args.size("mandatory_count", 0)?;
    args.end()?;
    let regex = compiled(&pattern, ignore_case, multiline)?;
    let template = Template::new(&replacement, &regex).map_err(|error| failed(&error))?;
    let mut out = String::with_capacity(text.len());
    let (mut end, mut count) = (0, 0);
    for captures in regex.captures_iter(text.as_str()) {
        let captures = captures.map_err(|error| failed(&error))?;
        let Some(whole) = captures.get(0) else { continue };
        out.push_str(text.get(end..whole.start()).unwrap_or_default());
        out.push_str(&template.fill(&captures));
        end = whole.end();
        count += 1;
        if most > 0 && count == most {
            break;
        }
    }
    if mandatory > 0 && count != mandatory {
        return Err(Error::failed(format!("'{pattern}' should match {mandatory} times, but matches {count} times")));
    }
    out.push_str(text.get(end..).unwrap_or_default());
    Ok(Value::from(out))
}

fn search(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    let pattern = args.required_text("regex")?;
    let groups = args.rest();
    let (ignore_case, multiline) = (args.named_flag("ignorecase", false), args.named_flag("multiline", false));
    args.end()?;
    let regex = compiled(&pattern, ignore_case, multiline)?;
    let Some(captures) = regex.captures(text.as_str()).map_err(|error| failed(&error))? else { return Ok(Value::None) };
    let matched = |name: Option<&str>| {
        let found = match name {
            None => captures.get(0),
            Some(name) => name.parse().ok().map_or_else(|| captures.name(name), |number| captures.get(number)),
        };
        found.map(|found| Value::from(found.as_str())).unwrap_or_default()
    };
    if groups.is_empty() {
        return Ok(matched(None));
    }
    let mut out = Vec::new();
    for group in groups {
        let group = text_of(&group)?;
        let name = group.strip_prefix("\\g<").and_then(|rest| rest.strip_suffix('>')).or_else(|| group.strip_prefix('\\'));
        out.push(matched(Some(name.ok_or_else(|| Error::failed("Unknown argument"))?)));
    }
    Ok(Value::list(out))
}

fn findall(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    let pattern = args.required_text("regex")?;
    let multiline = args.flag("multiline", false);
    let ignore_case = args.flag("ignorecase", false);
    args.end()?;
    let regex = compiled(&pattern, ignore_case, multiline)?;
    let mut out = Vec::new();
    for captures in regex.captures_iter(text.as_str()) {
        let captures = captures.map_err(|error| failed(&error))?;
        let group = |number| Value::from(captures.text(number));
        out.push(match captures.len() {
            1 => group(0),
            2 => group(1),
            more => Value::tuple((1..more).map(group)),
        });
    }
    Ok(Value::list(out))
}

fn escape(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<Value> {
    let text = text_of(&value)?;
    let kind = args.text("re_type")?.unwrap_or_else(|| "python".to_owned());
    let special: &str = match kind.as_str() {
        "python" => return Ok(Value::from(regex::escape(text.as_str()))),
        "posix_basic" => "].[^$*\\",
        "posix_extended" => return Err(Error::failed(format!("Regex type ({kind}) not yet implemented"))),
        _ => return Err(Error::failed(format!("Invalid regex type ({kind})"))),
    };
    Ok(Value::from(text.chars().flat_map(|c| special.contains(c).then_some('\\').into_iter().chain([c])).collect::<String>()))
}
