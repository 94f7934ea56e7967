//! Which modules a Python source imports. Not a parser of Python: it knows strings, comments and continued lines, which is enough to
//! find every `import` statement and nothing else.

/// One import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Import {
    /// The dotted name, without leading dots.
    pub(super) module: String,
    /// What is taken from it; empty for `import x`.
    pub(super) names: Vec<String>,
    /// The leading dots of a relative import.
    pub(super) level: usize,
    /// Its line.
    pub(super) line: u32,
    /// It stands inside something (`try`, `if`, a function): the source may live without it.
    pub(super) guarded: bool,
}

/// Whether a source is a new-style module: one that imports `ansible.module_utils`.
pub(super) fn uses_module_utils(source: &str) -> bool {
    source.contains("module_utils")
        && scan(source).iter().any(|import| {
            let named = import.names.iter().any(|name| name == "module_utils");
            import.module.starts_with("ansible.module_utils")
                || (import.module == "ansible" && named)
                || (import.module.starts_with("ansible_collections.") && import.module.contains(".plugins.module_utils"))
                || (import.level > 0 && (named || import.module.starts_with("module_utils")))
        })
}

/// All imports of a source.
pub(super) fn scan(source: &str) -> Vec<Import> {
    let mut imports = Vec::new();
    for Statement { text, line, indented } in statements(source) {
        let (text, guarded) = match text.split_once(": ") {
            Some((head, tail)) if !head.contains("import") => (tail.trim(), true),
            _ => (text.trim(), indented),
        };
        if let Some(rest) = text.strip_prefix("import ") {
            for part in rest.split(',') {
                let module = part.split_whitespace().next().unwrap_or_default().to_owned();
                imports.push(Import { module, names: Vec::new(), level: 0, line, guarded });
            }
        } else if let Some(rest) = text.strip_prefix("from")
            && let Some((module, names)) = rest.split_once(" import")
        {
            let module = module.trim();
            let level = module.chars().take_while(|character| *character == '.').count();
            let names = names.trim().trim_start_matches('(').trim_end_matches(')').split(',');
            let names = names.filter_map(|name| name.split_whitespace().next()).map(str::to_owned).collect();
            imports.push(Import { module: module.trim_start_matches('.').to_owned(), names, level, line, guarded });
        }
    }
    imports.retain(|import| import.level > 0 || !import.module.is_empty());
    imports
}

/// One logical line, with the content of its strings left out.
struct Statement {
    text: String,
    line: u32,
    indented: bool,
}

fn statements(source: &str) -> Vec<Statement> {
    let mut found = Vec::new();
    let mut reader = Reader { rest: source, line: 1 };
    let mut text = String::new();
    let mut begun = 1;
    let mut depth = 0_usize;
    while let Some(character) = reader.next() {
        if text.trim().is_empty() {
            begun = if character == '\n' { reader.line } else { reader.line.max(begun) };
        }
        match character {
            '#' => reader.skip_comment(),
            '\'' | '"' => {
                let raw = text.ends_with(['r', 'R']);
                reader.skip_string(character, raw);
                text.push('_');
            }
            '\\' if reader.rest.starts_with('\n') || reader.rest.starts_with("\r\n") => {
                while reader.next().is_some_and(|skipped| skipped != '\n') {}
                text.push(' ');
            }
            '(' | '[' | '{' => {
                depth += 1;
                text.push(character);
            }
            ')' | ']' | '}' => {
                depth = depth.saturating_sub(1);
                text.push(character);
            }
            '\n' | ';' if depth == 0 => {
                close(&mut text, begun, &mut found);
                begun = reader.line;
            }
            '\n' | '\r' => text.push(' '),
            other => text.push(other),
        }
    }
    close(&mut text, begun, &mut found);
    found
}

fn close(text: &mut String, line: u32, found: &mut Vec<Statement>) {
    let statement = std::mem::take(text);
    if statement.contains("import") {
        let indented = statement.starts_with([' ', '\t']);
        found.push(Statement { text: statement.trim().to_owned(), line, indented });
    }
}

struct Reader<'a> {
    rest: &'a str,
    line: u32,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let character = self.rest.chars().next()?;
        self.rest = self.rest.get(character.len_utf8()..).unwrap_or_default();
        self.line += u32::from(character == '\n');
        Some(character)
    }

    fn skip_comment(&mut self) {
        let end = self.rest.find('\n').unwrap_or(self.rest.len());
        self.rest = self.rest.get(end..).unwrap_or_default();
    }

    /// After the first quote.
    fn skip_string(&mut self, quote: char, raw: bool) {
        let end = match self.rest.strip_prefix(&[quote, quote].iter().collect::<String>()) {
            Some(rest) => {
                self.rest = rest;
                String::from_iter([quote, quote, quote])
            }
            None => quote.to_string(),
        };
        while !self.rest.is_empty() {
            if self.rest.starts_with(&end) {
                self.rest = self.rest.get(end.len()..).unwrap_or_default();
                return;
            }
            match self.next() {
                // A quote after a backslash does not end the string, not even a raw one.
                Some('\\') => drop(self.next()),
                Some('\n') if end.len() == 1 && !raw => return,
                _ => {}
            }
        }
    }
}
