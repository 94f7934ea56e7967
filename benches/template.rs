//! Templates: 1,000 hosts with 200 variables each, and a template of 1,000 lines.
//!
//! `cargo bench --bench template` measures rappel, `benches/template_ansible.py` the same under ansible-core. Both print the
//! time for one host; `cargo bench --bench template -- --test` only checks that all renders.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use rappel::plan::Vars;
use rappel::template::{Expr, FileOptions, LookupCall, LookupError, Lookups, Scope, Templar, Value};
use rappel::text::vault::Vault;
use rappel::text::{Diagnostics, Sources, yaml};

/// No lookups.
struct Nowhere;

impl Lookups for Nowhere {
    fn lookup(&self, call: LookupCall<'_>) -> Result<Vec<Value>, LookupError> {
        Err(format!("no lookup `{}` here", call.name).into())
    }

    fn names(&self) -> &[&str] {
        &[]
    }
}

/// The variables of a host: a quarter of them plain, a quarter that use another, a quarter lists, a quarter mappings.
fn variables(host: usize) -> String {
    let mut text = format!("inventory_hostname: host{host}\n");
    for index in (0..200).step_by(4) {
        writeln!(text, "v{index}: value {index} of host{host}").unwrap();
        writeln!(text, "v{}: \"{{{{ v{index} }}}}/{{{{ inventory_hostname }}}}\"", index + 1).unwrap();
        writeln!(text, "v{}: [one, two, \"{{{{ v{index} }}}}\"]", index + 2).unwrap();
        writeln!(text, "v{}: {{name: \"{{{{ v{} }}}}\", port: {}, active: true}}", index + 3, index + 1, 8000 + index).unwrap();
    }
    text
}

/// A template that uses every variable once.
fn every_variable() -> String {
    let mut text = String::new();
    for index in (0..200).step_by(4) {
        writeln!(text, "a{index} = {{{{ v{index} | upper }}}}").unwrap();
        writeln!(text, "b{index} = {{{{ v{} | replace('value', 'x') }}}}", index + 1).unwrap();
        writeln!(text, "c{index} = {{{{ v{} | join(', ') }}}}", index + 2).unwrap();
        writeln!(text, "d{index} = {{{{ v{n}.name }}}}:{{{{ v{n}.port + 1 }}}}", n = index + 3).unwrap();
    }
    text
}

/// A template of 1,000 lines: text, values, conditions and loops.
fn thousand_lines() -> String {
    let mut text = String::new();
    for block in 0..100 {
        let index = block % 50 * 4;
        let (line, list, map) = (index + 1, index + 2, index + 3);
        writeln!(text, "# block {block} of {{{{ inventory_hostname }}}}").unwrap();
        writeln!(text, "server {{{{ v{map}.name | default('none') }}}};").unwrap();
        writeln!(text, "listen {{{{ v{map}.port }}}};").unwrap();
        writeln!(text, "{{% if v{map}.active and v{map}['port'] > 8000 %}}").unwrap();
        writeln!(text, "root {{{{ v{line} }}}};").unwrap();
        writeln!(text, "{{% endif %}}").unwrap();
        writeln!(text, "{{% for item in v{list} %}}").unwrap();
        writeln!(text, "allow {{{{ loop.index }}}} {{{{ item | upper }}}};").unwrap();
        writeln!(text, "{{% endfor %}}").unwrap();
        writeln!(text, "# end {block}").unwrap();
    }
    text
}

/// A host's variables, as an inventory has them.
fn scope(templar: &Templar, sources: &Sources, host: usize) -> Arc<dyn Scope> {
    let mut diags = Diagnostics::default();
    let id = sources.add(format!("host{host}.yml"), variables(host));
    let node = yaml::parse(sources, id, &mut diags).remove(0);
    let rappel::text::NodeKind::Map(entries) = node.kind else { panic!("expected a mapping") };
    let vars: Vars = entries
        .iter()
        .map(|(name, value)| (name.as_str().unwrap_or_default().to_owned(), Arc::new(templar.compile(value, &mut diags))))
        .collect();
    assert!(!diags.has_errors());
    Arc::new(vars)
}

fn template(templar: &Templar, sources: &Sources, text: String) -> Expr {
    let id = sources.add("bench.j2", text);
    templar.file(id, &FileOptions::default(), &mut Diagnostics::default()).expect("the template is well-formed")
}

fn benches(criterion: &mut Criterion) {
    let sources = Sources::default();
    let templar = Templar::new(sources.clone(), Arc::new(Vault::default()), Arc::new(Nowhere));
    let hosts: Vec<_> = (0..1000).map(|host| scope(&templar, &sources, host)).collect();
    let mut next = hosts.iter().cycle();
    for (name, text) in [("every variable of one of 1,000 hosts", every_variable()), ("1,000 lines for one host", thousand_lines())] {
        let expr = template(&templar, &sources, text);
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                let scope = next.next().expect("a cycle does not end");
                black_box(templar.render(&expr, scope).expect("all is defined"))
            });
        });
    }
}

criterion_group!(all, benches);
criterion_main!(all);
