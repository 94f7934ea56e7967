//! Which files of a directory go along, by the patterns of `rsync(1)`: the first that matches decides.

use super::glob;

/// One pattern.
#[derive(Clone, Debug)]
struct Pattern {
    include: bool,
    /// Only at the root of what is transferred.
    anchored: bool,
    directory: bool,
    /// The names between slashes; `**` stands for any number of them.
    names: Vec<String>,
}

/// Patterns in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter(Vec<Pattern>);

impl Filter {
    /// Reads rules, each a pattern after `- ` or `+ `.
    ///
    /// # Errors
    /// Names the rule that is none.
    pub(crate) fn parse(rules: &[String]) -> Result<Self, String> {
        rules
            .iter()
            .map(|rule| Pattern::parse(rule).ok_or_else(|| format!("expected `- pattern` or `+ pattern`, found `{rule}`")))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether `path`, relative to the root with `/` between names, is left out.
    pub(crate) fn excludes(&self, path: &str, directory: bool) -> bool {
        self.0.iter().find(|pattern| pattern.matches(path, directory)).is_some_and(|pattern| !pattern.include)
    }
}

impl Pattern {
    fn parse(rule: &str) -> Option<Self> {
        let (sign, pattern) = rule.split_once(' ')?;
        let include = match sign {
            "+" => true,
            "-" => false,
            _ => return None,
        };
        // `dir/***` is the directory and all in it.
        let (pattern, deep) = pattern.strip_suffix("/***").map_or((pattern, false), |pattern| (pattern, true));
        let (pattern, directory) = pattern.strip_suffix('/').map_or((pattern, deep), |pattern| (pattern, true));
        let (pattern, anchored) = pattern.strip_prefix('/').map_or((pattern, false), |pattern| (pattern, true));
        (!pattern.is_empty()).then(|| Self { include, anchored, directory, names: pattern.split('/').map(str::to_owned).collect() })
    }

    fn matches(&self, path: &str, directory: bool) -> bool {
        if self.directory && !directory {
            return false;
        }
        let parts: Vec<&str> = path.split('/').collect();
        if self.anchored {
            return tail(&self.names, &parts);
        }
        (0..parts.len()).any(|from| tail(&self.names, parts.get(from..).unwrap_or_default()))
    }
}

/// Whether the names match all the parts.
fn tail(names: &[String], parts: &[&str]) -> bool {
    match (names.split_first(), parts.split_first()) {
        (None, None) => true,
        (Some((name, names_left)), _) if name == "**" => {
            tail(names_left, parts) || parts.split_first().is_some_and(|(_, left)| tail(names, left))
        }
        (Some((name, names_left)), Some((part, left))) => glob::matches(name, part) && tail(names_left, left),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_to_rsync() {
        let excludes = |rules: &[&str], path: &str, directory: bool| {
            Filter::parse(&rules.iter().map(|rule| (*rule).to_owned()).collect::<Vec<_>>()).unwrap().excludes(path, directory)
        };
        for (rules, path, directory, expected) in [
            (&["- .git"][..], "a/.git", true, true),
            (&["- *.pyc"], "a/b.pyc", false, true),
            (&["- /var"], "var", true, true),
            (&["- /var"], "a/var", true, false),
            (&["- log/"], "log", false, false),
            (&["- a/b"], "x/a/b", false, true),
            (&["- a/**/b"], "a/x/y/b", false, true),
            (&["+ keep.log", "- *.log"], "keep.log", false, false),
            (&["+ keep.log", "- *.log"], "other.log", false, true),
        ] {
            assert_eq!(excludes(rules, path, directory), expected, "{rules:?} {path}");
        }
        assert!(Filter::parse(&["merge x".to_owned()]).is_err());
    }
}
