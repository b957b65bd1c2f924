//! Locations of the three table files: found in a folder, or given by name.
//!
//! Invariant: a folder with two candidates for one table is an error, never a choice.

use std::path::{Path, PathBuf};

use super::error::TablesError;

/// Paths of the table files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Path of `user_data`, if that table exists.
    pub people: Option<PathBuf>,
    /// Path of `post_text_df`.
    pub posts: PathBuf,
    /// Path of `feed_data`.
    pub feed: PathBuf,
}

/// Accepted file names without extension, the standard ones first.
const PEOPLE_NAMES: [&str; 2] = ["user_data", "users"];
const POSTS_NAMES: [&str; 3] = ["post_text_df", "posts", "post_features"];
const FEED_NAMES: [&str; 2] = ["feed_data", "feed"];
const ENDINGS: [&str; 4] = [".csv", ".csv.gz", ".csv.zst", ".parquet"];

impl Place {
    /// Finds `user_data`, `post_text_df` and `feed_data` in a folder, as `.csv`, `.csv.gz`, `.csv.zst` or `.parquet`.
    /// The names `users`, `posts`, `post_features` and `feed` are accepted, too.
    ///
    /// # Errors
    /// [`TablesError`] when a needed file is missing, or two files could serve as one table.
    pub fn in_folder(folder: &Path) -> Result<Place, TablesError> {
        if !folder.is_dir() {
            return Err(TablesError::NoFolder { folder: folder.to_owned() });
        }
        let find = |names: &[&str]| {
            let mut found: Vec<PathBuf> = Vec::new();
            for name in names {
                found.extend(
                    ENDINGS.iter().map(|end| folder.join(format!("{name}{end}"))).filter(|path| path.is_file()),
                );
            }
            match &found[..] {
                [first, second, ..] => Err(TablesError::TwoFiles { first: first.clone(), second: second.clone() }),
                _ => Ok(found.pop()),
            }
        };
        let needed = |names: &[&'static str]| {
            let missing = || TablesError::NoFile { folder: folder.to_owned(), name: names[0] };
            find(names)?.ok_or_else(missing)
        };
        Ok(Place { people: find(&PEOPLE_NAMES)?, posts: needed(&POSTS_NAMES)?, feed: needed(&FEED_NAMES)? })
    }

    /// Parses a folder, or `posts=FILE,feed=FILE[,people=FILE]`.
    ///
    /// # Errors
    /// [`TablesError`] when the form is wrong, or a folder lacks a file.
    pub fn parse(text: &str) -> Result<Place, TablesError> {
        let is_list = ["people=", "posts=", "feed="].iter().any(|start| text.starts_with(start));
        if !is_list {
            return Place::in_folder(Path::new(text));
        }
        let form = || TablesError::Form { text: text.to_owned() };
        let (mut people, mut posts, mut feed) = (None, None, None);
        for part in text.split(',') {
            let (name, file) = part.split_once('=').filter(|(_, file)| !file.is_empty()).ok_or_else(form)?;
            let place = match name {
                "people" => &mut people,
                "posts" => &mut posts,
                "feed" => &mut feed,
                _ => return Err(form()),
            };
            if place.replace(PathBuf::from(file)).is_some() {
                return Err(form());
            }
        }
        Ok(Place { people, posts: posts.ok_or_else(form)?, feed: feed.ok_or_else(form)? })
    }
}
