//! `params!`: one declaration of a module's parameters gives the struct, its decoding, its spec and its documentation.

use crate::wire::{Map, Value, parse_float};

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Text; other scalars are converted as Python's `str()` would.
    Str,
    /// A whole number, or text that is one.
    Int,
    /// A number, or text that is one.
    Float,
    /// A boolean in any of Ansible's spellings.
    Bool,
    /// A path on the host; `~` and `$VAR` are expanded there.
    Path,
    /// A file mode: `0644`, `"u=rw,g=r"`, `preserve`.
    Mode,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list; text is split at commas.
    List(&'static Kind),
    /// A mapping; text is read as JSON or `k=v` pairs.
    Map,
    /// Anything, untouched.
    Any,
    /// A file of the controller: its content goes along as a blob. The parameter itself stays the path.
    LocalFile,
    /// A template of the controller: rendered there, the result goes along as a blob.
    LocalTemplate,
}

/// One parameter's declaration.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its canonical name.
    pub name: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// What it takes.
    pub kind: Kind,
    /// Whether it must be given.
    pub required: bool,
    /// What it is when not given, as it is written in Rust; empty for none.
    pub default: &'static str,
    /// Its documentation.
    pub doc: &'static str,
}

/// Everything the controller knows about a module.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Its parameters, in the order of the documentation.
    pub params: &'static [Param],
    /// The parameter that free-form text goes to: `command: ls -l`.
    pub free_form: Option<&'static str>,
    /// Rules between parameters.
    pub rules: &'static [Rule],
}

/// A rule between parameters.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// At most one of them.
    Exclusive(&'static [&'static str]),
    /// At least one of them.
    OneOf(&'static [&'static str]),
    /// All or none of them.
    Together(&'static [&'static str]),
    /// When the first is given, these must be too.
    Needs(&'static str, &'static [&'static str]),
    /// When parameter `.0` is `.1`, these must be given.
    When(&'static str, &'static str, &'static [&'static str]),
}

impl Spec {
    /// Of a module about which nothing is known: it takes what it is given.
    pub const OPEN: Self = Self { params: &[], free_form: Some("_raw_params"), rules: &[] };

    /// The parameter called `name`, or with that alias.
    pub fn find(&self, name: &str) -> Option<&'static Param> {
        self.params.iter().find(|param| param.name == name || param.aliases.contains(&name))
    }
}

/// A Rust type that a parameter can have.
pub trait Field: Sized {
    /// What it takes.
    const KIND: Kind;
    /// Whether it must be given when it has no default.
    const REQUIRED: bool = true;
    /// What it is before it is read, and when it is neither given nor required.
    fn blank() -> Self;
    /// Reads it; the error says what was expected.
    fn decode(value: &Value) -> Result<Self, String>;
}

fn expected(what: &str, found: &Value) -> String {
    match found {
        Value::Str(text) => format!("expected {what}, found `{text}`"),
        other => format!("expected {what}, found {}", other.kind()),
    }
}

impl Field for String {
    const KIND: Kind = Kind::Str;
    fn blank() -> Self {
        Self::new()
    }
    fn decode(value: &Value) -> Result<Self, String> {
        match value {
            Value::Null => Err("expected a string, found null".to_owned()),
            other => Ok(other.to_text()),
        }
    }
}

impl Field for bool {
    const KIND: Kind = Kind::Bool;
    fn blank() -> Self {
        false
    }
    fn decode(value: &Value) -> Result<Self, String> {
        value.to_bool().ok_or_else(|| expected("a boolean", value))
    }
}

impl Field for i64 {
    const KIND: Kind = Kind::Int;
    fn blank() -> Self {
        0
    }
    fn decode(value: &Value) -> Result<Self, String> {
        match value {
            Value::Int(number) => Ok(*number),
            #[expect(clippy::cast_possible_truncation, reason = "whole and far inside i64")]
            Value::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => Ok(*number as i64),
            Value::Str(text) => text.trim().parse().map_err(|_| expected("an integer", value)),
            other => Err(expected("an integer", other)),
        }
    }
}

impl Field for f64 {
    const KIND: Kind = Kind::Float;
    fn blank() -> Self {
        0.0
    }
    fn decode(value: &Value) -> Result<Self, String> {
        match value {
            #[expect(clippy::cast_precision_loss, reason = "Python's float() does the same")]
            Value::Int(number) => Ok(*number as f64),
            Value::Float(number) => Ok(*number),
            Value::Str(text) => parse_float(text.trim()).ok_or_else(|| expected("a number", value)),
            other => Err(expected("a number", other)),
        }
    }
}

impl Field for Value {
    const KIND: Kind = Kind::Any;
    fn blank() -> Self {
        Self::Null
    }
    fn decode(value: &Value) -> Result<Self, String> {
        Ok(value.clone())
    }
}

impl Field for Map {
    const KIND: Kind = Kind::Map;
    fn blank() -> Self {
        Self::new()
    }
    fn decode(value: &Value) -> Result<Self, String> {
        match value {
            Value::Map(map) => Ok(map.clone()),
            Value::Str(text) => match serde_json::from_str(text) {
                Ok(Value::Map(map)) => Ok(map),
                _ => pairs(text).ok_or_else(|| expected("a mapping", value)),
            },
            other => Err(expected("a mapping", other)),
        }
    }
}

fn pairs(text: &str) -> Option<Map> {
    text.split([',', ' '])
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').map(|(key, value)| (key.to_owned(), value.into())))
        .collect()
}

impl<T: Field> Field for Vec<T> {
    const KIND: Kind = Kind::List(&T::KIND);
    fn blank() -> Self {
        Self::new()
    }
    fn decode(value: &Value) -> Result<Self, String> {
        match value {
            Value::List(items) => items.iter().map(T::decode).collect(),
            Value::Str(text) if text.is_empty() => Ok(Vec::new()),
            Value::Str(text) => text.split(',').map(|part| T::decode(&Value::from(part.trim()))).collect(),
            scalar @ (Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Map(_)) => Ok(vec![T::decode(scalar)?]),
            Value::Null => Err("expected a list, found null".to_owned()),
        }
    }
}

impl<T: Field> Field for Option<T> {
    const KIND: Kind = T::KIND;
    const REQUIRED: bool = false;
    fn blank() -> Self {
        None
    }
    fn decode(value: &Value) -> Result<Self, String> {
        if value.is_null() { Ok(None) } else { T::decode(value).map(Some) }
    }
}

/// Wraps a kind that is text or a path in Rust but something more to the controller.
macro_rules! text_field {
    ($(#[$doc:meta])* $name:ident, $kind:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name(pub String);

        impl Field for $name {
            const KIND: Kind = $kind;
            fn blank() -> Self {
                Self(String::new())
            }
            fn decode(value: &Value) -> Result<Self, String> {
                String::decode(value).map(Self)
            }
        }
    };
}
text_field!(
    /// A path on the host. [`crate::machine::Machine::path`] expands it.
    PathText, Kind::Path
);
text_field!(
    /// A file of the controller; [`crate::machine::Machine::content`] has its content.
    LocalFile, Kind::LocalFile
);
text_field!(
    /// A template of the controller; [`crate::machine::Machine::content`] has it rendered.
    LocalTemplate, Kind::LocalTemplate
);

/// A file mode as the playbook wrote it; [`crate::machine::Mode`] understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeText(pub String);

impl Field for ModeText {
    const KIND: Kind = Kind::Mode;
    fn blank() -> Self {
        Self(String::new())
    }
    fn decode(value: &Value) -> Result<Self, String> {
        match value {
            // YAML has read 0644 as octal already, so the number itself is the mode.
            Value::Int(number) => Ok(Self(format!("{number:o}"))),
            Value::Str(text) => Ok(Self(text.clone())),
            other => Err(expected("a file mode", other)),
        }
    }
}

/// Reads parameter `name` of `params` into `slot`. When it cannot, `problem` names the parameter, unless an earlier one had a
/// problem. By then the controller has checked it, so this is a template that gave something unexpected.
#[inline(never)] // hundreds of parameters would be a tenth of the worker
pub fn fill<T: Field>(slot: &mut T, params: &Map, name: &str, default: Option<fn() -> T>, problem: &mut Option<String>) {
    let message = match (params.get(name), default) {
        // A null counts as not given, as in Ansible.
        (Some(value), _) if !value.is_null() => match T::decode(value) {
            Ok(read) => {
                *slot = read;
                return;
            }
            Err(message) => format!("parameter `{name}`: {message}"),
        },
        (_, Some(default)) => {
            *slot = default();
            return;
        }
        (_, None) if T::REQUIRED => format!("missing required parameter `{name}`"),
        (_, None) => return,
    };
    problem.get_or_insert(message);
}

/// Which of `words` a value is.
///
/// # Errors
/// None of them.
pub fn choose(value: &Value, words: &[&str]) -> Result<usize, String> {
    let text = value.to_text();
    // YAML 1.1 turns unquoted `yes`/`no` words into booleans.
    let flag = || value.to_bool().and_then(|flag| words.iter().position(|word| Value::from(*word).to_bool() == Some(flag)));
    let found = words.iter().position(|word| *word == text).or_else(flag);
    found.ok_or_else(|| {
        format!("expected one of {}, found `{text}`", words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "))
    })
}

/// A word out of a fixed set, as an enum.
#[macro_export]
macro_rules! choice {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(unreachable_pub, clippy::allow_attributes, reason = "modules are private, some choices are not")]
        $vis enum $name {
            $(#[doc = concat!("`", $word, "`")] $variant),+
        }

        impl $name {
            /// The word in playbooks.
            #[allow(dead_code, unreachable_pub, clippy::allow_attributes, reason = "not every module prints its choices")]
            $vis fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl $crate::module::Field for $name {
            const KIND: $crate::module::Kind = $crate::module::Kind::Choice(&[$($word),+]);
            fn blank() -> Self {
                let [first, ..] = [$(Self::$variant),+];
                first
            }
            fn decode(value: &$crate::wire::Value) -> Result<Self, String> {
                let found = $crate::module::choose(value, &[$($word),+])?;
                Ok([$(Self::$variant),+].get(found).copied().unwrap_or_else(Self::blank))
            }
        }
    };
}

/// Declares a module's parameters: `name | alias: Type = default,` each with a doc comment.
///
/// A type without default is required, unless it is an `Option`. An alias that is no Rust name stands in quotes. Optional
/// tails: `group = file: FileAttributes;` takes in the parameters of another declaration, as often as wanted; `free_form = name;`;
/// `rules = [..];`.
#[macro_export]
macro_rules! params {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[doc = $doc:literal])* $field:ident $(| $alias:tt)* : $ty:ty $(= $default:expr)? ),* $(,)?
        }
        $(group = $group:ident : $group_ty:ty;)*
        $(free_form = $free_form:ident;)?
        $(rules = [$($rule:expr),* $(,)?];)?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        #[allow(dead_code, unreachable_pub, clippy::struct_excessive_bools, clippy::struct_field_names, clippy::allow_attributes, reason = "parameters of a private module")]
        pub struct $name {
            $( $(#[doc = $doc])* pub $field: $ty, )*
            $( #[doc = "Parameters that several modules share."] pub $group: $group_ty, )*
        }

        impl $crate::module::Declared for $name {
            const SPEC: $crate::module::Spec = $crate::module::Spec {
                params: {
                    const OWN: &[$crate::module::Param] = &[$(
                        $crate::module::Param {
                            name: $crate::module::plain_name(stringify!($field)),
                            aliases: &[$($crate::module::plain_name(stringify!($alias))),*],
                            kind: <$ty as $crate::module::Field>::KIND,
                            required: <$ty as $crate::module::Field>::REQUIRED && concat!($(stringify!($default))?).is_empty(),
                            default: concat!($(stringify!($default))?),
                            doc: concat!($($doc, "\n"),*),
                        }
                    ),*];
                    const SHARED: &[&[$crate::module::Param]] = &[$(<$group_ty as $crate::module::Declared>::SPEC.params),*];
                    const ALL: [$crate::module::Param; $crate::module::count(OWN, SHARED)] = $crate::module::joined(OWN, SHARED);
                    &ALL
                },
                free_form: {
                    #[allow(unused_mut, unused_assignments, clippy::allow_attributes, reason = "the tail is optional")]
                    let mut free_form = None;
                    $(free_form = Some(stringify!($free_form));)?
                    free_form
                },
                rules: &[$($($rule),*)?],
            };

            fn blank() -> Self {
                Self {
                    $($field: <$ty as $crate::module::Field>::blank(),)*
                    $($group: <$group_ty as $crate::module::Declared>::blank(),)*
                }
            }

            #[allow(unused_variables, clippy::allow_attributes, reason = "a module may have no parameters")]
            fn fill(&mut self, params: &$crate::wire::Map, problem: &mut Option<String>) {
                $(
                    $crate::module::fill(&mut self.$field, params, const { $crate::module::plain_name(stringify!($field)) }, {
                        #[allow(unused_mut, unused_assignments, clippy::allow_attributes, reason = "the default is optional")]
                        let mut default: Option<fn() -> $ty> = None;
                        $(default = Some(|| $default.into());)?
                        default
                    }, problem);
                )*
                $(<$group_ty as $crate::module::Declared>::fill(&mut self.$group, params, problem);)*
            }
        }
    };
}

/// How many parameters a declaration and the groups that it takes in have together.
pub const fn count(own: &[Param], mut shared: &[&[Param]]) -> usize {
    let mut all = own.len();
    while let [group, groups @ ..] = shared {
        all += group.len();
        shared = groups;
    }
    all
}

/// The parameters of a declaration, then those of the groups that it takes in; `N` is their [`count`].
pub const fn joined<const N: usize>(own: &[Param], mut shared: &[&[Param]]) -> [Param; N] {
    const NONE: Param = Param { name: "", aliases: &[], kind: Kind::Any, required: false, default: "", doc: "" };
    let mut all = [NONE; N];
    let mut left = copy_into(all.as_mut_slice(), own);
    while let [group, groups @ ..] = shared {
        left = copy_into(left, group);
        shared = groups;
    }
    all
}

/// What is left of `target` behind them.
const fn copy_into<'a>(mut target: &'a mut [Param], mut source: &[Param]) -> &'a mut [Param] {
    loop {
        let [param, params @ ..] = source else { return target };
        let [slot, slots @ ..] = target else { return &mut [] };
        *slot = *param;
        (target, source) = (slots, params);
    }
}

/// A parameter's name without the `r#` that Rust wants before its own keywords, or the quotes of a text.
pub const fn plain_name(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        [b'"', .., b'"'] => name.split_at(1).1.split_at(name.len() - 2).0,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::Declared;

    params! {
        pub struct Shared {
            /// From the group.
            mode: Option<ModeText>,
        }
    }
    params! {
        pub struct Other {
            /// From another group.
            owner: Option<String>,
        }
    }
    params! {
        pub struct Unit {
            /// Its own.
            r#type | daemon_type | "daemon-type": String,
        }
        group = shared: Shared;
        group = other: Other;
    }

    #[test]
    fn a_declaration_takes_in_groups_and_names_that_are_no_rust_names() {
        let spec = Unit::SPEC;
        assert_eq!(spec.params.iter().map(|param| param.name).collect::<Vec<_>>(), ["type", "mode", "owner"]);
        assert_eq!(spec.find("daemon-type").map(|param| param.name), Some("type"));
        let given =
            Map::from_iter([("type".to_owned(), "notify".into()), ("mode".to_owned(), "0644".into()), ("owner".to_owned(), "me".into())]);
        let unit = Unit::decode(&given).unwrap();
        assert_eq!(
            (unit.r#type.as_str(), unit.shared.mode, unit.other.owner),
            ("notify", Some(ModeText("0644".to_owned())), Some("me".to_owned()))
        );
    }
}
