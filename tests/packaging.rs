//! The recipe for releases: what it packs works, and comes out the same twice.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn run(command: &mut Command) -> String {
    let out = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{command:?}: {text}");
    text
}

/// Without what is only for debuggers, so that packing does not take minutes.
fn program(folder: &Path) -> PathBuf {
    let program = folder.join("program");
    fs::copy(env!("CARGO_BIN_EXE_rappel"), &program).unwrap();
    let _ = Command::new("strip").arg(&program).status();
    program
}

fn dist(program: &Path, out: &Path) -> Vec<(String, Vec<u8>)> {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/dist"));
    command.arg(out).env("RAPPEL_BIN", program).env("PACK_LEVEL", "1").env("SOURCE_DATE_EPOCH", "1700000000");
    run(&mut command);
    let mut files: Vec<_> = fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap())).collect()
}

#[test]
fn a_release_is_packed_the_same_twice_and_works_where_it_is_unpacked() {
    if !Path::new("/usr/bin/dpkg-deb").exists() {
        println!("skipped: `dpkg-deb` is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let program = program(root);
    let first = dist(&program, &root.join("one"));
    let second = dist(&program, &root.join("two"));
    let names: Vec<_> = first.iter().map(|(name, _)| name.as_str()).collect();
    let (version, arch) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    let tarball = format!("rappel-{version}-{arch}-linux.tar.gz");
    assert!(names.len() == 3 && names.contains(&"SHA256SUMS") && names.contains(&tarball.as_str()), "{names:?}");
    for ((name, one), (_, two)) in first.iter().zip(&second) {
        assert!(one == two, "{name} is another one the second time");
    }
    let deb = root.join("one").join(names.iter().find(|name| Path::new(name).extension().is_some_and(|kind| kind == "deb")).unwrap());
    let tree = root.join("tree");
    run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&tree));
    assert_eq!(run(Command::new(tree.join("usr/bin/rappel")).arg("--version")).trim(), format!("rappel {version}"));
    let control = run(Command::new("dpkg-deb").arg("-f").arg(&deb));
    assert!(control.contains("Package: rappel") && control.contains(&format!("Version: {version}")), "{control}");
    for file in
        ["bash-completion/completions/rappel", "zsh/vendor-completions/_rappel", "man/man1/rappel-deploy.1.gz", "doc/rappel/copyright"]
    {
        assert!(tree.join("usr/share").join(file).is_file(), "{file} is missing");
    }
    run(Command::new("md5sum").args(["--check", "--quiet"]).arg(control_file(&deb, root)).current_dir(&tree));
    let listed = run(Command::new("tar").arg("-tvzf").arg(root.join("one").join(&tarball)));
    assert!(
        listed.contains("man/rappel-play.1") && listed.lines().all(|line| line.contains("0/0") && line.contains("2023-11-14")),
        "{listed}"
    );
}

fn control_file(deb: &Path, root: &Path) -> PathBuf {
    let folder = root.join("control");
    run(Command::new("dpkg-deb").arg("-e").arg(deb).arg(&folder));
    folder.join("md5sums")
}
