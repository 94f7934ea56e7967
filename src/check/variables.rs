//! Variables that are defined nowhere, by host and by the way that leads to them; variables that nothing uses.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Subject;
use super::survey::{Seen, Survey, loop_names};
use crate::model::inventory::VarsDir;
use crate::model::{Pattern, inventory::Host};
use crate::plan::{Step, Vars};
use crate::template::{Expr, Templar, Use, UseKind, is_global, to_wire};
use crate::text::{Diagnostic, Diagnostics, Span, Spanned, did_you_mean};
use crate::wire::Value;

/// Every expression that a task evaluates when it runs. Its `vars:` are not among them: they are evaluated when they are asked for.
pub(super) fn expressions(step: &Step, templar: &Templar) -> Vec<Arc<Expr>> {
    let mut found: Vec<Arc<Expr>> = step.params.iter().map(|(_, expr)| Arc::new(expr.clone())).collect();
    found.extend(step.whole.clone().map(Arc::new));
    found.extend(step.looped.as_ref().map(|looped| Arc::new(looped.items.clone())));
    let context = &step.context;
    found.extend(context.keywords.iter().map(|(_, expr)| expr.clone()));
    found.extend(context.when.iter().map(|condition| Arc::new(condition.expr.clone())));
    found.extend(context.environment.iter().chain(&context.notify).cloned());
    // Expressions that are parameters, and text until the task runs.
    for (module, param) in [("debug", "var"), ("assert", "that")] {
        let Some(expr) = step.param(param).filter(|_| step.work.name() == module) else { continue };
        match expr.literal().map(to_wire) {
            Some(Value::Str(text)) => found.push(templar.expression(&text, expr.span())),
            Some(Value::List(items)) => {
                found.extend(items.iter().filter_map(Value::as_str).map(|text| templar.expression(text, expr.span())));
            }
            _ => {}
        }
    }
    found
}

/// What all hosts of a play know beside what they have of their own.
struct Known<'a> {
    survey: &'a Survey,
    names: HashSet<String>,
    /// Variables of each host, the files of groups shared.
    hosts: Vec<(String, Vec<Arc<Vars>>)>,
    everywhere: Everywhere,
}

/// Names that tasks set while they run, in any play: `register`, `set_fact`.
#[derive(Clone, Default)]
struct Everywhere {
    names: HashSet<String>,
    open: bool,
}

/// Finds variables that are not defined.
pub(super) fn undefined(surveys: &[Survey], subject: &Subject<'_>, diags: &mut Diagnostics) {
    let everywhere = everywhere(surveys);
    for survey in surveys {
        let mut compiled = HashMap::new();
        let known = Known::new(survey, subject, &everywhere, &mut compiled, diags);
        let mut walk = Walk { known: &known, visited: HashSet::new(), diags };
        for seen in survey.all() {
            walk.step(seen, subject);
        }
    }
}

fn everywhere(surveys: &[Survey]) -> Everywhere {
    let mut found = Everywhere::default();
    for survey in surveys {
        found.open |= survey.open_vars;
        found.names.extend(survey.files.iter().flat_map(|vars| vars.keys().cloned()));
        for seen in survey.all() {
            let step = &seen.step;
            found.names.extend(step.register.iter().map(|name| name.value.clone()));
            match step.work.name() {
                "set_fact" | "add_host" => {
                    found.names.extend(step.params.iter().map(|(name, _)| name.value.clone()));
                    found.open |= step.whole.is_some() || step.params.iter().any(|(name, _)| name.value.contains("{{"));
                }
                "include_vars" => found.names.extend(step.param("name").and_then(super::survey::text)),
                "getent" => found.open = true,
                "service_facts" => drop(found.names.insert("services".to_owned())),
                "package_facts" => drop(found.names.insert("packages".to_owned())),
                _ => {}
            }
        }
    }
    found
}

impl<'a> Known<'a> {
    fn new(
        survey: &'a Survey,
        subject: &Subject<'_>,
        everywhere: &Everywhere,
        compiled: &mut HashMap<usize, Arc<Vars>>,
        diags: &mut Diagnostics,
    ) -> Self {
        let play = &survey.play;
        let mut names: HashSet<String> = subject.magic.iter().map(|name| (*name).to_owned()).collect();
        names.extend(play.vars.keys().chain(subject.extra.keys()).cloned());
        names.extend(play.prompts.iter().map(|prompt| prompt.name.value.clone()));
        for role in &survey.roles {
            names.extend(role.defaults.keys().chain(role.vars.keys()).chain(role.params.keys()).cloned());
        }
        let beside = VarsDir::open(&subject.compiler.loader, &play.dir);
        let mut hosts = Vec::new();
        for host in hosts_of(survey, subject) {
            let written = subject.inventory.vars(host, Some(&beside), diags);
            let vars = written.iter().map(|from| {
                let make = || Arc::new(subject.compiler.named(&from.vars, &mut Diagnostics::default()));
                compiled.entry(Arc::as_ptr(&from.vars) as usize).or_insert_with(make).clone()
            });
            hosts.push((host.name.clone(), vars.collect()));
        }
        Self { survey, names, hosts, everywhere: everywhere.clone() }
    }

    /// The hosts that do not know `name`; `None` when the task or the play knows it for all.
    fn missing(&self, name: &str, step: &Step) -> Option<Vec<&str>> {
        if self.names.contains(name)
            || self.everywhere.names.contains(name)
            || is_global(name)
            || name.starts_with("ansible_")
            || name.starts_with("facter_")
            || name.starts_with("ohai_")
        {
            return None;
        }
        let context = &step.context;
        let role = context.role.as_ref();
        let mut roles = role.into_iter().chain(role.into_iter().flat_map(|role| &role.parents));
        let in_roles = roles.any(|role| [&role.defaults, &role.vars, &role.params].into_iter().any(|vars| vars.contains_key(name)));
        let in_task = context.vars.iter().chain(&context.include_vars).any(|vars| vars.contains_key(name));
        if in_roles || in_task || loop_names(step).iter().any(|known| known == name) {
            return None;
        }
        let lacking = self.hosts.iter().filter(|(_, vars)| !vars.iter().any(|vars| vars.contains_key(name)));
        Some(lacking.map(|(host, _)| host.as_str()).collect())
    }

    /// All that `name` may stand for.
    fn definitions(&self, name: &str, step: &Step) -> Vec<Arc<Expr>> {
        let context = &step.context;
        let role = context.role.as_deref();
        let of_roles = role.into_iter().flat_map(|role| [&role.params, &role.vars, &role.defaults]);
        let of_task = context.vars.iter().chain(&context.include_vars).map(|vars| &**vars);
        let of_play = std::iter::once(&*self.survey.play.vars).chain(self.survey.files.iter().map(|vars| &**vars));
        let own = of_task.chain(of_roles).chain(of_play).filter_map(|vars| vars.get(name).cloned());
        let of_hosts = self.hosts.iter().flat_map(|(_, vars)| vars.iter().filter_map(|vars| vars.get(name).cloned()));
        own.chain(of_hosts).collect()
    }
}

fn hosts_of<'a>(survey: &Survey, subject: &Subject<'a>) -> Vec<&'a Host> {
    let hosts = &survey.play.hosts;
    let text = match hosts.literal().map(to_wire) {
        Some(Value::List(items)) => items.iter().map(Value::to_text).collect::<Vec<_>>().join(","),
        Some(value) => value.to_text(),
        None => return Vec::new(),
    };
    let pattern = Pattern::parse(&[Spanned::new(text, hosts.span())]);
    subject.inventory.select(&pattern, None, &mut Diagnostics::default())
}

struct Walk<'a, 'd> {
    known: &'a Known<'a>,
    visited: HashSet<usize>,
    diags: &'d mut Diagnostics,
}

/// How a variable was reached.
#[derive(Clone, Copy)]
struct Depth {
    /// By how many other variables.
    steps: usize,
    /// It is evaluated whenever the task is.
    certain: bool,
}

impl Walk<'_, '_> {
    fn step(&mut self, seen: &Seen, subject: &Subject<'_>) {
        let step = &seen.step;
        let all: Vec<Use> = expressions(step, &subject.compiler.templar).iter().flat_map(|expr| expr.uses()).collect();
        // What any part of a task asks about, its condition mostly, the other parts may take for granted.
        let asked: HashSet<&str> = all.iter().filter(|used| used.guarded).map(|used| used.name.as_str()).collect();
        for used in all.iter().filter(|used| used.kind == UseKind::Variable && !asked.contains(used.name.as_str())) {
            self.variable(used, seen, None, Depth { steps: 0, certain: used.certain });
        }
    }

    fn variable(&mut self, used: &Use, seen: &Seen, by: Option<Span>, depth: Depth) {
        let step = &seen.step;
        match self.known.missing(&used.name, step) {
            Some(hosts) if !hosts.is_empty() || self.known.hosts.is_empty() => self.report(used, seen, &hosts, by, depth.certain),
            _ if depth.steps < 16 => {
                for definition in self.known.definitions(&used.name, step) {
                    // That it cannot be read is a warning while nothing is known to use it.
                    if let Some(mistake) = definition.mistake().filter(|_| seen.certain && depth.certain) {
                        self.diags.push(mistake.clone().at(by.unwrap_or(used.span), "used here"));
                    }
                    // One look at each definition is enough: it says what the definition lacks, whoever asks.
                    if self.visited.insert(Arc::as_ptr(&definition) as usize) {
                        for inner in definition.uses().iter().filter(|inner| inner.kind == UseKind::Variable && !inner.guarded) {
                            let deeper = Depth { steps: depth.steps + 1, certain: depth.certain && inner.certain };
                            self.variable(inner, seen, by.or(Some(used.span)), deeper);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn report(&mut self, used: &Use, seen: &Seen, hosts: &[&str], by: Option<Span>, certain: bool) {
        let all = self.known.hosts.len();
        let on = match hosts {
            _ if hosts.len() == all => String::new(),
            [one] => format!(" on {one}"),
            [first, second] => format!(" on {first} and {second}"),
            [first, second, rest @ ..] => format!(" on {first}, {second} and {} more of {all} hosts", rest.len()),
            [] => String::new(),
        };
        let message = format!("`{}` is undefined{on}", used.name);
        let certain = certain && seen.certain && !self.known.everywhere.open && !self.known.hosts.is_empty();
        let finding =
            if certain { Diagnostic::error("undefined-variable", message) } else { Diagnostic::warning("undefined-variable", message) };
        let finding = match by {
            Some(span) => finding.at(used.span, "").at(span, "reached from here"),
            None => finding.at(used.span, ""),
        };
        let names = self.known.names.iter().chain(&self.known.everywhere.names).map(String::as_str);
        self.diags.push(match did_you_mean(&used.name, names) {
            Some(close) => finding.help(format!("did you mean `{close}`?")),
            None => finding,
        });
    }
}

/// Finds variables of plays, roles and tasks that nothing mentions.
pub(super) fn unused(surveys: &[Survey], subject: &Subject<'_>, diags: &mut Diagnostics) {
    // What is included may use anything.
    if surveys.iter().any(|survey| survey.open) {
        return;
    }
    let mut mentioned = Mentions::default();
    surveys.iter().for_each(|survey| mentioned.of(survey, subject));
    if mentioned.any {
        return;
    }
    for survey in surveys {
        let roles = survey.roles.iter().filter(|role| super::survey::whole(role)).map(|role| (&role.vars, "the role"));
        for (vars, whose) in std::iter::once((&*survey.play.vars, "the play")).chain(roles) {
            mentioned.report(vars, whose, diags);
        }
        for seen in survey.all() {
            let inherited = seen.step.outer.vars.len();
            for vars in seen.step.context.vars.iter().skip(inherited) {
                mentioned.report(vars, "the task", diags);
            }
        }
    }
}

#[derive(Default)]
struct Mentions {
    names: HashSet<String>,
    /// Some expression can name any variable.
    any: bool,
    seen: HashSet<usize>,
}

impl Mentions {
    fn of(&mut self, survey: &Survey, subject: &Subject<'_>) {
        for seen in survey.all() {
            let step = &seen.step;
            for (_, expr) in &step.params {
                self.expr(expr);
                // `debug: var=x`, `assert: that=…`, file names, role names: text that may be an expression.
                if let Some(value) = expr.literal() {
                    self.words(&to_wire(value).to_text());
                }
            }
            step.whole.iter().chain(&step.name).for_each(|expr| self.expr(expr));
            step.looped.iter().for_each(|looped| self.expr(&looped.items));
            let context = &step.context;
            context.keywords.iter().for_each(|(_, expr)| self.shared(expr));
            context.when.iter().for_each(|condition| self.expr(&condition.expr));
            context.environment.iter().chain(&context.notify).chain(&context.module_defaults).for_each(|expr| self.shared(expr));
            context.vars.iter().chain(&context.include_vars).for_each(|vars| self.vars(vars));
            self.template_file(step, survey, subject);
        }
        let play = &survey.play;
        self.vars(&play.vars);
        [Some(&play.hosts), play.name.as_ref()].into_iter().flatten().for_each(|expr| self.expr(expr));
        play.vars_files.iter().for_each(|expr| self.expr(expr));
        survey.files.iter().for_each(|vars| self.vars(vars));
        for role in &survey.roles {
            [&role.defaults, &role.vars, &role.params].into_iter().for_each(|vars| self.vars(vars));
        }
    }

    /// A template in a file mentions too; one that cannot be found or brings in others may mention anything.
    fn template_file(&mut self, step: &Step, survey: &Survey, subject: &Subject<'_>) {
        let templates = step.work.spec().params.iter().filter(|param| param.kind == crate::module::Kind::LocalTemplate);
        for expr in templates.filter_map(|param| step.param(param.name)) {
            let folders = super::survey::folders(step, &survey.play);
            let path = super::survey::text(expr).and_then(|name| super::files::find(&folders, "templates", &name));
            let found = path.and_then(|path| subject.compiler.templar.look_at(&path, &mut Diagnostics::default()));
            match found {
                Some(template) => {
                    let source = subject.compiler.loader.sources().get(template.span().source);
                    self.any |= ["include", "import", "extends"].iter().any(|word| source.text.contains(word));
                    self.expr(&template);
                }
                None => self.any = true,
            }
        }
    }

    fn vars(&mut self, vars: &Vars) {
        vars.values().for_each(|expr| self.shared(expr));
    }

    fn shared(&mut self, expr: &Arc<Expr>) {
        if self.seen.insert(Arc::as_ptr(expr) as usize) {
            self.expr(expr);
        }
    }

    fn expr(&mut self, expr: &Expr) {
        for used in expr.uses() {
            match used.kind {
                UseKind::Lookup => self.any |= matches!(used.name.as_str(), "vars" | "varnames" | "template"),
                UseKind::Variable if used.name == "vars" || used.name == "hostvars" => self.any = true,
                UseKind::Text => self.words(&used.name),
                _ => drop(self.names.insert(used.name)),
            }
        }
    }

    fn words(&mut self, text: &str) {
        let words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| !word.is_empty());
        self.names.extend(words.map(str::to_owned));
    }

    fn report(&self, vars: &Vars, whose: &str, diags: &mut Diagnostics) {
        for (name, expr) in vars {
            let meant = ["ansible_", "rappel_", "_"].iter().any(|prefix| name.starts_with(prefix));
            if meant || self.names.contains(name) {
                continue;
            }
            let message = format!("nothing uses the variable `{name}` of {whose}");
            diags.push(
                Diagnostic::warning("unused-variable", message).at(expr.span(), "").help("remove it, or check the name where it is used"),
            );
        }
    }
}
