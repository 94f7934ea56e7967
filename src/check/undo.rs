//! Tasks inside a fleet transaction whose work nobody can undo.

use super::Subject;
use super::survey::Survey;
use crate::model::Keyword;
use crate::module::Reversible;
use crate::plan::Work;
use crate::template::to_wire;
use crate::text::{Diagnostic, Diagnostics};

pub(super) fn check(survey: &Survey, _subject: &Subject<'_>, diags: &mut Diagnostics) {
    for seen in survey.all().filter(|seen| seen.transaction && !seen.rescue) {
        let step = &seen.step;
        let reversible = match &step.work {
            Work::Module(entry) => entry.reversible,
            Work::Action(action) => action.reversible,
            Work::Foreign(_) => Reversible::Impossible,
            Work::Named => continue,
        };
        let harmless = step.keyword(Keyword::ChangedWhen).and_then(|expr| to_wire(expr.literal()?).to_bool()) == Some(false);
        let undone = step.context.vars.iter().any(|vars| vars.contains_key("rappel_undo"));
        if reversible != Reversible::Impossible || harmless || undone {
            continue;
        }
        let message = format!("what `{}` does cannot be undone, and this is a transaction", step.module.value);
        let help = "say how in `vars: {rappel_undo: …}`, undo it in a `rescue:`, or say `changed_when: false` if it changes nothing";
        diags.push(Diagnostic::warning("irreversible", message).at(step.module.span, "").help(help));
    }
}
