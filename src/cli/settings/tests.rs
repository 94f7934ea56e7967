//! Where a setting comes from and what it may be.

use std::collections::HashMap;

use super::*;

struct Fixed(HashMap<&'static str, String>);

impl Environment for Fixed {
    fn variable(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }
}

/// What is read with `config` as `ansible.cfg` in the working directory.
fn load(config: &str, variables: &[(&'static str, &str)]) -> (tempfile::TempDir, Settings, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ansible.cfg"), config).unwrap();
    let mut environment: HashMap<_, _> = variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    environment.entry("HOME").or_insert("/home/me".to_owned());
    let mut diags = Diagnostics::default();
    let settings = Settings::load(&Sources::default(), &Fixed(environment), folder.path(), &mut diags);
    let findings = diags.iter().map(|found| found.message.replace(folder.path().to_str().unwrap(), "CWD")).collect();
    (folder, settings, findings)
}

#[test]
fn every_default_can_be_read() {
    let (_folder, settings, findings) = load("", &[]);
    assert_eq!(findings, Vec::<String>::new());
    assert_eq!((settings.forks, settings.timeout, settings.host_key_checking, settings.log_path), (5, 10, true, None));
    assert_eq!(settings.roles_path.first(), Some(&PathBuf::from("/home/me/.ansible/roles")));
    assert_eq!(settings.inventory_ignore_extensions.len(), 12);
}

#[test]
fn the_environment_overrides_the_file_overrides_the_default() {
    let config = "[defaults]\nforks = 20\ntimeout = 30\nhost_key_checking = False\nroles_path = ./roles:$BASE/r:/abs\nlog_path =\n\
                  callback_whitelist = timer, profile_tasks\nunheard_of = 1\n[ssh_connection]\ntimeout = 7\n[galaxy]\nserver_list = a\n";
    let (folder, settings, findings) = load(config, &[("ANSIBLE_FORKS", "50"), ("BASE", "/base"), ("NO_COLOR", "anything")]);
    assert_eq!(findings, Vec::<String>::new());
    assert_eq!((settings.forks, settings.timeout, settings.host_key_checking, settings.log_path), (50, 7, false, None));
    assert!(settings.no_color);
    assert_eq!(settings.roles_path, [folder.path().join("./roles"), PathBuf::from("/base/r"), PathBuf::from("/abs")]);
    assert_eq!(settings.callbacks_enabled, ["timer", "profile_tasks"]);
    assert_eq!(settings.file, Some(folder.path().join("ansible.cfg")));
}

#[test]
fn wrong_values_are_reported_and_the_default_taken() {
    let (_folder, settings, findings) = load("[defaults]\nforks = many\n", &[("ANSIBLE_HOST_KEY_CHECKING", "maybe")]);
    assert_eq!(
        findings,
        [
            "expected a whole number for `forks`, found `many`",
            "expected a boolean for `ANSIBLE_HOST_KEY_CHECKING` in the environment, found `maybe`"
        ]
    );
    assert_eq!((settings.forks, settings.host_key_checking), (5, true));
}

#[test]
fn inventories_are_paths_or_a_list_of_hosts() {
    let (folder, settings, _) = load("[defaults]\ninventory = hosts, ansible.cfg\n", &[]);
    let here = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    assert_eq!(settings.inventory.0, [here("hosts"), here("ansible.cfg")]);
    assert_eq!(load("", &[("ANSIBLE_INVENTORY", "web1,web2")]).1.inventory.0, ["web1,web2,"]);
    assert_eq!(load("", &[("ANSIBLE_INVENTORY", "localhost,")]).1.inventory.0, ["localhost,"]);
}

#[test]
fn a_folder_that_anyone_may_write_to_is_not_trusted() {
    let (folder, ..) = load("[defaults]\nforks = 20\n", &[]);
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let mut diags = Diagnostics::default();
    let fixed = Fixed(HashMap::new());
    assert_eq!(Settings::load(&Sources::default(), &fixed, folder.path(), &mut diags).forks, 5);
    assert!(diags.iter().any(|found| found.code == "world-writable"));
    let named = Fixed(HashMap::from([("ANSIBLE_CONFIG", folder.path().to_str().unwrap().to_owned())]));
    assert_eq!(Settings::load(&Sources::default(), &named, folder.path(), &mut Diagnostics::default()).forks, 20);
}
