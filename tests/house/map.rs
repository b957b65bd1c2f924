//! The map of the code in docs/architecture.md leads where it says.

use std::fmt::Write as _;

use crate::tidy::{house, read};

/// The rows under a heading's table, cell by cell.
fn rows(document: &str, heading: &str) -> Vec<Vec<String>> {
    let section = document.split(&format!("\n## {heading}\n")).nth(1).unwrap_or_else(|| panic!("no `{heading}`"));
    let section = section.split("\n## ").next().unwrap_or_default();
    let lines = section.lines().filter(|line| line.starts_with('|')).skip(2);
    lines.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// What stands between backticks and looks like a path of the repository.
fn paths(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let roots = ["src/", "tests/", "sql/", "docs/", "static/", "benches/", "loadtests/", "clients/"];
    quoted.filter(|word| roots.iter().any(|root| word.starts_with(root))).map(str::to_owned).collect()
}

/// In any case, and with or without the hyphens, blanks and underscores of names.
fn folded(text: &str) -> String {
    text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect()
}

#[test]
fn each_question_has_one_file_that_contains_the_word() {
    let mut wrong = String::new();
    let questions = rows(&read("docs/architecture.md"), "Where is what?");
    assert!(questions.len() >= 16, "{} questions", questions.len());
    for row in &questions {
        let [question, words, files] = &row[..] else { panic!("{row:?}") };
        let files: Vec<String> =
            paths(files).into_iter().filter(|path| !path.ends_with('/') && !path.ends_with('*')).collect();
        let text: String =
            files.iter().filter(|path| house().join(path).is_file()).map(|path| folded(&read(path))).collect();
        for word in words.split(',') {
            if !files.is_empty() && !text.contains(&folded(word)) {
                let _ = writeln!(wrong, "{question} `{}` does not occur in {files:?}", word.trim());
            }
        }
    }
    assert!(wrong.is_empty(), "a search for the field's word must end in the file:\n{wrong}");
}

#[test]
fn paths_in_the_documents_exist() {
    let mut wrong = String::new();
    let mut documents = crate::tidy::files("docs", &["md"]);
    documents.retain(|path| !path.starts_with("docs/research"));
    documents.push("README.md".to_owned());
    for document in documents {
        for path in paths(&read(&document)) {
            // A pattern or a placeholder names more than one file.
            if path.contains(['*', '{', '<', ' ']) || path.contains("NAME") {
                continue;
            }
            let path = path.split("::").next().unwrap_or_default().trim_end_matches('/');
            if !house().join(path).exists() {
                let _ = writeln!(wrong, "{document}: `{path}` does not exist");
            }
        }
    }
    assert!(wrong.is_empty(), "documents name what there is:\n{wrong}");
}
