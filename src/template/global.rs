//! Names that every template knows: `range`, `lookup`, `now`, `omit` …

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::arguments::Args;
use super::error::{Error, Result};
use super::eval::{Eval, hashable};
use super::object::{Function, Namespace, Object, Range};
use super::session::Session;
use super::value::{Entries, Key, Map, Value};
use super::{LookupCall, Scope, Templar};

/// The value of a name that no variable has.
pub(super) fn get(name: &str) -> Option<Value> {
    let (name, run): (&'static str, fn(&Eval<'_>, Args) -> Result<Value>) = match name {
        "omit" => return Some(Value::Omit),
        "range" => ("range", range),
        "dict" => ("dict", dict),
        "namespace" => ("namespace", namespace),
        "lookup" => ("lookup", |eval, args| lookup(eval, args, false)),
        "query" | "q" => ("query", |eval, args| lookup(eval, args, true)),
        "now" => ("now", super::filter::time::now),
        "undef" => ("undef", undef),
        "cycler" => ("cycler", |_, mut args| Ok(Value::Object(Arc::new(Cycler { items: args.rest(), next: Mutex::new(0) })))),
        "joiner" => ("joiner", |_, mut args| {
            let separator = args.text("sep")?.unwrap_or_else(|| ", ".to_owned());
            Ok(Value::Object(Arc::new(Joiner { separator, used: Mutex::new(false) })))
        }),
        "lipsum" => ("lipsum", lipsum),
        _ => return None,
    };
    Some(Value::Object(Arc::new(Function { name, run })))
}

fn range(_eval: &Eval<'_>, args: Args) -> Result<Value> {
    let mut numbers = Vec::new();
    for value in &args.positional {
        let number = super::python::as_whole(value)
            .ok_or_else(|| Error::failed(format!("'{}' object cannot be interpreted as an integer", value.type_name())))?;
        numbers.push(number);
    }
    let (start, stop, step) = match *numbers {
        [stop] => (0, stop, 1),
        [start, stop] => (start, stop, 1),
        [_, _, 0] => return Err(Error::failed("range() arg 3 must not be zero")),
        [start, stop, step] => (start, stop, step),
        _ => return Err(Error::failed("range expected 1 to 3 arguments")),
    };
    if (stop - start) / step > 100_000 {
        return Err(Error::failed("range too big: more than 100000 items"));
    }
    Ok(Value::Object(Arc::new(Range { start, stop, step })))
}

fn dict(eval: &Eval<'_>, mut args: Args) -> Result<Value> {
    let mut out = Entries::new();
    if let Some(source) = args.next("mapping") {
        let source = eval.session.force(source)?;
        match source.as_entries() {
            Some(entries) => out.extend(entries.iter().map(|(key, value)| (key.clone(), value.clone()))),
            None => {
                for (index, pair) in eval.iterate(&source)?.iter().enumerate() {
                    let pair = eval.iterate(pair)?;
                    let [key, value] = &*pair else {
                        let message = format!("dictionary update sequence element #{index} has length {}; 2 is required", pair.len());
                        return Err(Error::failed(message));
                    };
                    out.insert(Key(hashable(key.clone())?), value.clone());
                }
            }
        }
    }
    out.extend(args.named.drain(..).map(|(name, value)| (Key(Value::Str(name)), value)));
    Ok(Value::Map(Map::open(out)))
}

fn namespace(eval: &Eval<'_>, args: Args) -> Result<Value> {
    let entries = dict(eval, args)?.as_entries().unwrap_or_default();
    let attributes = entries.iter().map(|(key, value)| (Arc::from(key.0.to_text()), value.clone())).collect();
    Ok(Value::Object(Arc::new(Namespace(RwLock::new(attributes)))))
}

fn undef(_eval: &Eval<'_>, mut args: Args) -> Result<Value> {
    Ok(Value::undefined(args.text("hint")?.unwrap_or_else(|| "Mandatory variable has not been overridden".to_owned())))
}

fn lipsum(_eval: &Eval<'_>, _args: Args) -> Result<Value> {
    Ok(Value::from("Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore."))
}

/// `lookup('name', term, …, option=…)`.
fn lookup(eval: &Eval<'_>, mut args: Args, wants_list: bool) -> Result<Value> {
    let name = args.required_text("name")?;
    let name = short(&name).to_owned();
    let wants_list = args.named_flag("wantlist", wants_list);
    let on_error = args.text_named("errors")?.unwrap_or_else(|| "strict".to_owned());
    let terms = args.rest().into_iter().map(|term| eval.ready(term)).collect::<Result<Vec<_>>>()?;
    let mut options = std::mem::take(&mut args.named);
    for (_, value) in &mut options {
        *value = match std::mem::take(value) {
            // `default=` of `vars` is the one place where undefined may go.
            Value::Undefined(missing) if name == "vars" => Value::Undefined(missing),
            value => eval.ready(value)?,
        };
    }
    let found = match super::lookup::builtin(eval, &name, &terms, &options) {
        Some(found) => found,
        None => outside(eval.session.templar, eval.scope, &name, &terms, &options),
    };
    let found = match (found, on_error.as_str()) {
        (Err(error), "ignore" | "warn") if error.code != "unknown-lookup" => {
            drop(error);
            return Ok(if wants_list { Value::list([]) } else { Value::None });
        }
        (found, _) => found?,
    };
    Ok(if wants_list { Value::list(found) } else { joined(found) })
}

/// What `lookup` makes of a list, unless `wantlist` is set.
fn joined(mut found: Vec<Value>) -> Value {
    if found.len() == 1 {
        return found.pop().unwrap_or_default();
    }
    if !found.is_empty() && found.iter().all(|item| item.as_str().is_some()) {
        return Value::from(found.iter().map(Value::to_text).collect::<Vec<_>>().join(","));
    }
    Value::list(found)
}

/// The name of a lookup without the collection that it is from, if that is Ansible's own or the one that some of them went to.
pub fn short(name: &str) -> &str {
    let moved = || name.strip_prefix("community.general.").filter(|short| super::lookup::NAMES.contains(short));
    name.strip_prefix("ansible.builtin.").or_else(|| name.strip_prefix("ansible.legacy.")).or_else(moved).unwrap_or(name)
}

/// That the lookup `name` exists.
pub(super) fn check_lookup(templar: &Templar, name: &str) -> Result<()> {
    let name = short(name);
    let known = templar.lookups.names();
    if known.contains(&name) || super::lookup::NAMES.contains(&name) {
        return Ok(());
    }
    let error = Error::new("unknown-lookup", format!("no lookup named `{name}`"));
    let all = known.iter().copied().chain(super::lookup::NAMES.iter().copied());
    Err(match crate::text::did_you_mean(name, all) {
        Some(meant) => error.help(format!("did you mean `{meant}`?")),
        None => error,
    })
}

/// A lookup that needs the world.
fn outside(templar: &Templar, scope: &Arc<dyn Scope>, name: &str, terms: &[Value], options: &[(Arc<str>, Value)]) -> Result<Vec<Value>> {
    check_lookup(templar, name)?;
    let call = LookupCall { name, terms, options, scope, templar };
    templar.lookups.lookup(call).map_err(|refused| Error {
        help: refused.help,
        trail: refused.labels,
        ..Error::new("lookup-failed", format!("the lookup `{name}` failed: {}", refused.message))
    })
}

/// A lookup as `with_NAME` runs it: its terms are one list.
pub(super) fn lookup_for_loop(templar: &Templar, name: &str, terms: &Value, scope: &Arc<dyn Scope>) -> Result<Vec<Value>> {
    let name = short(name);
    let session = Session::new(templar);
    let terms = match session.force(terms.clone())? {
        Value::List(list) => list.get().to_vec(),
        // Ansible 2.19 takes the mapping as the only item, which nobody can mean.
        Value::Map(_) if matches!(name, "list" | "indexed_items") => return Err(Error::failed(format!("with_{name} expects a list"))),
        other => vec![other],
    };
    let template = Arc::new(super::source::Template::nothing());
    let eval = Eval::new(&session, scope, &template);
    let found = match super::lookup::builtin(&eval, name, &terms, &[]) {
        Some(found) => found?,
        None => outside(templar, scope, name, &terms, &[])?,
    };
    found.into_iter().map(|item| session.finish(item)).collect()
}

/// `cycler('odd', 'even')`.
#[derive(Debug)]
struct Cycler {
    items: Vec<Value>,
    next: Mutex<usize>,
}

impl Object for Cycler {
    fn type_name(&self) -> &'static str {
        "Cycler"
    }

    fn attribute(&self, name: &str) -> Option<Value> {
        let next = *self.next.lock().unwrap_or_else(PoisonError::into_inner);
        (name == "current").then(|| self.items.get(next).cloned().unwrap_or_default())
    }

    fn method(&self, name: &str, _eval: &Eval<'_>, _args: &mut Option<Args>) -> Option<Result<Value>> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        match name {
            "next" => {
                let value = self.items.get(*next).cloned().unwrap_or_default();
                *next = (*next + 1) % self.items.len().max(1);
                Some(Ok(value))
            }
            "reset" => {
                *next = 0;
                Some(Ok(Value::None))
            }
            _ => None,
        }
    }

    fn any(&self) -> &dyn std::any::Any {
        self
    }
}

/// `joiner(', ')`: nothing the first time, the separator after that.
#[derive(Debug)]
struct Joiner {
    separator: String,
    used: Mutex<bool>,
}

impl Object for Joiner {
    fn type_name(&self) -> &'static str {
        "Joiner"
    }

    fn call(&self, _eval: &Eval<'_>, _args: Args) -> Result<Value> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(if std::mem::replace(&mut *used, true) { Value::from(self.separator.as_str()) } else { Value::from("") })
    }

    fn any(&self) -> &dyn std::any::Any {
        self
    }
}
