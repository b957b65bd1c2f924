//! Comments and documents read once: no riddles, no long sentences, no empty docs.
//!
//! Deliberately absent: style that a reader must judge. A reviewer reads for that; these checks find what a machine can find.

use std::fmt::Write as _;

use crate::tidy::{files, read};

/// Phrases that stand for a name which the writer did not look for. Quotations and code are exempt.
const PHRASES: &[&str] = &[
    "somebody",
    "nobody",
    "everybody",
    "anybody",
    "the same",
    "afresh",
    "told",
    "see the module",
    "what is",
    "what was",
    "what are",
];

/// Words in a sentence of a comment or a document.
const SENTENCE_MAX: usize = 25;

/// A run of comment lines or one paragraph of a document.
struct Prose {
    line: usize,
    is_item_doc: bool,
    text: String,
}

#[test]
fn sentences_are_short_and_name_their_subject() {
    let mut wrong = String::new();
    for (path, prose) in all() {
        let plain = without_quotations(&prose.text);
        for phrase in PHRASES {
            if has_phrase(&plain.to_lowercase(), phrase) {
                let _ = writeln!(wrong, "{path}:{}: `{phrase}`: name the thing or the person", prose.line);
            }
        }
        for sentence in sentences(&plain) {
            let words = sentence.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count();
            // A list is read by its commas.
            let is_list = sentence.matches(',').count() * 5 >= words;
            if words > SENTENCE_MAX && !is_list {
                let start: String = sentence.chars().take(60).collect();
                let _ = writeln!(wrong, "{path}:{}: {words} words, at most {SENTENCE_MAX}: {start}…", prose.line);
            }
        }
    }
    assert!(wrong.is_empty(), "a reader reads each sentence once:\n{wrong}");
}

#[test]
fn a_doc_says_more_than_two_words() {
    let mut wrong = String::new();
    for (path, prose) in all() {
        if prose.is_item_doc && prose.text.split_whitespace().count() <= 2 {
            let _ = writeln!(wrong, "{path}:{}: `{}`: say unit, range, shape or reason", prose.line, prose.text.trim());
        }
    }
    assert!(wrong.is_empty(), "a doc of one or two words repeats the name:\n{wrong}");
}

#[test]
fn a_decision_record_has_at_most_450_words() {
    let mut wrong = String::new();
    for path in files("docs/decisions", &["md"]) {
        let words = read(&path).split_whitespace().count();
        if words > 450 {
            let _ = writeln!(wrong, "{path}: {words} words: move measurements to docs/research");
        }
    }
    assert!(wrong.is_empty(), "context, decision, consequences, one table:\n{wrong}");
}

/// All prose of the repository. Migrations are exempt: their checksum is in every database.
fn all() -> Vec<(String, Prose)> {
    let mut found = Vec::new();
    // Packages of npm may lie beside the clients' own folders.
    let clients = ["src", "test", "examples", "README.md"].map(|part| format!("clients/javascript/{part}"));
    let ours =
        ["src", "tests", "benches", "loadtests", "static", "sql", "docs", "README.md", "clients/python/README.md"];
    for folder in ours.into_iter().chain(clients.iter().map(String::as_str)) {
        for path in files(folder, &["rs", "js", "mjs", "sql", "md"]) {
            if path.starts_with("sql/migrations") {
                continue;
            }
            let text = read(&path);
            let prose = if path.ends_with(".md") { of_document(&text) } else { of_code(&text) };
            found.extend(prose.into_iter().map(|prose| (path.clone(), prose)));
        }
    }
    found
}

fn of_code(text: &str) -> Vec<Prose> {
    let mut found: Vec<Prose> = Vec::new();
    let (mut mark, mut fenced, mut open) = ("", false, false);
    for (number, line) in text.lines().enumerate() {
        let bare = line.trim_start();
        let this = ["//!", "///", "//", "--"].into_iter().find(|mark| bare.starts_with(*mark)).unwrap_or("");
        let rest = bare[this.len()..].trim();
        let begins = this != mark || !open;
        mark = this;
        if this.is_empty() {
            (open, fenced) = (false, false);
            continue;
        }
        if rest.starts_with("```") {
            fenced = !fenced;
        }
        if rest.is_empty() || fenced || rest.starts_with("```") || rest.starts_with('|') || rest.starts_with('#') {
            // A new paragraph of a doc is new prose, but not a doc of its own.
            if let Some(last) = found.last_mut()
                && open
            {
                last.text.push_str(" ¶ ");
            }
            continue;
        }
        if begins {
            found.push(Prose { line: number + 1, is_item_doc: this == "///", text: String::new() });
            open = true;
        }
        if let Some(last) = found.last_mut() {
            if rest.starts_with("- ") || rest.starts_with("* ") {
                last.text.push_str(" ¶ ");
            }
            last.text.push_str(rest);
            last.text.push(' ');
        }
    }
    found
}

fn of_document(text: &str) -> Vec<Prose> {
    let mut found: Vec<Prose> = Vec::new();
    let (mut fenced, mut open) = (false, false);
    for (number, line) in text.lines().enumerate() {
        let bare = line.trim();
        if bare.starts_with("```") {
            fenced = !fenced;
            open = false;
            continue;
        }
        let is_item = bare.starts_with("- ") || bare.split_once(". ").is_some_and(|(n, _)| n.parse::<u8>().is_ok());
        if fenced || bare.is_empty() || bare.starts_with('|') || bare.starts_with('#') || line.starts_with("    ") {
            open = false;
            continue;
        }
        if !open || is_item {
            found.push(Prose { line: number + 1, is_item_doc: false, text: String::new() });
            open = true;
        }
        if let Some(last) = found.last_mut() {
            last.text.push_str(bare);
            last.text.push(' ');
        }
    }
    found
}

/// Code and quotations become one word each.
fn without_quotations(text: &str) -> String {
    let mut plain = String::new();
    for (index, part) in text.split('`').enumerate() {
        if index % 2 == 1 {
            plain.push('X');
            continue;
        }
        for (index, part) in part.split('"').enumerate() {
            plain.push_str(if index % 2 == 1 { "X" } else { part });
        }
    }
    plain
}

fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut begin = 0;
    let ends = text.char_indices().filter(|(at, c)| {
        *c == '¶' || (matches!(c, '.' | '!' | '?' | ':' | ';') && text[at + 1..].starts_with(char::is_whitespace))
    });
    for (at, c) in ends {
        found.push(&text[begin..at]);
        begin = at + c.len_utf8();
    }
    found.push(&text[begin..]);
    found
}

fn has_phrase(text: &str, phrase: &str) -> bool {
    text.match_indices(phrase).any(|(at, _)| {
        let before = text[..at].chars().next_back().is_some_and(char::is_alphanumeric);
        let after = text[at + phrase.len()..].chars().next().is_some_and(char::is_alphanumeric);
        !before && !after
    })
}

#[test]
fn the_checks_of_words_see_what_they_are_there_for() {
    assert!(has_phrase("it is told once", "told") && !has_phrase("behold", "told"));
    assert!(!has_phrase(&without_quotations("`the same` and \"told\""), "told"));
    assert_eq!(sentences("One. Two: three ¶ four").len(), 4);
    let code = "/// Two words\nfn f() {}\n// One\n// two.\nlet x = 1;\n/// A: b.\n///\n/// c\n";
    let found: Vec<String> = of_code(code).into_iter().map(|prose| prose.text).collect();
    assert_eq!(found, ["Two words ", "One two. ", "A: b.  ¶ c "]);
    let document = "# Told\n\nOne\ntwo.\n- three\n- four\n\n```\ntold\n```\n| told |\n";
    let found: Vec<String> = of_document(document).into_iter().map(|prose| prose.text).collect();
    assert_eq!(found, ["One two. ", "- three ", "- four "]);
}
