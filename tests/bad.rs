//! What users get to see of their mistakes: every file below `tests/bad/` holds some, and `.expected` beside it the pictures.
//!
//! `BLESS=1 cargo test bad` writes the `.expected` files; read the difference before committing it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs};

use rappel::event::Finding;
use rappel::model::inventory::{Inventory, NoPlugins, NoScripts, Options, Reading};
use rappel::model::{Level, Loader, RoleSource};
use rappel::report::snippet;
use rappel::template::{Binding, LookupCall, LookupError, Lookups, Scope, Templar, Value};
use rappel::text::vault::Vault;
use rappel::text::{Diagnostics, Node, NodeKind, Sources, Span, Spanned, config, ini, yaml};

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
            let reading = Reading {
                loader: &loader,
                scripts: &NoScripts,
                plugins: &NoPlugins,
                folder,
                options: &options,
                renamed: std::cell::Cell::default(),
            };
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

/// Runs a broken playbook on this machine, without any module: what is drawn, and the exit status.
fn run(path: &Path) -> String {
    let folder = path.parent().unwrap();
    let name = path.file_name().unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rappel"));
    command.args(["play", "-i", "localhost,", "-c", "local"]).arg(name).current_dir(folder);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", home.path()).stdin(Stdio::null());
    let begun = Instant::now();
    let done = command.output().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(60), "{} took {:?}", path.display(), begun.elapsed());
    let here = format!("{}/", fs::canonicalize(folder).unwrap().display());
    let all = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    let all = all.replace(&here, "").replace(here.trim_end_matches('/'), ".").replace(&home.path().display().to_string(), "~");
    let mut drawn = String::new();
    let mut inside = false;
    for line in all.lines() {
        inside = line.starts_with("error") || (inside && !line.is_empty());
        if inside {
            drawn += &format!("{}\n", line.trim_end());
        } else if drawn.ends_with('\n') && !drawn.ends_with("\n\n") && line.is_empty() {
            drawn.push('\n');
        }
    }
    assert!(matches!(done.status.code(), Some(1 | 2 | 4)), "{}: {:?}\n{all}", path.display(), done.status);
    assert!(drawn.contains("--> "), "{}: no place\n{all}", path.display());
    format!("{}\n\nexit {}\n", drawn.trim_end(), done.status.code().unwrap_or_default())
}

#[test]
fn every_playbook_that_cannot_work_says_where() {
    let mut wrong = Vec::new();
    for path in children(Path::new("tests/bad/run")).into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "yml")) {
        let found = run(&path);
        let file = path.with_extension("expected");
        if env::var_os("BLESS").is_some() {
            fs::write(&file, &found).unwrap();
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        if found != expected {
            wrong.push(format!("{}:\n--- expected\n{expected}\n--- found\n{found}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_mistake_is_drawn_as_expected() {
    let mut wrong = Vec::new();
    for folder in children(Path::new("tests/bad")).into_iter().filter(|folder| !folder.ends_with("run")) {
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

/// Variables of a template that is noise.
#[derive(Debug)]
struct Few;

impl Scope for Few {
    fn get(&self, name: &str) -> Option<Binding> {
        let value = match name {
            "a" => Value::from(7_i64),
            "b" => Value::from("text"),
            "c" => Value::list([Value::from(1_i64), Value::from("x")]),
            "d" => Value::map([("k", Value::from(2_i64))]),
            _ => return None,
        };
        Some(Binding::Value(value))
    }

    fn names(&self) -> Vec<String> {
        ["a", "b", "c", "d"].map(str::to_owned).to_vec()
    }
}

impl Lookups for Few {
    fn lookup(&self, call: LookupCall<'_>) -> Result<Vec<Value>, LookupError> {
        Ok(call.terms.to_vec())
    }

    fn names(&self) -> &[&str] {
        &["file"]
    }
}

proptest::proptest! {
    #[test]
    fn no_template_panics(pieces in proptest::collection::vec(proptest::sample::select(TEMPLATE_PIECES), 0..30), noise in ".{0,8}") {
        let text = pieces.concat() + &noise;
        let templar = Templar::new(Sources::default(), Arc::default(), Arc::new(Few));
        let scope: Arc<dyn Scope> = Arc::new(Few);
        let node = |text: &str| Node::new(NodeKind::Str(text.to_owned()), Span::default());
        let begun = Instant::now();
        for expr in [
            templar.compile(&node(&text), &mut Diagnostics::default()),
            templar.compile(&node(&format!("{{{{ {text} }}}}")), &mut Diagnostics::default()),
            templar.condition(&node(&text), &mut Diagnostics::default()),
        ] {
            drop(templar.render(&expr, &scope));
            drop(templar.holds(&expr, &scope));
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{text:?} took {:?}", begun.elapsed());
    }

    #[test]
    fn no_inventory_pattern_option_or_envelope_panics(text in "[a-z0-9=:;,.!&~*?\\[\\]{}'\"$#%|/\\\\ \n\t-]{0,60}") {
        let sources = Sources::default();
        let id = sources.add("hosts.ini", text.clone());
        ini::parse(&sources, id, &mut Diagnostics::default());
        config::parse(&sources, id, &mut Diagnostics::default());
        drop(rappel::model::pairs(&text, id, true));
        drop(rappel::model::inline_options(&text));
        let mut inventory = Inventory::default();
        inventory.add_host("web1", &["web".to_owned()], rappel::model::Variables::default());
        let pattern = rappel::model::Pattern::parse(&[Spanned::new(text.clone(), Span::default())]);
        inventory.select(&pattern, None, &mut Diagnostics::default());
        let sealed = format!("$ANSIBLE_VAULT;1.1;AES256\n{text}");
        assert!(Vault::with_password("pw".to_owned()).open(&sealed).is_err());
        drop(Vault::with_password("pw".to_owned()).open(&text));
    }
}

/// What templates are made of.
const TEMPLATE_PIECES: &[&str] = &[
    "{{ ",
    " }}",
    "{% ",
    " %}",
    "{#",
    "#}",
    "a",
    "b",
    "c",
    "d",
    "nope",
    ".k",
    "[0]",
    "[1:",
    "]",
    "(",
    ")",
    " | ",
    "default",
    "upper",
    "join(',')",
    "int",
    "map('upper')",
    "selectattr('k')",
    "sort",
    "list",
    "length",
    "first",
    "regex_replace(",
    "json_query('",
    "to_json",
    "from_yaml",
    "combine(",
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "**",
    "~",
    " in ",
    " is ",
    "defined",
    " not ",
    " and ",
    " or ",
    " if ",
    " else ",
    "==",
    "<",
    "for x in ",
    "endfor",
    "endif",
    "set y = ",
    "macro m(",
    "endmacro",
    "m(",
    "'",
    "\"",
    ",",
    ":",
    "1",
    "0",
    "9",
    "2.5",
    "true",
    "none",
    "lookup('file', ",
    "range(",
    "loop.index",
    "\\",
    "\n",
    "é",
    "-%}",
    "{%-",
    "raw",
    "endraw",
    "'%s' % ",
    ".format(",
    ".items()",
    ".append(",
    "namespace(",
    "dict(",
    "{",
    "}",
];

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
