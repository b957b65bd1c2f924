//! Repository rules as tests; each failure message names the remedy.
//!
//! Invariant: reads files of the repository and the defaults of the configuration, nothing else. Each check collects
//! all findings before it fails, so one run shows the whole list.
//! Deliberately absent: style, which `cargo fmt` and `cargo clippy` check.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// A layer, and its importable modules; an empty list allows all.
pub type Allowed = (&'static str, &'static [&'static str]);

/// Imports that each layer may have, in reading order: only layers above it.
pub const LAYERS: &[(&str, &[Allowed])] = &[
    ("domain", &[]),
    ("process", &[]),
    ("engine", &[("domain", &[])]),
    ("files", &[("domain", &[])]),
    // Of the engine only the trait that ranking calls, and the kernels: the model knows no users, feeds or worlds.
    ("tower", &[("domain", &[]), ("engine", &["numeric", "two_tower"])]),
    ("protocol", &[("domain", &[])]),
    ("embed", &[("domain", &[])]),
    ("store", &[("domain", &[]), ("process", &[]), ("engine", &[])]),
    // The store only as a list of writes; the caller carries them out.
    ("fold", &[("domain", &[]), ("engine", &[]), ("store", &["Write"])]),
    (
        "actors",
        &[("domain", &[]), ("process", &[]), ("engine", &[]), ("protocol", &[]), ("embed", &[]), ("store", &[])],
    ),
    // The engine only through the world, for reading; all learning goes through actors. The store for keys and tokens
    // alone: authentication is part of the gateway.
    (
        "gateway",
        &[
            ("domain", &[]),
            ("process", &[]),
            ("engine", &["features", "learners", "metrics", "world"]),
            ("protocol", &[]),
            ("store", &[]),
            ("actors", &[]),
        ],
    ),
    ("tables", &[("domain", &[]), ("files", &[])]),
    ("training", &[("domain", &[]), ("engine", &["two_tower"]), ("tower", &[]), ("tables", &[])]),
    ("replay", &[("domain", &[]), ("engine", &[]), ("files", &[]), ("fold", &[]), ("tables", &[])]),
    // Of the engine only the exact ROC AUC, the unit of the bounds on learning.
    ("simulate", &[("domain", &[]), ("engine", &["metrics"])]),
    // Keys of the configuration are the settings of the layers that they set.
    (
        "config",
        &[
            ("domain", &["clusterings", "interactions", "json", "metrics"]),
            ("engine", &["metrics", "settings"]),
            ("embed", &[]),
            ("store", &["postgres"]),
            ("actors", &["context", "schedule", "slates"]),
            ("gateway", &["auth", "gorse_settings", "rates", "stream_settings"]),
        ],
    ),
    (
        "app",
        &[
            ("domain", &["ids"]),
            ("process", &[]),
            ("tower", &["Checkpoint"]),
            ("embed", &[]),
            ("store", &[]),
            ("actors", &[]),
            ("gateway", &[]),
            ("config", &[]),
        ],
    ),
    (
        "commands",
        &[
            ("domain", &[]),
            ("process", &[]),
            ("engine", &[]),
            ("embed", &[]),
            ("store", &[]),
            ("fold", &[]),
            ("actors", &[]),
            // Tokens follow the gateway's rules, with and without a server.
            ("gateway", &["access", "keyring", "rest", "timestamps"]),
            ("simulate", &[]),
            ("config", &[]),
            ("app", &[]),
        ],
    ),
    // A program of its own: the server builds without what only this layer imports.
    (
        "offline",
        &[
            ("domain", &[]),
            ("process", &[]),
            ("engine", &[]),
            ("files", &[]),
            ("tower", &[]),
            ("embed", &[]),
            ("store", &[]),
            ("actors", &[]),
            ("tables", &[]),
            ("training", &[]),
            ("replay", &[]),
            ("simulate", &[]),
            ("config", &[]),
            ("app", &[]),
            ("commands", &[]),
        ],
    ),
];

/// Names that the pure engine must not use, and the remedy.
const IMPURE: &[(&str, &str)] = &[
    ("actix", "actors carry effects out: return an effect"),
    ("tokio", "actors carry effects out: return an effect"),
    ("async", "the thinking never waits: return an effect"),
    (".await", "the thinking never waits: return an effect"),
    ("postgres", "what is stored belongs to `store`"),
    ("rusqlite", "what is stored belongs to `store`"),
    ("std::net", "the outside belongs to `actors` and `gateway`"),
    ("std::fs", "the outside belongs to `store`"),
    ("std::thread", "threads belong to `actors`"),
    ("Instant::now", "the caller brings `now`"),
    ("SystemTime", "the caller brings `now`"),
    ("thread_local", "pass the buffer in, or keep it in the state"),
    ("thread_rng", "chance comes from a seed that the caller brings"),
    ("rand::rng", "chance comes from a seed that the caller brings"),
    ("random()", "chance comes from a seed that the caller brings"),
    ("HashMap", "its order differs from run to run: use a BTreeMap or a sorted Vec"),
    ("HashSet", "its order differs from run to run: use a BTreeSet or a bitmap"),
    ("Mutex", "state has one owner: no locks"),
    ("RwLock", "state has one owner: no locks"),
    ("println", "say it in an effect or an error"),
];

/// Impurities that stay. Rankings of a thread reuse their buffers and mark stale slots by a generation. So a ranking never clears
/// memory in proportion to the catalogue.
const EXCUSED: &[(&str, &str)] = &[("src/engine/evidence/item_evidence.rs", "thread_local")];

const LINES_MAX: usize = 600;

/// Documents have chapters in place of modules.
const OTHER_LINES_MAX: usize = 1_000;

/// Longer than [`LINES_MAX`], with the reason why that is better than to part them.
const LONG: &[(&str, &str)] = &[];

#[test]
fn layers_import_only_what_stands_above_them() {
    let mut wrong = String::new();
    let known: BTreeSet<&str> = LAYERS.iter().map(|(layer, _)| *layer).collect();
    for (path, code) in sources() {
        let layer = layer_of(&path);
        if matches!(layer.as_str(), "lib" | "main" | "core") {
            continue; // The map, and the command line on top of everything.
        }
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
            let _ =
                writeln!(wrong, "{path}: `{layer}` has no place yet: add it to LAYERS here and to the map in lib.rs");
            continue;
        };
        for import in imports(&code) {
            let (target, rest) = import.split_once("::").unwrap_or((&import, ""));
            // Within a crate of the workspace `crate::` is the layer itself.
            let own = || modules_of(&layer).contains(target);
            if target == layer || (!known.contains(target) && own()) {
                continue;
            }
            let word = rest.split("::").next().unwrap_or_default();
            let fine =
                allowed.iter().any(|(name, words)| *name == target && (words.is_empty() || words.contains(&word)));
            if !fine {
                let hint = if known.contains(target) {
                    "hand in a Recipient or a trait, or return an effect"
                } else {
                    "no such layer: write the path in full, from the layer on"
                };
                let _ = writeln!(wrong, "{path}: `crate::{import}` is not for `{layer}`: {hint}");
            }
        }
    }
    assert!(wrong.is_empty(), "reading order is import order:\n{wrong}");
}

#[test]
fn the_table_of_layers_is_the_map_of_the_crate() {
    let order: Vec<&str> = LAYERS.iter().map(|(layer, _)| *layer).collect();
    let map = read("src/lib.rs");
    let name = |line: &str| {
        let module = line.strip_prefix("pub mod ").or_else(|| line.strip_prefix("pub use eddyline_"));
        module.map(|module| module.trim_end_matches(';').rsplit([' ', ':']).next().unwrap_or_default().to_owned())
    };
    let modules: Vec<String> = map.lines().filter_map(|line| name(line.trim())).collect();
    // The server's crate does without these.
    let apart = ["files", "tables", "training", "replay", "offline"];
    let served: Vec<&str> = order.iter().copied().filter(|layer| !apart.contains(layer)).collect();
    assert_eq!(modules, served, "lib.rs and this table tell different reading orders");
    let root = read("Cargo.toml");
    let depends = root.split("\n[dependencies]\n").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap_or_default();
    for layer in apart {
        assert!(!depends.contains(&format!("eddyline-{layer} ")), "the server must build without `{layer}`");
    }
    for (index, (layer, allowed)) in LAYERS.iter().enumerate() {
        for (target, _) in *allowed {
            assert!(order[..index].contains(target), "`{layer}` may not import `{target}`, which stands below it");
        }
    }
}

#[test]
fn every_import_that_the_table_allows_is_used() {
    let mut used = BTreeSet::new();
    for (path, code) in sources() {
        for import in imports(&code) {
            used.insert((layer_of(&path), import.split("::").next().unwrap_or_default().to_owned()));
        }
    }
    for (layer, allowed) in LAYERS {
        for (target, _) in *allowed {
            let pair = ((*layer).to_owned(), (*target).to_owned());
            assert!(used.contains(&pair), "`{layer}` no longer imports `{target}`: take it out of the table");
        }
    }
}

#[test]
fn words_and_thinking_are_pure() {
    let mut wrong = String::new();
    for (path, code) in sources() {
        if !matches!(layer_of(&path).as_str(), "domain" | "engine") {
            continue;
        }
        for (number, line) in code.lines().enumerate() {
            for (word, instead) in IMPURE {
                if has_word(line, word) && !EXCUSED.contains(&(path.as_str(), *word)) {
                    let _ = writeln!(wrong, "{path}:{}: `{word}` belongs in the shell: {instead}", number + 1);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "the thinking takes state, event and `now`, and returns effects:\n{wrong}");
}

#[test]
fn every_module_says_what_it_is() {
    let mut wrong = String::new();
    for path in files("src", &["rs"]) {
        if !read(&path).starts_with("//!") {
            let _ = writeln!(wrong, "{path}: open with a sentence of `//!` that says what this is");
        }
    }
    assert!(wrong.is_empty(), "a reader wants to know where they are:\n{wrong}");
}

#[test]
fn borrowed_machinery_is_named_in_one_place() {
    for (words, place) in [
        (&["actix_web_actors"][..], "src/gateway/session.rs"),
        // The project's own code only; the request limiter has one inside.
        (&["dashmap::"][..], "src/actors/directory.rs"),
    ] {
        let named: Vec<String> = sources()
            .into_iter()
            .filter(|(_, code)| words.iter().any(|word| code.contains(word)))
            .map(|(path, _)| path)
            .collect();
        assert_eq!(named, [place], "{words:?} are for {place} alone, so that they can be replaced there");
    }
}

/// The server is to build without the crates that only training and tables need.
#[test]
fn crates_of_the_offline_half_stay_in_their_layers() {
    let mut wrong = String::new();
    for (path, code) in sources() {
        for (word, layer) in [("burn_", "training"), ("parquet::", "tables")] {
            if layer_of(&path) != layer && code.contains(word) {
                let _ = writeln!(wrong, "{path}: `{word}` is for `{layer}`: re-export from there what is needed");
            }
        }
    }
    assert!(wrong.is_empty(), "the server needs neither tensors nor Parquet:\n{wrong}");
}

#[test]
fn every_query_has_a_header() {
    let mut wrong = String::new();
    for path in files("sql/queries", &["sql"]) {
        let text = read(&path);
        if !text.starts_with("--") {
            let _ = writeln!(wrong, "{path}: begin with a comment that says what it does, its parameters and columns");
        }
        let statements = text.lines().filter(|line| !line.starts_with("--")).flat_map(|line| line.matches(';')).count();
        if statements > 1 {
            let _ = writeln!(wrong, "{path}: more than one statement: one query, one file");
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        if !sources().iter().any(|(_, code)| code.contains(name)) {
            let _ = writeln!(wrong, "{path}: nobody reads it");
        }
    }
    assert!(wrong.is_empty(), "one query, one file:\n{wrong}");
}

#[test]
fn every_setting_is_in_the_manual() {
    let mut keys = Vec::new();
    // A metric may have any name, and a feedback type, too.
    let metrics = [("NAME".to_owned(), eddyline::domain::metrics::Declaration::default())].into();
    let kinds = [("NAME".to_owned(), eddyline::domain::interactions::Kind::Click)].into();
    let gorse = eddyline::gateway::gorse_settings::GorseSettings { kinds, ..Default::default() };
    let kinds = gorse.kinds.clone();
    let groups = [("NAME".to_owned(), eddyline::gateway::stream_settings::Group::Flat)].into();
    let app = eddyline::gateway::stream_settings::AppSettings { kinds, groups, ..Default::default() };
    let apps = [("NAME".to_owned(), app)].into();
    let settings = eddyline::config::Config { metrics, gorse, apps, ..eddyline::config::Config::default() };
    collect("", &serde_json::to_value(settings).unwrap(), &mut keys);
    // Secrets are never serialised.
    keys.extend(["secret", "http.key", "gorse.api_key", "apps.NAME.secret"].map(str::to_owned));
    let manual = read("docs/operations.md");
    let rows: BTreeSet<&str> = manual
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | `EDDYLINE_"))
        .map(|row| row.0)
        .collect();
    for key in &keys {
        let variable = format!("`EDDYLINE_{}`", key.replace('.', "__").to_uppercase());
        assert!(
            manual.contains(&format!("| `{key}` | {variable} |")),
            "docs/operations.md: no row for `{key}`, {variable}"
        );
    }
    for row in rows {
        assert!(keys.iter().any(|key| key == row), "docs/operations.md: there is no setting `{row}`");
    }
}

fn collect(above: &str, value: &serde_json::Value, keys: &mut Vec<String>) {
    match value.as_object() {
        Some(table) => {
            for (key, value) in table {
                collect(&format!("{above}{}{key}", if above.is_empty() { "" } else { "." }), value, keys);
            }
        }
        None => keys.push(above.to_owned()),
    }
}

#[test]
fn the_guide_to_experts_names_files_that_exist() {
    let guide = read("docs/experts.md");
    let named: Vec<&str> = guide
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.contains('/') && !word.contains([' ', '*']) && !word.contains("NAME"))
        .filter(|word| [".rs", ".md"].iter().any(|ending| word.ends_with(ending)))
        .collect();
    assert!(named.len() >= 6, "{named:?}");
    for path in named {
        assert!(house().join(path).is_file(), "docs/experts.md: there is no `{path}`");
    }
    // What the list hands out, and what it is called there.
    let list = read("src/domain/feeds.rs");
    assert!(guide.contains("`for_each_expert!`") && list.contains("macro_rules! for_each_expert"));
}

#[test]
fn files_are_short() {
    let mut wrong = String::new();
    for folder in ["src", "static", "sql", "tests", "benches", "loadtests", "docs"] {
        for path in files(folder, &["rs", "js", "mjs", "css", "html", "sql", "md"]) {
            let lines = read(&path).lines().count();
            let excused = LONG.iter().any(|(long, _)| *long == path);
            let most = if path.ends_with(".rs") { LINES_MAX } else { OTHER_LINES_MAX };
            if lines > most && !excused {
                let _ = writeln!(wrong, "{path}: {lines} lines: it has more than one reason to change, so part it");
            }
            if lines <= most && excused {
                let _ = writeln!(wrong, "{path}: {lines} lines: it needs no excuse any more");
            }
        }
    }
    assert!(wrong.is_empty(), "at most {LINES_MAX} lines per file, {OTHER_LINES_MAX} of other files:\n{wrong}");
}

#[test]
fn nothing_names_the_machine_of_its_author() {
    // Assembled here, so that this file does not contain them itself.
    let folders = ["work", "home", "root"].map(|name| format!("/{name}/"));
    let mut wrong = String::new();
    let ours = ["src", "static", "sql", "tests", "benches", "loadtests", "docs", "README.md", "CHANGELOG.md", ".ci"];
    let clients = ["javascript/src", "javascript/test", "javascript/examples", "javascript/README.md"];
    let python = ["python/src", "python/tests", "python/examples", "python/README.md", "python/pyproject.toml"];
    let clients: Vec<String> = clients.iter().chain(&python).map(|part| format!("clients/{part}")).collect();
    for folder in ours.into_iter().chain(clients.iter().map(String::as_str)) {
        for path in files(folder, &[]) {
            // Skips binary files such as pictures.
            let Ok(text) = fs::read_to_string(house().join(&path)) else { continue };
            for (number, line) in text.lines().enumerate() {
                if folders.iter().any(|folder| is_absolute(line, folder)) {
                    let _ = writeln!(wrong, "{path}:{}: {}", number + 1, line.trim());
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "these paths exist on one machine only: make them relative, or let the reader say:\n{wrong}"
    );
}

// ---- reading ----

pub fn house() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: &str) -> String {
    fs::read_to_string(house().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Files below a folder (or the one file), by path from the house, sorted; all endings when none are named.
pub fn files(below: &str, endings: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![house().join(below)];
    while let Some(path) = folders.pop() {
        if path.is_dir() {
            // Skips results of builds and installations.
            if path.ends_with("target") || path.ends_with("node_modules") {
                continue;
            }
            let entries = fs::read_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            folders.extend(entries.map(|entry| entry.expect("an entry of a folder").path()));
        } else if path.is_file() {
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            if endings.is_empty() || endings.contains(&ending) {
                found.push(relative(&path));
            }
        }
    }
    found.sort();
    found
}

fn relative(path: &Path) -> String {
    let path = path.strip_prefix(house()).expect("a path below the house");
    path.to_str().expect("a path in UTF-8").replace('\\', "/")
}

/// The project's modules without their tests and comments, by path.
pub fn sources() -> Vec<(String, String)> {
    files("src", &["rs"])
        .into_iter()
        .filter(|path| !path.ends_with("/tests.rs"))
        .map(|path| (path.clone(), as_one_crate(&code(&read(&path)))))
        .collect()
}

/// Paths into other crates of the workspace, written as paths of one crate: `eddyline_store::Write` as `crate::store::Write`.
fn as_one_crate(code: &str) -> String {
    let mut one = code.replace("eddyline_core::", "crate::").replace("eddyline::", "crate::");
    for (layer, _) in LAYERS {
        one = one.replace(&format!("eddyline_{layer}::"), &format!("crate::{layer}::"));
        one = one.replace(&format!("use eddyline_{layer} as {layer};"), "");
    }
    one.replace("use crate::{domain, engine};", "").replace("use crate::domain;", "").replace("use crate::engine;", "")
}

/// Without comments and without items marked `#[cfg(test)]`; lines keep their numbers.
fn code(text: &str) -> String {
    let mut code = String::new();
    let (mut skipping, mut depth, mut opened) = (false, 0_i32, false);
    for line in text.lines() {
        let bare = line.trim_start();
        if bare.starts_with("#[cfg(test)]") {
            (skipping, depth, opened) = (true, 0, false);
        }
        if skipping {
            // Strings with lone braces would mislead this count; rustfmt puts the end of an item at its own
            // indentation.
            depth += line.matches('{').count() as i32 - line.matches('}').count() as i32;
            opened |= line.contains('{');
            let whole = (opened && depth <= 0) || (!opened && line.trim_end().ends_with(';'));
            skipping = !whole;
        } else if !bare.starts_with("//") {
            code.push_str(match line.find(" // ") {
                Some(comment) => &line[..comment],
                None => line,
            });
        }
        code.push('\n');
    }
    code
}

fn layer_of(path: &str) -> String {
    let below = path.trim_start_matches("src/");
    below.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned()
}

/// Modules of a layer, by the names of its files and folders.
fn modules_of(layer: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(house().join("src").join(layer)).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(entry.file_name().to_str()?.trim_end_matches(".rs").to_owned())).collect()
}

/// The paths after each `crate::`: two segments, or one.
fn imports(code: &str) -> BTreeSet<String> {
    code.match_indices("crate::")
        .filter(|(at, _)| {
            !code[..*at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == '$')
        })
        .map(|(at, word)| {
            let rest = &code[at + word.len()..];
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
            let steps: Vec<&str> = rest[..end].split("::").filter(|step| !step.is_empty()).take(2).collect();
            if steps.is_empty() { format!("{}…", &rest[..rest.len().min(1)]) } else { steps.join("::") }
        })
        .collect()
}

/// Whether a line contains a whole word: `async` is not in `asynchronous`.
fn has_word(line: &str, word: &str) -> bool {
    let is_letter = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let open_front = !word.starts_with(is_letter) || !before.is_some_and(is_letter);
        // `println` is also in `println!`, `actix` in `actix_web`.
        let open_end = word != "async" || !after.is_some_and(is_letter);
        open_front && open_end
    })
}

/// Whether an absolute path begins in this line; `static/home/` and `https://example/home/` do not count.
fn is_absolute(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        !line[..at].ends_with(|before: char| before.is_alphanumeric() || matches!(before, '_' | '-' | '.' | '}' | '~'))
    })
}

// ---- the guard guards ----

#[test]
fn the_guard_sees_what_it_is_there_for() {
    let text = "use crate::store::Store; // crate::gateway\n// crate::app\n#[cfg(test)]\nmod tests {\n    use crate::app::run;\n}\nfn f() { crate::embed::open() }\n";
    let found: Vec<String> = imports(&code(text)).into_iter().collect();
    assert_eq!(found, ["embed::open", "store::Store"]);
    assert_eq!(code(text).lines().count(), text.lines().count());
    for (line, word, there) in [
        ("    let now = Instant::now();", "Instant::now", true),
        ("async fn f() {}", "async", true),
        ("is asynchronous", "async", false),
        ("use actix_web::web;", "actix", true),
        ("factix", "actix", false),
        ("x.await?", ".await", true),
        ("my_random()", "random()", false),
    ] {
        assert_eq!(has_word(line, word), there, "{word} in {line}");
    }
    let folder = format!("/{}/", "home");
    for (line, there) in [(format!("cd {folder}me"), true), (format!("static{folder}x"), false)] {
        assert_eq!(is_absolute(&line, &folder), there, "{line}");
    }
}

/// `eprintln!` panics when standard error cannot be written, as on a full disk, and kills its thread.
#[test]
fn standard_error_is_written_in_one_place() {
    let mut wrong = String::new();
    for (path, code) in sources() {
        let in_code = code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
        for (number, line) in in_code {
            if line.contains("eprintln!") || line.contains("eprint!(") || line.contains("with_writer(std::io::stderr") {
                let _ = writeln!(wrong, "{path}:{}: use `process::say`, or `process::Stderr`", number + 1);
            }
        }
    }
    assert!(wrong.is_empty(), "a line that cannot be written must not cost a thread:\n{wrong}");
}
