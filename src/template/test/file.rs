//! Tests on files of the controller.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Test, test};
use crate::template::arguments::Args;
use crate::template::error::Result;
use crate::template::eval::Eval;
use crate::template::filter::path::{normal, real};
use crate::template::text::text_of;
use crate::template::value::Value;

pub(super) const TESTS: &[Test] = &[
    test("exists", |_, value, _| Ok(Path::new(&text_of(&value)?).exists())),
    test("file", |_, value, _| Ok(Path::new(&text_of(&value)?).is_file())),
    test("is_file", |_, value, _| Ok(Path::new(&text_of(&value)?).is_file())),
    test("directory", |_, value, _| Ok(Path::new(&text_of(&value)?).is_dir())),
    test("is_dir", |_, value, _| Ok(Path::new(&text_of(&value)?).is_dir())),
    test("link", |_, value, _| Ok(Path::new(&text_of(&value)?).is_symlink())),
    test("is_link", |_, value, _| Ok(Path::new(&text_of(&value)?).is_symlink())),
    test("link_exists", |_, value, _| Ok(fs::symlink_metadata(text_of(&value)?).is_ok())),
    test("abs", |_, value, _| Ok(text_of(&value)?.starts_with('/'))),
    test("is_abs", |_, value, _| Ok(text_of(&value)?.starts_with('/'))),
    test("mount", |_, value, _| Ok(is_mount(&text_of(&value)?))),
    test("is_mount", |_, value, _| Ok(is_mount(&text_of(&value)?))),
    test("same_file", same_file),
    test("is_same_file", same_file),
];

/// A folder on another device than the one above it, or the root.
fn is_mount(path: &str) -> bool {
    let Ok(own) = fs::symlink_metadata(path) else { return false };
    if own.is_symlink() {
        return false;
    }
    let above = real(&normal(&format!("{path}/..")));
    fs::symlink_metadata(above).is_ok_and(|above| above.dev() != own.dev() || above.ino() == own.ino())
}

fn same_file(_eval: &Eval<'_>, value: Value, mut args: Args) -> Result<bool> {
    let other = args.required_text("path")?;
    let identity = |path: &str| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    Ok(identity(&text_of(&value)?).is_some_and(|own| Some(own) == identity(&other)))
}
