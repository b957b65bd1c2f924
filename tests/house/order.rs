//! Files of a layer import each other without loops, in the order of the `mod` lines.
//!
//! A file may import what stands before it: for two modules of one folder, the order of the folder's `mod` lines decides. A folder's own
//! file comes after its modules, and `pub use` alone is no import.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::tidy::{LAYERS, sources};

/// Layers whose files do not stand in order yet. An entry that is not needed any more must go.
const DISORDERED: &[&str] = &[];

/// Layers whose files import each other in a loop. An entry that is not needed any more must go.
const LOOPED: &[&str] = &[];

/// A module by its path, such as `engine::learners::shared::blend`.
type Module = String;

struct File {
    path: String,
    code: String,
    /// Names of its `mod` lines, in their order.
    children: Vec<String>,
}

fn modules() -> BTreeMap<Module, File> {
    let mut found = BTreeMap::new();
    for (path, code) in sources() {
        let below = path.trim_start_matches("src/").trim_end_matches(".rs");
        let below = ["/mod", "/lib", "/main"].iter().find_map(|end| below.strip_suffix(end)).unwrap_or(below);
        let name = below.replace('/', "::");
        if !LAYERS.iter().any(|(layer, _)| name.split("::").next() == Some(*layer)) || path.ends_with("/main.rs") {
            continue;
        }
        let children = code.lines().filter_map(|line| {
            let line = line.trim();
            let line = ["pub ", "pub(crate) ", "pub(super) "].iter().find_map(|p| line.strip_prefix(p)).unwrap_or(line);
            line.strip_prefix("mod ")?.strip_suffix(';').map(str::to_owned)
        });
        found.insert(name, File { path, children: children.collect(), code });
    }
    found
}

/// All paths of a file, with the names of a list written out.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut inside_reexport = false;
    for line in code.split_inclusive('\n') {
        let bare = line.trim_start();
        if bare.starts_with("pub use ") || bare.starts_with("pub(crate) use ") || bare.starts_with("pub(super) use ") {
            inside_reexport = true;
        }
        if !inside_reexport {
            let text = bare.strip_prefix("use ").map_or_else(|| bare.to_owned(), |rest| format!("use {rest}"));
            found.extend(in_line(&text));
        }
        if inside_reexport && line.contains(';') {
            inside_reexport = false;
        }
    }
    found
}

fn in_line(line: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut starts: Vec<usize> =
        ["crate::", "super::"].iter().flat_map(|p| line.match_indices(p).map(|m| m.0)).collect();
    if line.starts_with("use ") {
        starts.push(4);
    }
    for start in starts {
        if start > 4 && line[..start].ends_with(|c: char| is_name(c) || c == ':') {
            continue;
        }
        let rest = &line[start..];
        let end = rest.find(|c: char| !(is_name(c) || c == ':')).unwrap_or(rest.len());
        let stem: Vec<String> = rest[..end].split("::").filter(|s| !s.is_empty()).map(str::to_owned).collect();
        if rest[end..].starts_with('{') {
            let list = rest[end + 1..].split('}').next().unwrap_or_default();
            for name in list.split(',') {
                let mut path = stem.clone();
                path.extend(name.trim().split("::").take_while(|s| s.chars().all(is_name)).map(str::to_owned));
                found.push(path);
            }
        } else {
            found.push(stem);
        }
    }
    found
}

/// The modules of its own layer that each module imports.
fn imports(modules: &BTreeMap<Module, File>) -> BTreeMap<Module, BTreeSet<Module>> {
    let mut all = BTreeMap::new();
    for (name, file) in modules {
        let own: Vec<&str> = name.split("::").collect();
        let mut found = BTreeSet::new();
        for path in paths(&file.code) {
            let Some(first) = path.first() else { continue };
            let full: Vec<String> = match first.as_str() {
                "crate" if path.get(1).is_some_and(|layer| LAYERS.iter().any(|(l, _)| l == layer)) => {
                    path[1..].to_vec()
                }
                // Within a crate of the workspace: its root is the layer.
                "crate" => [&[own[0].to_owned()], &path[1..]].concat(),
                "super" => {
                    let ups = path.iter().take_while(|step| *step == "super").count();
                    if ups >= own.len() {
                        continue;
                    }
                    let base: Vec<String> = own[..own.len() - ups].iter().map(|s| (*s).to_owned()).collect();
                    [&base[..], &path[ups..]].concat()
                }
                child if file.children.iter().any(|known| known == child) => {
                    let base: Vec<String> = own.iter().map(|s| (*s).to_owned()).collect();
                    [&base[..], &path[..]].concat()
                }
                _ => continue,
            };
            let longest = (1..=full.len()).rev().map(|n| full[..n].join("::")).find(|m| modules.contains_key(m));
            if let Some(module) = longest
                && module.split("::").next() == Some(own[0])
                && module != *name
            {
                found.insert(module);
            }
        }
        all.insert(name.clone(), found);
    }
    all
}

/// Where `from` imports `to` against the order of the `mod` lines of the folder in which their ways part.
fn against_the_order(modules: &BTreeMap<Module, File>, from: &str, to: &str) -> bool {
    let (a, b): (Vec<&str>, Vec<&str>) = (from.split("::").collect(), to.split("::").collect());
    let common = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let (Some(x), Some(y)) = (a.get(common), b.get(common)) else {
        return false; // One of them is the folder of the other: a question of loops.
    };
    let Some(folder) = modules.get(&a[..common].join("::")) else { return false };
    let place = |name: &str| folder.children.iter().position(|child| child == name);
    // A module of tests stands in no order.
    matches!((place(x), place(y)), (Some(x), Some(y)) if x < y)
}

/// One loop through each file that is part of one, as the way from the file back to itself.
fn loops(imports: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<Vec<Module>> {
    let mut found: Vec<Vec<Module>> = Vec::new();
    for start in imports.keys() {
        if found.iter().flatten().any(|known| known == start) {
            continue;
        }
        // The shortest way back, by breadth.
        let mut before: BTreeMap<&str, &str> = BTreeMap::new();
        let mut queue: std::collections::VecDeque<&str> = [start.as_str()].into();
        'search: while let Some(at) = queue.pop_front() {
            for next in &imports[at] {
                if next == start {
                    let mut way = vec![at.to_owned()];
                    while way.last().map(String::as_str) != Some(start) {
                        let last = way.last().map_or("", String::as_str);
                        way.push(before[last].to_owned());
                    }
                    way.reverse();
                    found.push(way);
                    break 'search;
                }
                if imports.contains_key(next) && !before.contains_key(next.as_str()) {
                    before.insert(next, at);
                    queue.push_back(next);
                }
            }
        }
    }
    found
}

fn layer(module: &str) -> &str {
    module.split("::").next().unwrap_or(module)
}

#[test]
fn files_import_each_other_without_loops() {
    let modules = modules();
    let mut wrong = String::new();
    let mut looped = BTreeSet::new();
    for way in loops(&imports(&modules)) {
        if LOOPED.contains(&layer(&way[0])) {
            looped.insert(layer(&way[0]).to_owned());
            continue;
        }
        let files: Vec<&str> = way.iter().map(|module| modules[module].path.as_str()).collect();
        let _ = writeln!(wrong, "{} -> {}", files.join(" -> "), files[0]);
    }
    for layer in LOOPED {
        assert!(looped.contains(*layer), "`{layer}` has no loop any more: take it out of LOOPED");
    }
    assert!(wrong.is_empty(), "move what both need to a file that stands before both:\n{wrong}");
}

#[test]
fn files_import_what_stands_before_them() {
    let modules = modules();
    let mut wrong = String::new();
    let mut disordered = BTreeSet::new();
    for (from, found) in imports(&modules) {
        for to in found {
            if !against_the_order(&modules, &from, &to) {
                continue;
            }
            if DISORDERED.contains(&layer(&from)) {
                disordered.insert(layer(&from).to_owned());
                continue;
            }
            let _ = writeln!(wrong, "{} imports {}, which stands below it", modules[&from].path, modules[&to].path);
        }
    }
    for layer in DISORDERED {
        assert!(disordered.contains(*layer), "`{layer}` is in order: take it out of DISORDERED");
    }
    assert!(wrong.is_empty(), "reading order is import order; the order of `mod` lines says it:\n{wrong}");
}

#[test]
fn the_checks_of_order_see_what_they_are_there_for() {
    let file = |path: &str, code: &str, children: &[&str]| File {
        path: path.to_owned(),
        code: code.to_owned(),
        children: children.iter().map(|c| (*c).to_owned()).collect(),
    };
    let modules: BTreeMap<Module, File> = [
        ("store".to_owned(), file("src/store/lib.rs", "use a::{X, Y};\npub use c::Z;\n", &["a", "b", "c"])),
        ("store::a".to_owned(), file("src/store/a.rs", "use super::b::{B};\nlet x = crate::c::f();\n", &[])),
        ("store::b".to_owned(), file("src/store/b.rs", "use crate::store::{a, c};\n", &[])),
        ("store::c".to_owned(), file("src/store/c.rs", "use crate::domain::ids;\n", &[])),
    ]
    .into();
    let found = imports(&modules);
    let of = |name: &str| found[name].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(of("store"), ["store::a"]);
    assert_eq!(of("store::a"), ["store::b", "store::c"]);
    assert_eq!(of("store::b"), ["store::a", "store::c"]);
    assert!(of("store::c").is_empty());
    assert!(
        against_the_order(&modules, "store::a", "store::b") && !against_the_order(&modules, "store::b", "store::a")
    );
    assert!(loops(&found).iter().any(|way| way.len() == 2 && way.contains(&"store::a".to_owned())));
}
