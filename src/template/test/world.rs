//! Tests on paths of the controller, and on addresses.

use std::path::Path;

use super::{Test, test};
use crate::template::error::Result;
use crate::template::filter::net;
use crate::template::text::text_of;
use crate::template::value::Value;
use crate::text::folder::{self, Kind};

pub(super) const TESTS: &[Test] = &[
    test("exists", |_, value, _| Ok(folder::kind(Path::new(&text_of(&value)?)).is_some())),
    test(
        "link_exists",
        |_, value, _| Ok(Path::new(&text_of(&value)?).is_symlink() || folder::kind(Path::new(&text_of(&value)?)).is_some()),
    ),
    test("directory", |_, value, _| is_folder(&value)),
    test("is_dir", |_, value, _| is_folder(&value)),
    test("file", |_, value, _| is_file(&value)),
    test("is_file", |_, value, _| is_file(&value)),
    test("link", |_, value, _| Ok(Path::new(&text_of(&value)?).is_symlink())),
    test("is_link", |_, value, _| Ok(Path::new(&text_of(&value)?).is_symlink())),
    test("abs", |_, value, _| Ok(text_of(&value)?.starts_with('/'))),
    test("is_abs", |_, value, _| Ok(text_of(&value)?.starts_with('/'))),
    test("mount", |_, value, _| Ok(folder::is_mount(Path::new(&text_of(&value)?)))),
    test("is_mount", |_, value, _| Ok(folder::is_mount(Path::new(&text_of(&value)?)))),
    test("same_file", |_, value, mut args| Ok(folder::same(Path::new(&text_of(&value)?), Path::new(&args.required_text("other")?)))),
    test("is_same_file", |_, value, mut args| Ok(folder::same(Path::new(&text_of(&value)?), Path::new(&args.required_text("other")?)))),
    test("vaulted_file", |eval, value, _| Ok(eval.session.templar.is_sealed_file(Path::new(&text_of(&value)?)))),
    test("uri", |_, value, mut args| Ok(is_uri(&text_of(&value)?, &schemes(&mut args)?))),
    test("url", |_, value, mut args| Ok(is_url(&text_of(&value)?, &schemes(&mut args)?))),
    test("urn", |_, value, _| Ok(text_of(&value)?.to_lowercase().starts_with("urn:"))),
    test("ip", |_, value, _| Ok(net::is_address(&value.to_text(), None))),
    test("ip_address", |_, value, _| Ok(net::is_address(&value.to_text(), None))),
    test("ipv4", |_, value, _| Ok(net::is_address_or_network(&value.to_text(), Some(4)))),
    test("ipv6", |_, value, _| Ok(net::is_address_or_network(&value.to_text(), Some(6)))),
    test("ipv4_address", |_, value, _| Ok(net::is_address(&value.to_text(), Some(4)))),
    test("ipv6_address", |_, value, _| Ok(net::is_address(&value.to_text(), Some(6)))),
];

fn is_folder(value: &Value) -> Result<bool> {
    Ok(folder::kind(Path::new(&text_of(value)?)) == Some(Kind::Folder))
}

fn is_file(value: &Value) -> Result<bool> {
    Ok(matches!(folder::kind(Path::new(&text_of(value)?)), Some(Kind::File { .. })))
}

fn schemes(args: &mut crate::template::arguments::Args) -> Result<Vec<String>> {
    let given = args.next("schemes").and_then(|schemes| schemes.as_items()).unwrap_or_default();
    given.iter().map(text_of).collect()
}

/// The scheme before the first `:`, where there is one.
fn scheme(text: &str) -> String {
    let letters = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    text.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| letters(scheme)).unwrap_or_default().to_lowercase()
}

fn is_uri(text: &str, allowed: &[String]) -> bool {
    allowed.is_empty() || allowed.contains(&scheme(text))
}

fn is_url(text: &str, allowed: &[String]) -> bool {
    let authority = text.split_once("://").is_some_and(|(_, rest)| !rest.is_empty() && !rest.starts_with('/'));
    is_uri(text, allowed) && ((authority && !scheme(text).is_empty()) || scheme(text) == "file")
}
