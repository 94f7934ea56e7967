//! Modules that keep a file of the system: `mount`, `pam_limits`; and those of which little can be proved without changing the
//! host: `timezone`, `locale_gen`, `selinux` and its kin.

use serde_json::{Value as Json, json};

use super::{Case, Tree, prove};

fn file(content: &str) -> Tree {
    Tree::new().file("f", content)
}

#[test]
fn tables_of_file_systems() {
    let case = |name, mut params: Json, before: &str, after: Option<&str>| {
        params["path"] = "ROOT/data dir".into();
        params["fstab"] = "ROOT/f".into();
        Case {
            name,
            module: "mount",
            params,
            before: file(before),
            after: after.map(file),
            result: json!({"fstab": "ROOT/f"}),
            ..Case::default()
        }
    };
    let wanted = || json!({"src": "/dev/sdb1", "fstype": "ext4", "opts": "noatime", "state": "present"});
    // The path is the test's own, so it is put in when the tree is made.
    prove(&[
        Case {
            params: json!({"path": "/srv/data", "fstab": "ROOT/f", "src": "UUID=1 2", "fstype": "ext4", "state": "present"}),
            result: json!({"opts": "defaults", "dump": "0", "passno": "0", "boot": "yes", "backup_file": ""}),
            after: Some(file("# ours\n/dev/sda1 / ext4 ro 0 1\nUUID=1\\0402 /srv/data ext4 defaults 0 0\n")),
            ..case("adds an entry", wanted(), "# ours\n/dev/sda1 / ext4 ro 0 1", None)
        },
        Case {
            params: json!({"path": "/srv/data/", "fstab": "ROOT/f", "src": "/dev/sdb1", "fstype": "ext4", "opts": "ro", "boot": false, "state": "present"}),
            after: Some(file("/dev/sdb1 /srv/data ext4 ro,noauto 0 0\n")),
            ..case("changes an entry", wanted(), "/dev/sdb1\t/srv/data\text4\trw\t0\t0\n", None)
        },
        Case {
            params: json!({"path": "/srv/data", "fstab": "ROOT/f", "src": "/dev/sdb1", "fstype": "ext4", "opts": "rw", "state": "present"}),
            ..case("has the entry", wanted(), "/dev/sdb1\t/srv/data\text4\trw\n", None)
        },
        Case {
            params: json!({"path": "none", "fstab": "ROOT/f", "src": "/swap2", "fstype": "swap", "opts": "sw", "state": "present"}),
            after: Some(file("/swap1 none swap sw 0 0\n/swap2 none swap sw 0 0\n")),
            ..case("tells swap apart by its source", wanted(), "/swap1 none swap sw 0 0\n", None)
        },
        case("unmounts what is not mounted", json!({"state": "unmounted"}), "", None),
        Case {
            params: json!({"path": "/srv/data", "fstab": "ROOT/f", "state": "absent_from_fstab"}),
            after: Some(file("# /dev/sdb1 /srv/data\n")),
            ..case("forgets an entry", wanted(), "# /dev/sdb1 /srv/data\n/dev/sdb1 /srv/data ext4 rw 0 0\n", None)
        },
        Case {
            params: json!({"path": "data", "fstab": "ROOT/f", "src": "x", "fstype": "ext4", "state": "present"}),
            fails: Some("expected an absolute path, found `data`"),
            ..case("needs a whole path", wanted(), "", None)
        },
    ]);
}

#[test]
fn limits_of_users() {
    let case = |name, more: Json, before: &str, after: Option<&str>| {
        let mut params = json!({"domain": "shop", "limit_type": "soft", "limit_item": "nofile", "value": "64000", "dest": "ROOT/f"});
        more.as_object().unwrap().iter().for_each(|(key, value)| params[key] = value.clone());
        Case { name, module: "pam_limits", params, before: file(before), after: after.map(file), ..Case::default() }
    };
    prove(&[
        case("adds", json!({"comment": "ours"}), "# x\n", Some("# x\nshop\tsoft\tnofile\t64000\t#ours\n")),
        case("changes", json!({}), "shop soft nofile 10 # why\n", Some("shop\tsoft\tnofile\t64000\t# why\n")),
        case("has it", json!({}), "shop  soft  nofile  64000\n", None),
        case("leaves what is higher", json!({"use_max": true}), "shop soft nofile unlimited\n", None),
        case("leaves what is lower", json!({"use_min": true}), "shop soft nofile 10\n", None),
        Case {
            fails: Some("Argument 'value' needs to be a number of 0 or more, or 'unlimited', 'infinity' or '-1'; found `many`"),
            ..case("wants a number", json!({"value": "many"}), "", None)
        },
    ]);
}

#[test]
fn what_the_host_does_not_have_is_said() {
    let case = |name, module, params, fails| Case { name, module, params, fails: Some(fails), ..Case::default() };
    let mut cases =
        vec![case("no such zone", "timezone", json!({"name": "Europe/Nowhere"}), "given timezone \"Europe/Nowhere\" is not available")];
    if std::path::Path::new("/etc/locale.gen").exists() {
        let fails = "The following locales you have entered are not available on your system: xx_YY";
        cases.push(case("no such locale", "locale_gen", json!({"name": "xx_YY"}), fails));
    }
    if !std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        let off = "SELinux is disabled on this host.";
        cases.push(case("a boolean", "seboolean", json!({"name": "x", "state": true}), off));
        cases.push(case("a port", "seport", json!({"ports": "80", "proto": "tcp", "setype": "http_port_t"}), off));
        cases.push(case("a context", "sefcontext", json!({"target": "/srv", "setype": "var_t"}), off));
    }
    prove(&cases);
}

#[test]
fn selinux_is_configured() {
    let case = |name, params: Json, before: &str, after: Option<&str>| Case {
        name,
        module: "selinux",
        params,
        before: file(before).dir("targeted"),
        after: after.map(|after| file(after).dir("targeted")),
        ..Case::default()
    };
    if std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        println!("skipped: SELinux runs here, and its mode is not for tests to change");
        return;
    }
    prove(&[
        case(
            "for the next boot",
            json!({"policy": "targeted", "state": "enforcing", "configfile": "ROOT/f"}),
            "# mode\nSELINUX=permissive\nSELINUXTYPE=targeted\n",
            Some("# mode\nSELINUX=enforcing\nSELINUXTYPE=targeted\n"),
        ),
        case("off already", json!({"state": "disabled", "configfile": "ROOT/f"}), "SELINUX=disabled\nSELINUXTYPE=targeted\n", None),
        Case {
            fails: Some("Policy strict does not exist in ROOT/"),
            ..case(
                "no such policy",
                json!({"policy": "strict", "state": "enforcing", "configfile": "ROOT/f"}),
                "SELINUXTYPE=targeted\n",
                None,
            )
        },
    ]);
}

/// `semanage` as it answers on a host with SELinux.
#[test]
fn selinux_that_is_right_is_left_alone() {
    let semanage = "#!/bin/sh\ncase \"$*\" in\n\
        'port --list'*) printf 'http_port_t                    tcp      80, 81, 443, 488, 8008, 8009, 8443, 9000\\n';;\n\
        'fcontext --list'*) printf '/srv/shop(/.*)?                                    all files          system_u:object_r:httpd_sys_content_t:s0 \\n';;\n\
        'boolean --list'*) printf 'httpd_can_network_connect      (on   ,   on)  Allow httpd to connect\\n';;\n*) exit 1;;\nesac\n";
    let getsebool = "#!/bin/sh\necho \"$1 --> on\"\n";
    let before = || Tree::new().dir("bin").file_mode("bin/semanage", semanage, 0o755).file_mode("bin/getsebool", getsebool, 0o755);
    let case = |name, module, mut params: Json| {
        params["ignore_selinux_state"] = true.into();
        Case { name, module, params, before: before(), path: Some("ROOT/bin"), ..Case::default() }
    };
    prove(&[
        case("the port has its type", "seport", json!({"ports": "443,9000", "proto": "tcp", "setype": "http_port_t"})),
        case("the port never had it", "seport", json!({"ports": 22, "proto": "tcp", "setype": "http_port_t", "state": "absent"})),
        case("the files have it", "sefcontext", json!({"target": "/srv/shop(/.*)?", "setype": "httpd_sys_content_t"})),
        case("others never had it", "sefcontext", json!({"target": "/srv/other", "state": "absent"})),
        case("the boolean is on", "seboolean", json!({"name": "httpd_can_network_connect", "state": true, "persistent": true})),
    ]);
}
