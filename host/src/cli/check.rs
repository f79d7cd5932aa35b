//! `sangre check`: every query and node of a configuration against the database, without serving anything.
//!
//! What was asked for goes to standard output: the queries with their parameters and the nodes with their limits, or with `--sql`
//! nothing but statements, so that they can be piped. Warnings and problems go to standard error, placed as compilers place them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use crate::api::recipe::{node_options, source_config};
use crate::config::{NodeSettings, NodeSource, Settings};
use crate::dataflow::plan::Plan;
use crate::query::tree::{Kind, Tree};
use crate::query::{Compiled, NodeNumbers, Origin, ResolvedParam, Warning, compile, replica_identities};
use crate::source::{PostgresSource, SourceConfig};
use crate::wasm::{self, HostSettings, NodeEvent, NodeHost, NodeKind};

/// How long all nodes together may take to load, beside their time for compiling: the first script builds its runtime.
const LOADING: Duration = Duration::from_secs(120);

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// The queries that are served, with routes and parameters.
    pub queries: String,
    /// The nodes: where they are, what they are, what they may take.
    pub nodes: String,
    /// One line each, with file, line and column.
    pub warnings: Vec<String>,
    pub problems: Vec<String>,
}

impl Report {
    /// What compiling found.
    pub fn new(settings: &Settings, compiled: &Compiled) -> Self {
        let mut report = Report::default();
        for (name, route, params) in &compiled.queries {
            write_query(&mut report.queries, name, route, params);
        }
        let mut warnings: Vec<_> = compiled.warnings.iter().collect();
        warnings.sort_by_key(|warning| warning.place);
        // A table's rules are part of every query that uses it.
        warnings.dedup();
        let line = |warning: &&Warning| {
            let (line, column) = (warning.place.line, warning.place.column);
            let rest = match warning.numbers {
                None => String::new(),
                Some(numbers) => format!(": {}", of_long_numbers(settings, numbers)?),
            };
            Some(format!("{}:{line}:{column}: warning: {}: {}{rest}", settings.file, warning.path, warning.message))
        };
        report.warnings = warnings.iter().filter_map(line).collect();
        let mut problems: Vec<_> = compiled.problems.0.iter().collect();
        problems.sort_by_key(|problem| problem.place);
        report.problems = problems.iter().map(|problem| problem.in_file(&settings.file)).collect();
        report
    }

    fn summary(&self, settings: &Settings) -> String {
        let count = |number: usize, one: &str, many: &str| match number {
            1 => format!("1 {one}"),
            number => format!("{number} {many}"),
        };
        format!(
            "{}: {}, {}, {}",
            settings.file,
            count(settings.queries.len(), "query", "queries"),
            count(self.warnings.len(), "warning", "warnings"),
            count(self.problems.len(), "problem", "problems"),
        )
    }
}

/// Checks the configuration at `config`; fails if there is any problem.
pub async fn run(config: &Path, sql: bool) -> anyhow::Result<ExitCode> {
    let settings = match Settings::load(config) {
        Ok(settings) => settings,
        Err(error @ crate::config::ConfigError::Read { .. }) => return Err(error.into()),
        Err(error) => {
            writeln!(std::io::stderr(), "{error}")?;
            return Ok(ExitCode::FAILURE);
        }
    };
    let source = source_config(&settings);
    let catalogue = PostgresSource::check(&source).await.context("cannot check against the database")?;
    let compiled = compile(&settings.definitions(), &catalogue);
    let mut report = Report::new(&settings, &compiled);
    report.problems.extend(check_texts(&settings, &source, &compiled).await?);
    let owed = PostgresSource::owed(&source, &compiled.plan.tables).await?;
    report.problems.extend(owed.problems.iter().map(|problem| format!("{}: {problem}", settings.file)));
    if sql {
        let identities = replica_identities(&settings.definitions(), &catalogue);
        std::io::stdout().write_all(statements(&identities, &owed.statements).as_bytes())?;
    } else {
        for (node, checked) in settings.nodes.iter().zip(check_nodes(&settings, &compiled.plan).await?) {
            write_node(&mut report.nodes, node, &checked);
            report.problems.extend(checked.problem);
        }
        std::io::stdout().write_all(format!("{}{}", report.queries, report.nodes).as_bytes())?;
    }
    for line in report.warnings.iter().chain(&report.problems) {
        writeln!(std::io::stderr(), "{line}")?;
    }
    writeln!(std::io::stderr(), "{}", report.summary(&settings))?;
    Ok(if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the database's owner must run, as a script.
fn statements(identities: &[String], owed: &[String]) -> String {
    let mut script: String = identities.iter().chain(owed).map(|statement| format!("{statement};\n")).collect();
    if !identities.is_empty() {
        script += "-- then `sangre check --sql` again: the tables above are not in the publication yet\n";
    }
    if script.is_empty() {
        script += "-- nothing has to be run\n";
    }
    script
}

/// Literals and defaults that Postgres refuses, a line each.
async fn check_texts(settings: &Settings, source: &SourceConfig, compiled: &Compiled) -> anyhow::Result<Vec<String>> {
    let texts = compiled.unread();
    let asked = texts.iter().map(|text| (&*text.ty, text.text.as_str()));
    let read = PostgresSource::read_texts(source, asked).await?;
    let refused = texts.iter().zip(&read).filter_map(|(text, read)| Some(text.refused(read.as_ref().err()?)));
    Ok(refused.map(|problem| problem.in_file(&settings.file)).collect())
}

/// What loading a node found.
#[derive(Clone, Debug, Default)]
struct Checked {
    /// What it is, if it was loaded.
    kind: Option<NodeKind>,
    /// What queries use it as, if any does.
    expected: Option<NodeKind>,
    /// A line.
    problem: Option<String>,
}

/// Loads every node once.
async fn check_nodes(settings: &Settings, plan: &Plan) -> anyhow::Result<Vec<Checked>> {
    let nodes = node_options(settings);
    let specs: Vec<_> = nodes.iter().map(|node| node.spec(plan)).collect();
    if specs.is_empty() {
        return Ok(Vec::new());
    }
    let patience = LOADING + specs.iter().map(|spec| spec.limits.compile_time).max().unwrap_or_default();
    let expected: Vec<Option<NodeKind>> = specs.iter().map(|spec| spec.kind).collect();
    let mut kinds: Vec<Option<NodeKind>> = vec![None; specs.len()];
    let mut told: Vec<Option<Option<String>>> = vec![None; specs.len()];
    let (_host, mut events) = NodeHost::start(HostSettings::default(), specs)?;
    let all = async {
        while told.iter().any(Option::is_none) {
            let Some(event) = events.recv().await else { break };
            match event {
                NodeEvent::Loaded { node, kind, .. } => {
                    kinds[node.0 as usize] = Some(kind);
                    told[node.0 as usize] = Some(None);
                }
                NodeEvent::Failed { node, reason } => told[node.0 as usize] = Some(Some(reason)),
                NodeEvent::Looked { .. } => {}
            }
        }
    };
    let _ = tokio::time::timeout(patience, all).await;
    let problem = |node: &NodeSettings, told: Option<Option<String>>| {
        let reason = told.unwrap_or_else(|| Some(format!("it was not loaded within {} s", patience.as_secs())))?;
        let (NodeSource::Script(path) | NodeSource::Component(path)) = &node.source;
        let reason = wasm::placed(path.parent().unwrap_or(Path::new("")), &reason);
        let place = node.name.place;
        Some(format!("{}:{}:{}: nodes.{}: {reason}", settings.file, place.line, place.column, node.name.text))
    };
    let checked = |(((node, kind), expected), told)| Checked { kind, expected, problem: problem(node, told) };
    Ok(settings.nodes.iter().zip(kinds).zip(expected).zip(told).map(checked).collect())
}

/// A node as it is in the configuration, each limit written out.
fn write_node(out: &mut String, node: &NodeSettings, checked: &Checked) {
    const HOLDS: &str = "a string takes any text";
    let (path, language) = match &node.source {
        NodeSource::Script(path) => (path, language(path)),
        NodeSource::Component(path) => (path, "component"),
    };
    let path = path.strip_prefix(".").unwrap_or(path).display();
    let kind = match (checked.kind, checked.expected) {
        (Some(kind), _) => kind.to_string(),
        // The problem says why, and what it is instead if it is of another kind.
        (None, Some(expected)) => format!("not loaded; queries use it as a {expected}"),
        (None, None) => "kind not known".to_string(),
    };
    writeln!(out, "node {}  {path}  {language}, {kind}", node.name.text).expect(HOLDS);
    for line in node.limits.shown(&node.source).to_string().lines() {
        writeln!(out, "  {line}").expect(HOLDS);
    }
}

/// What becomes of long numbers in a node of its language, and the way out; `None`: it loses nothing.
fn of_long_numbers(settings: &Settings, numbers: NodeNumbers) -> Option<String> {
    const OUT: &str = "write `into`, or an `input` without it, or `numbers: string` for the node";
    let node = settings.nodes.get(numbers.node.0 as usize)?;
    let becomes = match &node.source {
        NodeSource::Script(path) => match language(path) {
            "Python" if numbers.are_integers => return None,
            "Python" => "in Python they are exact as long as they are handed on, and floats round what is computed".into(),
            language => format!("rows in which {language} cannot hold one fail when it is read"),
        },
        NodeSource::Component(_) => {
            "a component in JavaScript fails on rows in which it reads one that it cannot hold, one in Rust rounds what it takes as f64".into()
        }
    };
    Some(format!("{becomes}: {OUT}"))
}

/// The language of a script, by its name.
fn language(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("js" | "mjs") => "JavaScript",
        Some("ts" | "mts") => "TypeScript",
        Some("py") => "Python",
        _ => "script",
    }
}

fn write_query(out: &mut String, name: &str, route: &str, params: &[ResolvedParam]) {
    const HOLDS: &str = "a string takes any text";
    writeln!(out, "{name}  {route}").expect(HOLDS);
    let shown: Vec<_> = params.iter().filter(|param| !matches!(param.origin, Origin::Literal(_))).collect();
    let labels: Vec<String> = shown.iter().map(|param| param.origin.label()).collect();
    let types: Vec<String> = shown.iter().map(|param| type_of(param)).collect();
    let width = |texts: &[String]| texts.iter().map(|text| text.chars().count()).max().unwrap_or(0);
    let (labels_width, types_width) = (width(&labels), width(&types));
    for ((param, label), ty) in shown.iter().zip(&labels).zip(&types) {
        writeln!(out, "  {label:labels_width$}  {ty:types_width$}  {}", remarks(param)).expect(HOLDS);
    }
}

fn type_of(param: &ResolvedParam) -> String {
    match (&param.choices, &param.ty) {
        (Some(choices), _) => choices.join(" | "),
        (None, Some(ty)) => ty.sql.to_string(),
        (None, None) => "json".to_string(),
    }
}

fn remarks(param: &ResolvedParam) -> String {
    let from = match param.origin {
        Origin::Route(_) => "in the route",
        Origin::Query(_) => "in the query string",
        Origin::Claim(_) | Origin::Literal(_) => "from the token",
    };
    let mut remarks = vec![from.to_string()];
    if param.optional {
        remarks.push("optional".to_string());
    }
    for (word, value) in [("default", &param.default), ("min", &param.min), ("max", &param.max)] {
        remarks.extend(value.as_ref().map(|value| format!("{word} {}", plain(value))));
    }
    remarks.join(", ")
}

fn plain(tree: &Tree) -> String {
    match &tree.kind {
        Kind::Text(text) => text.clone(),
        _ => tree.to_value().to_json(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::test_catalogue;

    #[test]
    fn a_script_says_so_where_nothing_has_to_be_run() {
        assert_eq!(statements(&[], &[]), "-- nothing has to be run\n");
        assert_eq!(statements(&[], &["GRANT SELECT ON public.a TO b".into()]), "GRANT SELECT ON public.a TO b;\n");
    }

    #[test]
    fn a_node_is_told_with_all_its_limits_as_they_are_written() {
        let text = "database: x
nodes:
  hours: { script: nodes/hours.py, deadline: 90s, limits: { calls: 1, growth: 1536KiB } }
  open: { component: open.wasm, memory: 1GiB }
limits: { output: 1000 }
";
        let read = |text: &str| Settings::parse(text, "sangre.yaml", Path::new("."), &|_| None).expect("it reads");
        let settings = read(text);
        let mut told = String::new();
        let filter = Checked { kind: Some(NodeKind::Filter), expected: Some(NodeKind::Filter), problem: None };
        write_node(&mut told, &settings.nodes[0], &filter);
        write_node(&mut told, &settings.nodes[1], &Checked::default());
        let expect = "node hours  nodes/hours.py  Python, filter
  deadline: 90s, memory: 256MiB
  limits: { size: 64MiB, files: 1000, output: 1000B, depth: 100, messages: 4MiB, log_lines: 100, calls: 1, growth: 1536KiB }
node open  open.wasm  component, kind not known
  deadline: 100ms, memory: 1GiB
  limits: { size: 64MiB, compile_time: 2m, output: 1000B, depth: 100, messages: 4MiB, log_lines: 100, calls: 1000, growth: 16MiB }
";
        assert_eq!(told, expect);
        // What is told is what a file may say, and says the same.
        for node in &settings.nodes {
            let source = match &node.source {
                NodeSource::Script(path) => format!("script: {}", path.display()),
                NodeSource::Component(path) => format!("component: {}", path.display()),
            };
            let shown = node.limits.shown(&node.source).to_string().replace('\n', ", ");
            let again = read(&format!("database: x\nnodes: {{ again: {{ {source}, {shown} }} }}"));
            assert_eq!(again.nodes[0].limits, node.limits);
        }
    }

    #[test]
    fn what_becomes_of_long_numbers_is_told_of_the_language_they_are_given_to() {
        let warned = |node: &str, from: &str| {
            let text = format!(
                "database: x\nnodes: {{ calc: {{ {node} }} }}\nqueries: {{ a: {{ route: /a, from: {from}, steps: [{{ map: calc }}] }} }}"
            );
            let settings = Settings::parse(&text, "sangre.yaml", Path::new("."), &|_| None).expect("it reads");
            let report = Report::new(&settings, &compile(&settings.definitions(), &test_catalogue()));
            assert!(report.problems.is_empty(), "{:?}", report.problems);
            report.warnings
        };
        let out = "write `into`, or an `input` without it, or `numbers: string` for the node";
        for (node, from, what, becomes) in [
            (
                "script: calc.js",
                "posts",
                "\"id\" (int8)",
                "rows in which JavaScript cannot hold one fail when it is read",
            ),
            (
                "script: calc.ts",
                "places",
                "\"rating\" (numeric)",
                "rows in which TypeScript cannot hold one fail when it is read",
            ),
            (
                "script: calc.py",
                "places",
                "\"rating\" (numeric)",
                "in Python they are exact as long as they are handed on, and floats round what is computed",
            ),
            (
                "component: calc.wasm",
                "posts",
                "\"id\" (int8)",
                "a component in JavaScript fails on rows in which it reads one that it cannot hold, one in Rust rounds what it takes as f64",
            ),
        ] {
            let expected =
                format!(": the answer replaces the element, which has long values of {what}: {becomes}: {out}");
            let [warning] = &warned(node, from)[..] else { panic!("{node}: {:?}", warned(node, from)) };
            assert!(warning.starts_with("sangre.yaml:3:") && warning.ends_with(&expected), "{warning}");
        }
        assert_eq!(warned("script: calc.py", "posts"), [""; 0], "Python's integers have any length");
        assert_eq!(warned("script: calc.js, numbers: string", "posts"), [""; 0]);
    }

    #[test]
    fn the_report_has_types_warnings_and_problems() {
        let text = "database: x
queries:
  places:
    route: \"/places/{owner}\"
    params: { n: { type: int4, default: 20, min: 1, max: 100 }, sort: { choose: { new: [-created_at], name: [name] }, default: new } }
    from: places
    where: { owner_id: $owner, level: { ne: $not } }
    order_by: $sort
    limit: $n
  me: { route: /me, from: users, get: { id: $auth.sub } }
  bad: { route: /bad, from: userz }
";
        let settings = Settings::parse(text, "sangre.yaml", Path::new("."), &|_| None).expect("it reads");
        let compiled = compile(&settings.definitions(), &test_catalogue());
        let report = Report::new(&settings, &compiled);
        let expect = "places  /places/{owner}
  $owner  int8          in the route
  $not    public.level  in the query string
  $sort   new | name    in the query string, default new
  $n      int4          in the query string, default 20, min 1, max 100
me  /me
  $auth.sub  int4  from the token
";
        assert_eq!(report.queries, expect);
        assert_eq!(
            report.warnings,
            [
                "sangre.yaml:3:3: warning: queries.places: takes a parameter, mentions no `$auth` and has no `allow`: any client may ask for any value",
                "sangre.yaml:7:45: warning: queries.places.where.level: `ne: $not` has no index: each live document is tested for each changed row; an equality or a range (lt, lte, gt, gte) on a parameter beside it leaves fewer to test",
            ]
        );
        assert_eq!(
            report.problems,
            ["sangre.yaml:11:29: queries.bad: table \"userz\" does not exist; did you mean \"users\"?"]
        );
        assert_eq!(report.summary(&settings), "sangre.yaml: 3 queries, 2 warnings, 1 problem");
    }
}
