//! `password`: a password kept in a file of the controller, made when it is first asked for.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::inline::Options;
use crate::model::inline_options;
use crate::template::{LookupCall, Value, crypt, random_text};

const OPTIONS: &[&str] = &["length", "encrypt", "chars", "ident", "seed"];
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// What the file says: `PASSWORD salt=SALT ident=IDENT`.
#[derive(Debug, Default, PartialEq)]
struct Kept {
    password: String,
    salt: Option<String>,
    ident: Option<String>,
}

/// Runs the lookup; relative paths are below `base`.
pub(super) fn run(call: &LookupCall<'_>, base: &Path) -> Result<Vec<Value>, String> {
    let common = Options::of(call, OPTIONS);
    call.terms.iter().map(|term| one(&term.to_text(), common.clone(), base).map(Value::from)).collect()
}

fn one(term: &str, mut options: Options, base: &Path) -> Result<String, String> {
    let path = if term.contains('=') {
        let (path, named) = inline_options(term).ok_or_else(|| "a quote in the term is not closed".to_owned())?;
        if let Some((name, _)) = named.iter().find(|(name, _)| !OPTIONS.contains(&&**name)) {
            return Err(format!("Unrecognized parameter(s) given to password lookup: {name}"));
        }
        for (name, value) in named {
            match name.as_str() {
                "chars" => options.set(name, split(&value)),
                _ => options.set(name, value),
            }
        }
        path.ok_or("the path of the file is missing")?
    } else {
        term.to_owned()
    };
    let path = base.join(expanded(path.trim()));
    let encrypt = options.text("encrypt").filter(|kind| !kind.is_empty());
    if path == Path::new("/dev/null") {
        let mut kept = fresh(&options)?;
        return finish(&mut kept, encrypt.as_deref(), &options).map(|(text, _)| text);
    }
    let shown = |error: std::io::Error| format!("{}: {error}", path.display());
    if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(shown)?;
    }
    // Only one process makes a password; the others wait for it at the lock and read it.
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(shown)?;
    file.lock().map_err(shown)?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(shown)?;
    let existed = !text.trim_end().is_empty();
    let mut kept = if existed { parse(text.trim_end()) } else { fresh(&options)? };
    let (answer, changed) = finish(&mut kept, encrypt.as_deref(), &options)?;
    if changed || !existed {
        write(&path, &file, &kept).map_err(shown)?;
    }
    Ok(answer)
}

fn write(path: &Path, file: &File, kept: &Kept) -> std::io::Result<()> {
    let mut text = kept.password.clone();
    for (name, value) in [("salt", &kept.salt), ("ident", &kept.ident)] {
        if let Some(value) = value {
            text.push_str(&format!(" {name}={value}"));
        }
    }
    text.push('\n');
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let mut writer = file;
    std::io::Seek::rewind(&mut writer)?;
    file.set_len(0)?;
    writer.write_all(text.as_bytes())
}

fn expanded(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(path),
    }
}

fn parse(text: &str) -> Kept {
    let cut = |text: &str, mark: &str| match text.rsplit_once(mark) {
        Some((before, value)) => (before.to_owned(), Some(value.to_owned())),
        None => (text.to_owned(), None),
    };
    let (text, ident) = cut(text, " ident=");
    let (password, salt) = cut(&text, " salt=");
    Kept { password, salt, ident }
}

fn fresh(options: &Options) -> Result<Kept, String> {
    let letters = alphabet(options.get("chars"));
    if letters.is_empty() {
        return Err("`chars` leaves no letters to make a password of".to_owned());
    }
    let password = random_text(&letters, options.number("length", 20)?, options.get("seed").filter(|seed| !seed.is_none()));
    Ok(Kept { password, ..Kept::default() })
}

/// The password as asked for; with `encrypt` its hash, whose salt is then kept too. Tells whether there is something new to keep.
fn finish(kept: &mut Kept, encrypt: Option<&str>, options: &Options) -> Result<(String, bool), String> {
    let Some(kind) = encrypt else { return Ok((kept.password.clone(), false)) };
    let blowfish = matches!(kind, "bcrypt" | "blowfish");
    let mut changed = false;
    if kept.salt.is_none() {
        let length = match kind.trim_end_matches("_crypt") {
            "bcrypt" | "blowfish" => 22,
            "md5" => 8,
            _ => 16,
        };
        let digits = format!("{LETTERS}0123456789./");
        kept.salt = Some(random_text(&digits, length, None));
        changed = true;
    }
    if kept.ident.is_none() && (blowfish || options.text("ident").is_some()) {
        kept.ident = Some(options.text("ident").unwrap_or_else(|| "2b".to_owned()));
        changed = true;
    }
    let ident = kept.ident.as_deref().filter(|_| blowfish);
    Ok((crypt(&kept.password, kind, kept.salt.as_deref(), ident)?, changed))
}

/// The letters that `chars` names: Python's names of sets, and anything else for itself.
fn alphabet(chars: Option<&Value>) -> String {
    let names: Vec<String> = match chars {
        None | Some(Value::None) => ["ascii_letters", "digits", ".,:-_"].map(str::to_owned).to_vec(),
        Some(value) => match value.as_items() {
            Some(items) => items.iter().map(Value::to_text).collect(),
            None => value.to_text().split(',').map(str::to_owned).collect(),
        },
    };
    let sets = names.iter().map(|name| match name.as_str() {
        "ascii_letters" => LETTERS.to_owned(),
        "ascii_lowercase" => LETTERS[..26].to_owned(),
        "ascii_uppercase" => LETTERS[26..].to_owned(),
        "digits" => "0123456789".to_owned(),
        "hexdigits" => "0123456789abcdefABCDEF".to_owned(),
        "octdigits" => "01234567".to_owned(),
        "punctuation" => PUNCTUATION.to_owned(),
        "whitespace" => " \t\n\r\u{b}\u{c}".to_owned(),
        "printable" => format!("0123456789{LETTERS}{PUNCTUATION} \t\n\r\u{b}\u{c}"),
        other => other.to_owned(),
    });
    sets.collect::<String>().replace(['"', '\''], "")
}

/// `ascii_letters,digits`; `,,` is a comma itself.
fn split(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let rest = if text.contains(",,") {
        names.push(",".to_owned());
        text.replace(",,", ",")
    } else {
        text.to_owned()
    };
    let mut first: Vec<String> = rest.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    first.append(&mut names);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from ansible-core 2.19.
    #[test]
    fn draws_what_ansible_draws() {
        let chars = |names: &[&str]| Value::list(names.iter().map(|name| Value::from(*name)));
        let table: &[(&str, Option<usize>, Option<Value>, &str)] = &[
            ("foo", None, None, "6JUEsF6-,RiuGZDEWF4r"),
            ("foo", Some(10), Some("ascii_letters,digits".into()), "DUrx4TpS1j"),
            ("bar", Some(12), Some(chars(&["hexdigits", "!@", ","])), "cc2dF5e3addC"),
            ("bar", Some(12), Some("abc,,def".into()), "ddadfbdacdde"),
        ];
        for (seed, length, chars, expected) in table {
            let mut options = Options::default();
            options.set("seed".to_owned(), *seed);
            options.set("length".to_owned(), length.unwrap_or(20));
            chars.iter().for_each(|chars| options.set("chars".to_owned(), chars.clone()));
            assert_eq!(one("/dev/null", options, Path::new("/")).unwrap(), *expected);
        }
    }

    #[test]
    fn keeps_password_and_salt_in_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let first = one("deep/er/pw length=8 encrypt=sha256_crypt", Options::default(), folder.path()).unwrap();
        let again = one("deep/er/pw encrypt=sha256_crypt", Options::default(), folder.path()).unwrap();
        assert_eq!(first, again);
        let path = folder.path().join("deep/er/pw");
        let text = fs::read_to_string(&path).unwrap();
        let kept = parse(text.trim_end());
        assert_eq!((kept.password.len(), kept.salt.as_ref().map(String::len)), (8, Some(16)));
        assert_eq!(one("deep/er/pw", Options::default(), folder.path()).unwrap(), kept.password);
        let mode = |path: &Path| std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions()) & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }

    #[test]
    fn names_an_option_that_is_none() {
        let error = one("/dev/null frob=1", Options::default(), Path::new("/")).unwrap_err();
        assert_eq!(error, "Unrecognized parameter(s) given to password lookup: frob");
    }
}
