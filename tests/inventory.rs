//! Inventories: what `ansible-inventory` said about those in `tests/conformance/inventory`, and how fast big ones are read.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rappel::cli::inventory::View;
use rappel::model::Loader;
use rappel::model::inventory::{ALL, Inventory, NoPlugins, NoScripts, Options, Origin, Reading, Scripts, VarsDir};
use rappel::text::{Diagnostics, Severity, Sources, Vault};
use rappel::wire::Map;

/// The password of what is encrypted in the cases.
const PASSWORD: &str = "pw";

fn loader() -> Loader {
    Loader::new(Sources::default(), Arc::new(Vault::with_password(PASSWORD)))
}

fn load(loader: &Loader, scripts: &dyn Scripts, source: &str) -> Inventory {
    let (options, mut diags) = (Options::default(), Diagnostics::default());
    let reading =
        Reading { loader, scripts, plugins: &NoPlugins, folder: Path::new("/"), options: &options, renamed: std::cell::Cell::default() };
    let inventory = Inventory::load(&reading, &[source.to_owned()], &mut diags);
    assert!(diags.iter().all(|found| found.severity == Severity::Warning), "{diags:?}");
    inventory
}

fn view<'a>(inventory: &'a Inventory, vault: &'a Vault, export: bool) -> View<'a> {
    View { inventory, playbook: None, vault, extra: Map::new(), export, hosts: None, diags: RefCell::default() }
}

#[test]
fn shows_what_ansible_inventory_shows() {
    let mut wrong = Vec::new();
    for case in fs::read_dir("tests/conformance/inventory").unwrap() {
        let folder = case.unwrap().path();
        let source = ["hosts", "hosts.yml"].map(|name| folder.join(name)).into_iter().find(|path| path.exists()).unwrap();
        let (loader, vault) = (loader(), Vault::with_password(PASSWORD));
        let inventory = load(&loader, &NoScripts, source.to_str().unwrap());
        let (whole, export) = (view(&inventory, &vault, false), view(&inventory, &vault, true));
        let all = inventory.group(ALL).unwrap();
        let shown = [
            ("list.json", whole.json()),
            ("export.json", export.json()),
            ("export.yaml", export.yaml()),
            ("graph.txt", whole.graph(all, false)),
            ("vars.txt", whole.graph(all, true)),
        ];
        for (name, found) in shown {
            let expected = fs::read_to_string(folder.join(name)).unwrap();
            if found.trim_end() != expected.trim_end() {
                wrong.push(format!("{}/{name}\n--- expected\n{expected}\n--- found\n{found}", folder.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn variables_come_in_the_order_of_precedence() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("inventory/hosts", "[web]\nw1 v=host\n[web:vars]\nv=web\n[all:vars]\nv=all\n");
    for side in ["inventory", "playbook"] {
        write(&format!("{side}/group_vars/all.yml"), "v: all");
        write(&format!("{side}/group_vars/web/main.yml"), "v: web");
        write(&format!("{side}/host_vars/w1.json"), "{\"v\": \"host\"}");
    }
    let loader = loader();
    let inventory = load(&loader, &NoScripts, folder.path().join("inventory").to_str().unwrap());
    let playbook = VarsDir::open(&loader, &folder.path().join("playbook"));
    let layers = inventory.vars(inventory.host("w1").unwrap(), Some(&playbook), &mut Diagnostics::default());
    let found: Vec<_> = layers.iter().map(|layer| (layer.origin, layer.owner.as_str())).collect();
    let expected = [
        (Origin::Group, "all"),
        (Origin::Group, "web"),
        (Origin::InventoryAll, "all"),
        (Origin::PlaybookAll, "all"),
        (Origin::InventoryGroup, "web"),
        (Origin::PlaybookGroup, "web"),
        (Origin::Host, "w1"),
        (Origin::InventoryHost, "w1"),
        (Origin::PlaybookHost, "w1"),
    ];
    assert_eq!(found, expected);
}

/// A script that prints what it is told to.
struct Prints(&'static str);

impl Scripts for Prints {
    fn run(&self, _script: &Path, arguments: &[&str]) -> Result<String, String> {
        match arguments {
            ["--list"] => Ok(self.0.to_owned()),
            ["--host", host] => Ok(format!("{{\"asked\": \"{host}\"}}")),
            _ => Err("called wrongly".to_owned()),
        }
    }
}

#[test]
fn scripts_give_hosts() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("hosts.sh");
    fs::write(&script, "#!/bin/false\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let hosts = |output: &'static str| {
        let loader = loader();
        let inventory = load(&loader, &Prints(output), script.to_str().unwrap());
        let json = view(&inventory, &Vault::default(), false).json();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        (json["_meta"]["hostvars"].to_string(), json["web"].to_string(), json["site"].to_string())
    };
    let meta =
        r#"{"web": {"hosts": ["a"], "vars": {"x": 1}}, "site": {"children": ["web"]}, "_meta": {"hostvars": {"a": {"y": [1.5, null]}}}}"#;
    assert_eq!(
        hosts(meta),
        (r#"{"a":{"x":1,"y":[1.5,null]}}"#.to_owned(), r#"{"hosts":["a"]}"#.to_owned(), r#"{"children":["web"]}"#.to_owned())
    );
    assert_eq!(hosts(r#"{"web": ["a"]}"#).0, r#"{"a":{"asked":"a"}}"#);
}

#[test]
fn ten_thousand_hosts_are_read_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let lines: String =
        (0..10_000).map(|number| format!("h{number} ansible_host=10.0.{}.{} rack={}\n", number / 250, number % 250, number % 40)).collect();
    let file = folder.path().join("hosts");
    fs::write(&file, format!("[web]\n{lines}[site:children]\nweb\n[site:vars]\nx=1\n")).unwrap();
    let (started, loader) = (Instant::now(), loader());
    let inventory = load(&loader, &NoScripts, file.to_str().unwrap());
    let layers: usize = inventory.hosts().map(|host| inventory.vars(host, None, &mut Diagnostics::default()).len()).sum();
    assert_eq!((inventory.hosts().len(), layers), (10_000, 20_000));
    // Far above what it takes (0.1 s without optimisation), far below what a quadratic way would.
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn scripts_and_constructed_groups_are_what_ansible_makes_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("ansible-inventory");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rappel"), &program).unwrap();
    let (mut wrong, mut cases) = (String::new(), 0);
    for case in fs::read_dir("tests/conformance/dynamic").unwrap() {
        let case = case.unwrap().path();
        let source = Some(case.join("hosts.sh")).filter(|script| script.exists()).unwrap_or_else(|| case.clone());
        for (view, options) in [("list", vec!["--list"]), ("export", vec!["--list", "--export"]), ("graph", vec!["--graph", "--vars"])] {
            let done =
                std::process::Command::new(&program).arg("-i").arg(&source).args(options).env("HOME", folder.path()).output().unwrap();
            let (expected, found) = (fs::read_to_string(case.join(format!("{view}.txt"))).unwrap(), String::from_utf8_lossy(&done.stdout));
            cases += 1;
            if found.trim_end() != expected.trim_end() {
                wrong += &format!("{}/{view}\n--- expected\n{expected}\n--- found\n{found}\n", case.display());
            }
        }
    }
    assert!(wrong.is_empty() && cases >= 15, "{cases} {wrong}");
}
