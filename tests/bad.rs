//! What users get to see of their mistakes: every file below `tests/bad/` holds some, and `.expected` beside it the pictures.
//!
//! `BLESS=1 cargo test bad` writes the `.expected` files; read the difference before committing it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

use rappel::event::Finding;
use rappel::model::inventory::{Inventory, NoPlugins, NoScripts, Options, Reading};
use rappel::model::{Level, Loader, RoleSource};
use rappel::report::snippet;
use rappel::text::vault::Vault;
use rappel::text::{Diagnostics, Sources, yaml};

/// Reads a broken file in the way its folder says, and draws everything that was found.
fn pictures(kind: &str, path: &Path) -> String {
    let sources = Sources::default();
    let loader = Loader::new(sources.clone(), Arc::new(Vault::default()));
    let mut diags = Diagnostics::default();
    match kind {
        "yaml" => {
            if let Ok(id) = sources.read(path) {
                yaml::parse(&sources, id, &mut diags);
            }
        }
        "playbook" => drop(loader.playbook(path, &mut diags)),
        "tasks" => drop(loader.tasks(path, Level::Task, None, &mut diags)),
        "handlers" => drop(loader.tasks(path, Level::Handler, None, &mut diags)),
        "vars" => drop(loader.vars_file(path, None, &mut diags)),
        "role" => {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let wanted = RoleSource { name, search: path.parent().map(Path::to_owned).into_iter().collect(), ..RoleSource::default() };
            if let Err(diagnostic) = loader.role(&wanted, &mut diags) {
                diags.push(diagnostic);
            }
        }
        "inventory" => {
            let (folder, options) = (Path::new("/"), Options::default());
            let reading = Reading { loader: &loader, scripts: &NoScripts, plugins: &NoPlugins, folder, options: &options, renamed: std::cell::Cell::default() };
            let inventory = Inventory::load(&reading, &[path.display().to_string()], &mut diags);
            inventory.hosts().for_each(|host| drop(inventory.vars(host, None, &mut diags)));
        }
        _ => return format!("`{kind}` is no kind of file\n"),
    }
    let draw = |diagnostic: &_| snippet::draw(&Finding::new(Clone::clone(diagnostic), &sources), false);
    diags.iter().map(draw).map(|picture| picture + "\n\n").collect::<String>().trim_end().to_owned() + "\n"
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_mistake_is_drawn_as_expected() {
    let mut wrong = Vec::new();
    for folder in children(Path::new("tests/bad")) {
        let kind = folder.file_name().unwrap().to_string_lossy().into_owned();
        for path in children(&folder).into_iter().filter(|path| path.extension().is_none_or(|extension| extension != "expected")) {
            let found = pictures(&kind, &path);
            let file = path.with_extension("expected");
            if env::var_os("BLESS").is_some() {
                fs::write(&file, &found).unwrap();
            }
            let expected = fs::read_to_string(&file).unwrap_or_default();
            if found != expected || found.trim().is_empty() {
                wrong.push(format!("{}:\n--- expected\n{expected}\n--- found\n{found}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_a_reader_panic(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..40), noise in ".{0,12}") {
        let sources = Sources::default();
        let id = sources.add("test.yml", pieces.concat() + &noise);
        let loader = Loader::new(sources.clone(), Arc::default());
        let mut diags = Diagnostics::default();
        for node in yaml::parse(&sources, id, &mut diags) {
            loader.tasks_of(&node, Level::Task, &mut diags);
        }
        for diagnostic in diags.into_vec() {
            snippet::draw(&Finding::new(diagnostic, &sources), true);
        }
    }
}

/// What playbooks are made of.
const PIECES: &[&str] = &[
    "- ",
    "name: x",
    "block:\n",
    "  ",
    "\n",
    "\t",
    "{{ x }}",
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "<<: ",
    "!vault ",
    "!!int ",
    "|\n",
    ": ",
    ":",
    "#",
    "---\n",
    "é",
    "\u{feff}",
    "\r\n",
    "? ",
    "copy: src=a",
    "with_items: ",
    "action: ",
    "args:",
    "hosts: all",
    "0x",
    "1:3",
    "2001-01-01",
    "\0",
];
