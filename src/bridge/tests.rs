//! What is found, what is packed, and what is refused.

use std::fs;

use super::imports::scan;
use super::*;

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A tree that looks like an ansible-core, as far as a module needs it.
fn core(root: &Path) -> Places {
    write(root, "py/ansible/release.py", "__version__ = '9.8.7'\n");
    write(root, "py/ansible/module_utils/__init__.py", "");
    write(root, "py/ansible/module_utils/basic.py", "from ansible.module_utils.common import (\n    text as t,  # words\n)\n");
    write(root, "py/ansible/module_utils/common/__init__.py", "");
    write(root, "py/ansible/module_utils/common/text.py", "from ..six import moves\n");
    write(root, "py/ansible/module_utils/six/__init__.py", "");
    write(root, "py/ansible/modules/known.py", "#!/usr/bin/python\nfrom ansible.module_utils.basic import AnsibleModule\n");
    write(root, "py/ansible/modules/acting.py", "#!/usr/bin/python\nfrom ansible.module_utils.basic import AnsibleModule\n");
    write(root, "py/ansible/plugins/action/acting.py", "");
    Places { python: vec![root.join("py")], ..Places::default() }
}

#[test]
fn imports_are_found_and_nothing_else() {
    let source = r#"
"""import ansible.module_utils.doc"""
DOCUMENTATION = r'''
the certificate's content (see "there,
import ansible.module_utils.more
'''
EMPTY = ""
import os, ansible.module_utils.a as a  # import ansible.module_utils.comment
from ansible.module_utils.b import \
    one, two as three
try:
    from ansible.module_utils.c import (four,
        five)
except ImportError: import json
x = 'from ansible.module_utils.text import x'; from . import six
from ...module_utils.d import seven
"#;
    let shown: Vec<_> = scan(source)
        .into_iter()
        .map(|import| {
            format!("{} {}{} {} {}", import.line, ".".repeat(import.level), import.module, import.names.join("+"), import.guarded)
        })
        .collect();
    assert_eq!(
        shown,
        [
            "8 os  false",
            "8 ansible.module_utils.a  false",
            "9 ansible.module_utils.b one+two false",
            "12 ansible.module_utils.c four+five true",
            "14 json  true",
            "15 . six true",
            "16 ...module_utils.d seven false",
        ]
    );
}

#[test]
fn the_style_is_what_the_protocol_says() {
    for (content, style, language) in [
        ("#!/usr/bin/python\nfrom ansible.module_utils.basic import AnsibleModule\n", Style::Python, Some("python")),
        ("#!/usr/bin/env bash\n# WANT_JSON\n", Style::Json, Some("bash")),
        ("#!/usr/bin/python3 -s\n# WANT_JSON\n# ansible.module_utils\n", Style::Json, Some("python")),
        ("#!/usr/bin/perl\nmy $json = '<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>';\n", Style::Embedded, Some("perl")),
        ("#!/bin/sh\n. $1\n", Style::Words, Some("sh")),
        ("\x7fELF\0\0", Style::Binary, None),
    ] {
        assert_eq!(Style::of(content.as_bytes()), style, "{content:?}");
        let foreign = Foreign {
            name: String::new(),
            dotted: String::new(),
            path: PathBuf::new(),
            style,
            shebang: shebang(content.as_bytes()),
            version: String::new(),
            payload: OnceLock::new(),
            content: Vec::new(),
            parts: pack::Parts::default(),
        };
        assert_eq!(foreign.language().as_deref(), language, "{content:?}");
    }
}

#[test]
fn a_module_of_the_project_brings_what_it_imports() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let library = Library::new(core(root));
    write(
        root,
        "play/library/greet.py",
        "from ansible.module_utils.basic import AnsibleModule\nfrom ansible.module_utils.own import hello\n",
    );
    write(root, "play/module_utils/own.py", "import ansible.module_utils.six.moves.urllib\n");
    let origin = Origin { folders: vec![root.join("play")], ..Origin::default() };
    let found = library.project("greet", &origin).unwrap().unwrap();
    assert_eq!((found.style, found.dotted.as_str(), found.version.as_str()), (Style::Python, "ansible.modules.greet", "9.8.7"));
    assert_eq!(
        found.parts.names(),
        [
            "__main__.py",
            "ansible/__init__.py",
            "ansible/module_utils/__init__.py",
            "ansible/module_utils/basic.py",
            "ansible/module_utils/common/__init__.py",
            "ansible/module_utils/common/text.py",
            "ansible/module_utils/own.py",
            "ansible/module_utils/six/__init__.py",
            "ansible/modules/__init__.py",
            "ansible/modules/greet.py",
        ]
    );
    assert!(found.payload().starts_with(b"PK\x03\x04"));
    assert!(library.project("ansible.builtin.greet", &origin).unwrap().is_none());
    assert!(library.installed("known", &origin).unwrap().is_some());
    assert!(library.installed("ansible.builtin.known", &origin).unwrap().is_some());
    assert!(library.installed("nothing", &origin).unwrap().is_none());
}

#[test]
fn what_is_missing_is_said_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let library = Library::new(core(root));
    write(root, "play/library/lost.py", "import json\nfrom ansible.module_utils.nowhere import x\n");
    write(root, "play/library/silent", "echo hello\n");
    let origin = Origin { folders: vec![root.join("play")], ..Origin::default() };
    let lost = library.project("lost", &origin).unwrap_err();
    assert_eq!(lost.message, "the module imports `ansible.module_utils.nowhere`, which is not on the controller");
    assert_eq!(lost.place, Some((root.join("play/library/lost.py"), 2)));
    assert_eq!(library.project("silent", &origin).unwrap_err().message, "the module `silent` does not say which program runs it");
    let acting = library.installed("acting", &origin).unwrap_err();
    assert!(acting.message.contains("action plugin"), "{acting}");
    let without = Library::new(Places::default());
    without.core.set(None).unwrap();
    let refused = without.project("lost", &origin).unwrap_err();
    assert!(refused.message.contains("there is no ansible-core on the controller"), "{refused}");
}

#[test]
fn modules_of_collections_are_found_beside_the_playbook() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let library = Library::new(core(root));
    let plugins = "play/collections/ansible_collections/me/tools/plugins";
    write(
        root,
        &format!("{plugins}/modules/sub/deep.py"),
        "from ...module_utils.shared import x\nfrom ansible.module_utils.basic import y\n",
    );
    write(root, &format!("{plugins}/modules/flat.py"), "from ..module_utils.shared import x\n");
    write(root, &format!("{plugins}/module_utils/shared.py"), "");
    let origin = Origin { folders: vec![root.join("play")], collections: vec!["me.tools".to_owned()] };
    for name in ["me.tools.sub.deep", "me.tools.flat", "flat"] {
        let found = library.installed(name, &origin).unwrap().unwrap();
        assert!(found.parts.names().contains(&"ansible_collections/me/tools/plugins/module_utils/shared.py"), "{name}");
    }
}

#[test]
fn names_lead_where_modules_went() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let places = core(root);
    let routes = "plugin_routing:\n  modules:\n    gone: {redirect: a.old.thing}\n    circle: {redirect: a.old.circle}\n    dead: {tombstone: {removal_version: '1'}}\n";
    write(root, "py/ansible/config/ansible_builtin_runtime.yml", routes);
    let moves = "plugin_routing:\n  modules:\n    thing: {redirect: a.new.thing}\n    circle: {redirect: a.old.circle}\n";
    write(root, "coll/ansible_collections/a/old/meta/runtime.yml", moves);
    write(root, "coll/ansible_collections/a/new/plugins/modules/thing.py", "#!/bin/sh\n");
    let library = Library::new(Places { collections: vec![root.join("coll")], ..places });
    let find = |name| library.installed(name, &Origin::default()).unwrap().map(|found| found.dotted.clone());
    for name in ["gone", "ansible.builtin.gone", "a.old.thing", "a.new.thing"] {
        assert_eq!(find(name).as_deref(), Some("ansible_collections.a.new.plugins.modules.thing"), "{name}");
    }
    for name in ["circle", "a.old.circle", "dead", "unheard"] {
        assert_eq!(find(name), None, "{name}");
    }
}
