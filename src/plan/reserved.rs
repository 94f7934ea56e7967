//! Names that a variable should not have: those of keywords, and of what templates have of their own.

use super::Work;
use crate::model::Keyword;
use crate::template::{Expr, is_global};
use crate::text::{Diagnostic, Diagnostics, Span, Spanned};

/// Words of playbooks that are no keywords of the table: what holds or names tasks.
const STRUCTURE: [&str; 5] = ["action", "local_action", "block", "rescue", "always"];

/// Keywords whose names Ansible leaves to everybody.
const FREE: [&str; 4] = ["vars", "gather_subset", "listen", "validate_argspec"];

/// What is to be said where `name` is reserved, in Ansible's words.
pub fn reserved_name(name: &str) -> Option<String> {
    let keyword = || Keyword::TABLE.iter().any(|row| row.name == name);
    let reserved = !FREE.contains(&name) && (STRUCTURE.contains(&name) || keyword() || is_global(name));
    reserved.then(|| format!("Found variable using reserved name: {name}"))
}

/// Warns where `name` is reserved.
pub(super) fn warn(name: &str, span: Span, diags: &mut Diagnostics) {
    let Some(message) = reserved_name(name) else { return };
    let warning = Diagnostic::warning("reserved-name", message).at(span, "");
    diags.push(warning.help("a keyword or a function of templates is called so: rename the variable, so that nobody takes it for that"));
}

/// Warns about the variables that a task sets.
pub(super) fn warn_of_task(work: &Work, params: &[(Spanned<String>, Expr)], register: Option<&Spanned<String>>, diags: &mut Diagnostics) {
    let facts = params.iter().map(|(name, _)| name).filter(|_| work.name() == "set_fact");
    for name in facts.chain(register) {
        warn(&name.value, name.span, diags);
    }
}
