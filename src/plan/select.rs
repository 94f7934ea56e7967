//! Which tasks of a plan run: `--tags` and `--skip-tags`.

/// What the user selected by tags.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// `--tags`; empty means `all`.
    pub only: Vec<String>,
    /// `--skip-tags`.
    pub skip: Vec<String>,
}

impl Selection {
    /// Whether a task with these tags runs.
    ///
    /// `always` runs unless skipped by name; `never` runs only when one of the task's own tags is asked for.
    pub fn takes(&self, tags: &[String]) -> bool {
        let has = |tag: &str| tags.iter().any(|found| found == tag);
        self.wanted(tags, &has) && !self.skipped(tags, &has)
    }

    fn wanted(&self, tags: &[String], has: &impl Fn(&str) -> bool) -> bool {
        let asked = |tag: &str| self.only.iter().any(|wanted| wanted == tag);
        let never = has("never");
        if has("always") || (self.only.is_empty() || asked("all")) && !never {
            return true;
        }
        if tags.iter().any(|tag| asked(tag)) {
            return true;
        }
        (asked("tagged") && !tags.is_empty() && !never) || (asked("untagged") && tags.is_empty())
    }

    fn skipped(&self, tags: &[String], has: &impl Fn(&str) -> bool) -> bool {
        let asked = |tag: &str| self.skip.iter().any(|wanted| wanted == tag);
        if asked("all") {
            return !has("always") || asked("always");
        }
        tags.iter().any(|tag| asked(tag)) || (asked("tagged") && !tags.is_empty()) || (asked("untagged") && tags.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selects_as_ansible_documents() {
        // --tags, --skip-tags, the task's tags, whether it runs
        let cases = [
            ("", "", "", true),
            ("", "", "a", true),
            ("a", "", "a,b", true),
            ("a", "", "b", false),
            ("a", "", "", false),
            ("a", "", "always", true),
            ("", "", "never", false),
            ("never", "", "never", true),
            ("debug", "", "never,debug", true),
            ("all", "", "never,debug", false),
            ("tagged", "", "a", true),
            ("tagged", "", "", false),
            ("untagged", "", "", true),
            ("untagged", "", "a", false),
            ("", "a", "a,b", false),
            ("", "a", "b", true),
            ("", "always", "always", false),
            ("", "tagged", "a", false),
            ("", "untagged", "", false),
            ("a", "b", "a,b", false),
            ("", "all", "always", true),
        ];
        let split = |text: &str| text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        for (only, skip, tags, runs) in cases {
            let selection = Selection { only: split(only), skip: split(skip) };
            assert_eq!(selection.takes(&split(tags)), runs, "--tags {only} --skip-tags {skip} on [{tags}]");
        }
    }
}
