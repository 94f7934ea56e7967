//! Modules that change what belongs to the whole host: packages, archives, questions, the host's name.

use serde_json::json;

use super::agent::{Agent, call, params};
use super::hull::{Hull, Law};
use super::source::KEY;

/// A package of nothing, in an archive of its own.
const ARCHIVE: &str = "mkdir -p /srv/archive/tiny/DEBIAN && cd /srv/archive && \
    printf 'Package: rappel-tiny\\nVersion: 1.0\\nArchitecture: all\\nMaintainer: a <a@b.c>\\nDescription: nothing\\n' >tiny/DEBIAN/control && \
    mkdir -p tiny/usr/share/rappel-tiny && echo hello >tiny/usr/share/rappel-tiny/hello && dpkg-deb -b tiny tiny_1.0_all.deb && rm -r tiny && \
    dpkg-scanpackages . >Packages && rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* && \
    echo 'deb [trusted=yes] file:/srv/archive ./' >/etc/apt/sources.list";

fn debian(what: &str) -> Option<Hull> {
    let hull = Hull::start(what)?;
    if !hull.run(&["sh", "-c", "command -v apt-get dpkg-deb"]).0 {
        println!("skipped: {what}: this is no Debian");
        return None;
    }
    Some(hull)
}

#[test]
fn packages_of_debian() {
    let Some(mut hull) = debian("apt, dpkg_selections, package_facts") else { return };
    let (made, said) = hull.run(&["sh", "-c", ARCHIVE]);
    if !made {
        println!("skipped: apt: no archive can be made here: {said}");
        return;
    }
    assert!(hull.call("apt", json!({"update_cache": true})).changed);
    let status = ["sh", "-c", "dpkg-query -W -f '${Status} ${Version}' rappel-tiny 2>&1; ls /usr/share/rappel-tiny 2>&1"];
    hull.prove(&Law { module: "apt", params: json!({"name": "rappel-tiny"}), watch: &[], ask: &status });
    hull.prove(&Law { module: "apt", params: json!({"deb": "/srv/archive/tiny_1.0_all.deb"}), watch: &[], ask: &status });
    hull.call("apt", json!({"name": "rappel-tiny=1.*"}));
    hull.prove(&Law { module: "apt", params: json!({"name": "rappel-tiny", "state": "absent", "purge": true}), watch: &[], ask: &status });
    let facts = serde_json::to_value(hull.call("package_facts", json!({})).data).unwrap();
    assert_eq!(facts["ansible_facts"]["packages"]["rappel-tiny"][0]["version"], "1.0");
    hull.prove(&Law {
        module: "dpkg_selections",
        params: json!({"name": "rappel-tiny", "selection": "hold"}),
        watch: &[],
        ask: &["dpkg", "--get-selections", "rappel-tiny"],
    });
}

#[test]
fn archives_of_debian() {
    let Some(mut hull) = debian("apt_repository, deb822_repository") else { return };
    let archive = json!({"repo": "deb [trusted=yes] http://127.0.0.1:9/shop ./", "filename": "shop", "update_cache": false});
    hull.prove(&Law { module: "apt_repository", params: archive.clone(), watch: &["/etc/apt"], ask: &[] });
    assert!(hull.call("apt_repository", archive.clone()).changed);
    let mut gone = archive;
    gone["state"] = "absent".into();
    hull.prove(&Law { module: "apt_repository", params: gone, watch: &["/etc/apt"], ask: &[] });
    let shop = json!({"name": "shop", "uris": "http://127.0.0.1:9/shop", "suites": "stable", "components": "main", "signed_by": KEY});
    hull.prove(&Law { module: "deb822_repository", params: shop, watch: &["/etc/apt"], ask: &[] });
}

#[test]
fn questions_of_debian() {
    let Some(mut hull) = debian("debconf") else { return };
    if !hull.run(&["sh", "-c", "command -v debconf-set-selections debconf-show"]).0 {
        return println!("skipped: debconf: it is not installed");
    }
    let answer = json!({"name": "rappel-tiny", "question": "rappel-tiny/colour", "value": "blue", "vtype": "string"});
    hull.prove(&Law { module: "debconf", params: answer, watch: &["/var/cache/debconf"], ask: &["debconf-show", "rappel-tiny"] });
}

#[test]
fn the_name_of_a_host() {
    let Some(mut hull) = Hull::start("hostname") else { return };
    if !hull.run(&["hostname"]).0 {
        return println!("skipped: hostname: there is no program `hostname`");
    }
    hull.prove(&Law { module: "hostname", params: json!({"name": "web1.example.com"}), watch: &["/etc/hostname"], ask: &["hostname"] });
}

/// A key as rpm wants it: signed by itself, and with a checksum.
const SIGNED: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n\
    mDMEawmLGhYJKwYBBAHaRw8BAQdAdzu8V8Rv4iKqPkv2ltBBwKnotcSiYZ9oxZHQ\n\
    /a4Tx0S0GHNob3AyIDxzaG9wQGV4YW1wbGUuY29tPoiQBBMWCAA4FiEE8zq+TYpo\n\
    3mHvrA4PtcS6hQIeb68FAmsJixoCGwMFCwkIBwIGFQoJCAsCBBYCAwECHgECF4AA\n\
    CgkQtcS6hQIeb6909QD+MlrVnpAvjJHBaX/LHR8sfwXDcjCvqclLS6WHpB6UFZEB\n\
    AMVYbKuZfw+englzzpvRZUW49kCX7pWtzfh3LysOqCUG\n\
    =ofVj\n\
    -----END PGP PUBLIC KEY BLOCK-----\n";

#[test]
fn keys_of_rpm() {
    let Some(mut hull) = Hull::start("rpm_key") else { return };
    if !hull.run(&["sh", "-c", "command -v rpm && rpm --initdb"]).0 {
        return println!("skipped: rpm_key: rpm is not installed");
    }
    hull.write("/srv/key.asc", SIGNED.as_bytes());
    let ask = ["sh", "-c", "rpm -q gpg-pubkey --qf '%{VERSION}' 2>&1"];
    hull.prove(&Law { module: "rpm_key", params: json!({"key": "/srv/key.asc"}), watch: &[], ask: &ask });
    assert!(hull.call("rpm_key", json!({"key": "/srv/key.asc"})).changed);
    hull.prove(&Law { module: "rpm_key", params: json!({"key": "021E6FAF", "state": "absent"}), watch: &[], ask: &ask });
}

#[test]
fn packages_of_fedora() {
    let Some(mut hull) = Hull::start("dnf") else { return };
    if hull.run(&["sh", "-c", "command -v dnf || command -v dnf5"]).0 {
        let nothing = hull.call("dnf", json!({"name": "rappel-none", "state": "absent"}));
        assert!(!nothing.changed, "what is not there need not be removed");
    } else {
        println!("skipped: dnf: it is not installed");
        let failure = hull.agent().run(call("dnf", params(json!({"name": "nginx"})))).unwrap_err();
        assert!(failure.msg.contains("dnf"), "{}", failure.msg);
    }
}

/// A wheel of nothing.
const WHEEL: &str = "import zipfile; z = zipfile.ZipFile('/srv/tiny-1.0-py3-none-any.whl', 'w'); z.writestr('tiny.py', ''); \
    z.writestr('tiny-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n'); \
    z.writestr('tiny-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nGenerator: us\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n'); \
    z.writestr('tiny-1.0.dist-info/RECORD', 'tiny.py,,\\ntiny-1.0.dist-info/METADATA,,\\ntiny-1.0.dist-info/WHEEL,,\\ntiny-1.0.dist-info/RECORD,,\\n'); z.close()";

#[test]
fn packages_of_python() {
    let Some(mut hull) = Hull::start("pip") else { return };
    if !(hull.run(&["/usr/bin/python3", "-c", WHEEL]).0 && hull.run(&["/usr/bin/python3", "-m", "venv", "/srv/probe"]).0) {
        return println!("skipped: pip: this machine's Python cannot make environments");
    }
    let given = json!({"name": "/srv/tiny-1.0-py3-none-any.whl", "virtualenv": "/srv/env", "virtualenv_command": "/usr/bin/python3 -m venv", "extra_args": "--no-index"});
    let ask = ["sh", "-c", "ls /srv/env/lib/python*/site-packages/tiny.py 2>&1"];
    hull.prove(&Law { module: "pip", params: given, watch: &["/srv/env"], ask: &ask });
}

#[test]
fn services_are_listed() {
    let journal = tempfile::tempdir().unwrap();
    let listed = Agent::start(journal.path()).run(call("service_facts", params(json!({})))).unwrap();
    let facts = serde_json::to_value(&listed.data).unwrap();
    let services = facts["ansible_facts"]["services"].as_object().unwrap();
    assert!(!listed.changed && services.values().all(|service| service["state"].is_string() && service["source"].is_string()));
}

#[test]
fn services_of_an_image_that_does_not_run() {
    let Some(mut hull) = Hull::start("systemd, service") else { return };
    if !hull.run(&["sh", "-c", "command -v systemctl"]).0 {
        return println!("skipped: systemd: there is no systemctl");
    }
    hull.write("/usr/lib/systemd/system/shop.service", b"[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n");
    let ask = ["sh", "-c", "systemctl is-enabled shop; find /etc/systemd/system -name 'shop*'"];
    for module in ["systemd", "service"] {
        let given = json!({"name": "shop", "enabled": true, "use": "systemd"});
        let given = if module == "systemd" { json!({"name": "shop", "enabled": true}) } else { given };
        hull.prove(&Law { module, params: given, watch: &[], ask: &ask });
    }
    hull.prove(&Law { module: "systemd", params: json!({"name": "shop", "masked": true}), watch: &[], ask: &ask });
    let failure = hull.agent().run(call("systemd", params(json!({"name": "none", "enabled": true})))).unwrap_err();
    assert_eq!(failure.msg, "Could not find the requested service none: host");
    // Where this can be told from a chroot, nothing is expected to run in it.
    let started = hull.agent().run(call("systemd", params(json!({"name": "shop", "state": "started"}))));
    assert!(
        started.as_ref().map_or_else(|failure| failure.msg == "Service is in unknown state", |outcome| !outcome.changed),
        "{started:?}"
    );
}

#[test]
fn files_that_cannot_be_replaced_are_written_into() {
    let Some(mut hull) = Hull::start("unsafe_writes") else { return };
    hull.write("/srv/a", b"old");
    hull.write("/srv/b", b"");
    assert!(hull.run(&["mount", "--bind", "/srv/a", "/srv/b"]).0);
    let mut run = |given: serde_json::Value, variable: &str| {
        let mut write = call("copy", params(given));
        write.environment = vec![("ANSIBLE_UNSAFE_WRITES".into(), variable.into())];
        hull.agent().run(write).is_ok_and(|outcome| outcome.changed)
    };
    let told = json!({"content": "2", "dest": "/srv/b", "unsafe_writes": false});
    assert_eq!(
        [run(told, "true"), run(json!({"content": "3", "dest": "/srv/b"}), "no"), run(json!({"content": "4", "dest": "/srv/b"}), "true")],
        [false, false, true]
    );
    assert_eq!(std::fs::read(hull.root.join("srv/a")).unwrap(), b"4");
}

#[test]
fn a_dialogue_cannot_be_undone() {
    let journal = tempfile::tempdir().unwrap();
    let mut agent = Agent::start(journal.path());
    let mut ask = call("expect", params(json!({"command": "sh -c 'printf name:; read a; echo got $a'", "responses": {"name:": "x"}})));
    ask.check = true;
    assert!(!agent.run(ask.clone()).unwrap().changed, "a dialogue cannot be predicted");
    agent.begin("t1");
    ask.check = false;
    ask.transaction = Some(rappel::wire::Recording { id: "t1".into(), step: 1, undo: None });
    let outcome = agent.run(ask).unwrap();
    assert!(outcome.changed);
    assert_eq!(outcome.data["stdout"], "name:got x".into());
    assert_eq!(agent.abort("t1").impossible, ["`sh`"]);
}

#[test]
fn history_is_only_appended_to() {
    let (journal, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = root.path().join("history.jsonl");
    let mut agent = Agent::start(journal.path());
    let mut run = |entry: Option<&str>| {
        let mut given = json!({"path": path});
        if let Some(what) = entry {
            given["entry"] = json!({"what": what});
        }
        serde_json::to_value(agent.run(call("ledger", params(given))).unwrap().data).unwrap()
    };
    run(Some("one"));
    let two = run(Some("two"));
    assert_eq!((two["entries"].as_array().map(Vec::len), two["broken"].is_null()), (Some(2), true));
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"one\"", "\"forged\"")).unwrap();
    assert!(!run(None)["broken"].is_null(), "a line that was changed shows");
}

#[test]
fn the_lock_goes_to_the_first_in_the_queue() {
    let (journal, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut agent = Agent::start(journal.path());
    let mut run = |action: &str, ticket: Option<i64>| {
        let mut given = json!({"directory": root.path().join("lock"), "action": action, "owner": {"user": "a"}, "reason": "r"});
        if let Some(ticket) = ticket {
            given["ticket"] = ticket.into();
        }
        serde_json::to_value(agent.run(call("lock", params(given))).unwrap().data).unwrap()
    };
    let first = run("take", None);
    let second = run("take", None);
    let number = |answer: &serde_json::Value| answer["ticket"].as_i64().unwrap();
    assert_eq!((first["held"].as_bool(), second["held"].as_bool()), (Some(true), Some(false)), "{first} {second}");
    run("release", Some(number(&first)));
    assert_eq!(run("renew", Some(number(&second)))["held"].as_bool(), Some(true));
}
