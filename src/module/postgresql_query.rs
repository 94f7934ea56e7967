//! Runs SQL on a PostgreSQL server.
//!
//! ```yaml
//! - postgresql_query: {login_db: shop, query: "SELECT count(*) AS orders FROM orders WHERE paid = %s", positional_args: [true]}
//!   register: answer
//! - debug: {msg: "{{ answer.query_result[0].orders }}"}
//! ```
//!
//! Values of a single `SELECT` keep their types; others come as text. In check mode everything is rolled back.

use super::postgres::{Access, Login, literal};
use super::prelude::*;
use super::{Field, Kind};

params! {
    pub struct PostgresqlQuery {
        /// The SQL; a list is run one after the other.
        query: Queries,
        /// What stands for `%s`, in order.
        positional_args: Option<Vec<Value>>,
        /// What stands for `%(name)s`.
        named_args: Option<Map>,
        /// Outside of a transaction: `VACUUM`.
        autocommit: bool = false,
        /// Where tables are looked for.
        search_path: Vec<String> = Vec::<String>::new(),
        /// How the connection encodes text.
        encoding: Option<String>,
        /// The database.
        login_db | db: String = "postgres",
        /// The role to take on.
        session_role: Option<String>,
        /// Refuse dangerous input; values are always quoted here.
        trust_input: bool = true,
    }
    group = access: Access;
    rules = [Rule::Exclusive(&["positional_args", "named_args"])];
}

/// SQL, which commas do not divide.
#[derive(Clone, Debug)]
pub(super) struct Queries(Vec<String>);

impl Field for Queries {
    const KIND: Kind = Kind::Any;
    fn blank() -> Self {
        Self(Vec::new())
    }
    fn decode(value: &Value) -> Result<Self, String> {
        match value {
            Value::List(queries) => queries.iter().map(String::decode).collect::<Result<_, _>>().map(Self),
            one => String::decode(one).map(|query| Self(vec![query])),
        }
    }
}

impl Module for PostgresqlQuery {
    const REVERSIBLE: Reversible = Reversible::Impossible;

    fn run(self, machine: &mut Machine) -> Result<Outcome, Failure> {
        let login = Login { access: &self.access, role: self.session_role.as_deref() };
        if self.autocommit && machine.checking() {
            return Err(Failure::new("Using autocommit is mutually exclusive with check_mode"));
        }
        let mut all = Vec::new();
        let (mut last, mut status, mut rows) = (Value::from(Map::new()), String::new(), 0);
        let mut shown = String::new();
        for query in &self.query.0 {
            shown = self.filled(query)?;
            let rows_of;
            (rows_of, status) = self.one(&login, &shown, machine)?;
            rows = status.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(rows_of.len());
            // Python's driver has a mapping where there are no rows to have.
            last = if rows_of.is_empty() && !status.starts_with("SELECT") { Map::new().into() } else { Value::List(rows_of) };
            all.push(last.clone());
            let word = status.split(' ').next().unwrap_or_default();
            let wrote = matches!(word, "INSERT" | "UPDATE" | "DELETE" | "MERGE");
            if wrote && rows > 0 || !wrote && !matches!(word, "SELECT" | "SHOW" | "EXPLAIN" | "VALUES") {
                machine.mark_changed();
            }
        }
        let outcome = machine.outcome().with("query", shown).with("statusmessage", status).with("query_result", last);
        Ok(outcome.with("query_all_results", Value::List(all)).with("rowcount", rows).with("query_list", self.query.0))
    }
}

impl PostgresqlQuery {
    fn filled(&self, query: &str) -> Result<String, Failure> {
        if self.positional_args.is_none() && self.named_args.is_none() {
            return Ok(query.to_owned());
        }
        let mut positional = self.positional_args.iter().flatten();
        let mut out = String::new();
        let mut rest = query;
        while let Some(start) = rest.find('%') {
            out.push_str(rest.get(..start).unwrap_or_default());
            let after = rest.get(start + 1..).unwrap_or_default();
            if let Some(tail) = after.strip_prefix('%') {
                out.push('%');
                rest = tail;
            } else if let Some(tail) = after.strip_prefix('s').filter(|_| self.positional_args.is_some()) {
                let value = positional.next().ok_or_else(|| Failure::new("`positional_args` has fewer values than the query has `%s`"))?;
                out.push_str(&quoted(value));
                rest = tail;
            } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|after| after.split_once(")s")) {
                let value = self
                    .named_args
                    .as_ref()
                    .and_then(|args| args.get(name))
                    .ok_or_else(|| Failure::new(format!("`named_args` has no `{name}`")))?;
                out.push_str(&quoted(value));
                rest = tail;
            } else {
                out.push('%');
                rest = after;
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    /// The rows of one query, and what the server says of it.
    fn one(&self, login: &Login<'_>, query: &str, machine: &mut Machine) -> Result<(Vec<Value>, String), Failure> {
        let bare = query.trim().trim_end_matches(';').trim_end();
        let word = bare.split(|character: char| !character.is_alphabetic()).next().unwrap_or_default().to_ascii_uppercase();
        let mut before = String::new();
        if !self.search_path.is_empty() {
            let names: Vec<String> = self.search_path.iter().map(|schema| super::postgres::name(schema)).collect();
            before.push_str(&format!("SET search_path TO {};\n", names.join(", ")));
        }
        if let Some(encoding) = &self.encoding {
            before.push_str(&format!("SET client_encoding TO {};\n", literal(encoding)));
        }
        let reads = matches!(word.as_str(), "SELECT" | "VALUES" | "TABLE" | "SHOW" | "EXPLAIN");
        if reads && word != "SHOW" && word != "EXPLAIN" && !bare.contains(';') {
            // A SELECT may call functions that write; only the server knows.
            let sql = format!(
                "{before}BEGIN;\nSELECT coalesce(json_agg(t), '[]') FROM (\n{bare}\n) t;\n{};",
                if machine.checking() { "ROLLBACK" } else { "COMMIT" }
            );
            let answer = login.ask(&self.login_db, &sql, machine)?;
            let text = answer.first().and_then(|row| row.first()).cloned().unwrap_or_default();
            let rows: Value = serde_json::from_str(&text).map_err(|error| Failure::new(format!("cannot read the answer: {error}")))?;
            let rows = rows.as_list().map(<[Value]>::to_vec).unwrap_or_default();
            let status = format!("SELECT {}", rows.len());
            return Ok((rows, status));
        }
        if !reads && !machine.checking() {
            machine.cannot_undo(format!("SQL `{word} …`"))?;
        }
        let (begin, end) = match (self.autocommit, machine.checking()) {
            (true, _) => ("", ""),
            (false, true) => ("BEGIN;\n", "\n;ROLLBACK;"),
            (false, false) => ("BEGIN;\n", "\n;COMMIT;"),
        };
        login.tagged(&self.login_db, &format!("{before}{begin}"), bare, end, machine)
    }
}

fn quoted(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Int(_) | Value::Float(_) => value.to_text(),
        Value::List(items) => format!("ARRAY[{}]", items.iter().map(quoted).collect::<Vec<_>>().join(", ")),
        other => literal(&other.to_text()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Declared as _;
    use super::*;

    #[test]
    fn values_are_quoted() {
        let filled = |text: &str| {
            let module = PostgresqlQuery::decode(&serde_json::from_str(text).unwrap()).unwrap();
            module.filled(&module.query.0[0]).map_err(|failure| failure.msg)
        };
        let query = r#"{"query": ["SELECT %s, '100%%', %s"], "positional_args": ["it's", null]}"#;
        assert_eq!(filled(query).unwrap(), "SELECT 'it''s', '100%', NULL");
        let query = r#"{"query": ["SELECT %(a)s"], "named_args": {"a": [1, 2]}}"#;
        assert_eq!(filled(query).unwrap(), "SELECT ARRAY[1, 2]");
        assert!(filled(r#"{"query": ["SELECT %s, %s"], "positional_args": [1]}"#).is_err());
    }
}
