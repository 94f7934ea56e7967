//! The reference pages are written by the program itself, so they cannot be wrong. `UPDATE_DOCS=1 cargo test reference` rewrites them.

use std::fs;
use std::path::Path;

#[test]
fn the_reference_pages_are_fresh() {
    let folder = Path::new("docs/reference");
    let update = std::env::var_os("UPDATE_DOCS").is_some();
    let mut stale = Vec::new();
    for (name, page) in rappel::cli::reference() {
        let path = folder.join(&name);
        if fs::read_to_string(&path).is_ok_and(|found| found == page) {
            continue;
        }
        if update {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, page).unwrap();
        } else {
            stale.push(name);
        }
    }
    assert!(stale.is_empty(), "stale: {}; run `UPDATE_DOCS=1 cargo test reference`", stale.join(", "));
}

#[test]
fn no_page_is_left_over() {
    let pages: Vec<_> = rappel::cli::reference().into_iter().map(|(name, _)| name).collect();
    for entry in fs::read_dir("docs/reference/modules").unwrap() {
        let name = format!("modules/{}", entry.unwrap().file_name().to_str().unwrap());
        assert!(pages.contains(&name), "docs/reference/{name} is of no module");
    }
}
