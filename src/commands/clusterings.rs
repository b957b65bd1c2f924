//! `eddyline clusterings …`: clusterings of users of a running server.
//!
//! Invariant: standard output holds the result alone. The server checks all settings and names. Absent on purpose: fits of a
//! file (`cluster`).

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::output::print;
use super::remote::{Remote, encoded};
use crate::engine::settings::ClusterSettings;

/// Longest wait for an answer of the server.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The server of a command.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerArgs {
    /// The server's address; `EDDYLINE_TOKEN` holds a service token for it.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    url: String,
}

/// Manage clusterings of users: settings, refits, names of clusters.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the clusterings: counter, threshold, newest fit, and why no fit is possible.
    List {
        /// Flags for the server.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Print one clustering: its settings as JSON, and its clusters.
    Show {
        /// Name of the clustering.
        name: String,
        /// Print the whole answer as JSON.
        #[arg(long)]
        json: bool,
        /// Flags for the server.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Create a clustering, or change its settings.
    Set {
        /// Name of the clustering.
        name: String,
        /// A JSON file with all settings; settings that it leaves out take their defaults.
        #[arg(long, value_name = "FILE", conflicts_with = "changes", required_unless_present = "changes")]
        file: Option<PathBuf>,
        /// Changes of the present settings, as in `threshold=20`, `columns=visits,time_spent.post` or `prior.freedom=2`. A list
        /// may also be JSON, as in `columns=["visits"]`.
        #[arg(value_name = "KEY=VALUE")]
        changes: Vec<String>,
        /// Flags for the server.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Request a refit; it starts as soon as no other fit runs.
    Refit {
        /// Name of the clustering.
        name: String,
        /// Flags for the server.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Name a cluster; empty words remove its name.
    Rename {
        /// Name of the clustering.
        name: String,
        /// Number of the cluster.
        cluster: u32,
        /// The new name.
        words: String,
        /// Flags for the server.
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Delete a clustering with its fits. One of the configuration takes the settings of the configuration again.
    Delete {
        /// Name of the clustering.
        name: String,
        /// Flags for the server.
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// Runs one of the commands.
///
/// # Errors
/// The server cannot be reached, requires a token, or refuses the request; or a file cannot be read.
pub fn run(command: Command) -> anyhow::Result<()> {
    let text = match command {
        Command::List { server } => table(&server.remote().ask("GET", "/v1/clusterings", None)?["clusterings"]),
        Command::Show { name, json, server } => {
            let found = server.remote().ask("GET", &path(&name), None)?;
            if json { serde_json::to_string_pretty(&found)? } else { described(&found)? }
        }
        Command::Set { name, file, changes, server } => {
            let remote = server.remote();
            let settings = match file {
                Some(file) => std::fs::read(&file).with_context(|| format!("--file: {}", file.display()))?,
                None => serde_json::to_vec(&changed(&remote, &name, &changes)?)?,
            };
            let found = remote.ask("PUT", &path(&name), Some(("application/json", settings)))?;
            format!("{name}: revision {}", found["revision"])
        }
        Command::Refit { name, server } => {
            server.remote().ask("POST", &format!("{}/refit", path(&name)), None)?;
            format!("{name}: the refit starts as soon as no other fit runs")
        }
        Command::Rename { name, cluster, words, server } => {
            let at = format!("{}/names/{cluster}", path(&name));
            let body = serde_json::to_vec(&serde_json::json!({"name": words}))?;
            match words.is_empty() {
                true => server.remote().ask("DELETE", &at, None)?,
                false => server.remote().ask("PUT", &at, Some(("application/json", body)))?,
            };
            format!("{name}: cluster {cluster} is {}", if words.is_empty() { "without a name" } else { words.as_str() })
        }
        Command::Delete { name, server } => {
            let found = server.remote().ask("DELETE", &path(&name), None)?;
            match found {
                Value::Null => format!("{name}: deleted"),
                _ => format!("{name}: takes the settings of the configuration again"),
            }
        }
    };
    print(text.trim_end())
}

impl ServerArgs {
    fn remote(&self) -> Remote {
        Remote::new(&self.url, TIMEOUT)
    }
}

fn path(name: &str) -> String {
    format!("/v1/clusterings/{}", encoded(name))
}

/// The present settings of the clustering with changes. A new clustering begins with the defaults.
fn changed(remote: &Remote, name: &str, changes: &[String]) -> anyhow::Result<Value> {
    let all = remote.ask("GET", "/v1/clusterings", None)?;
    let rows = all["clusterings"].as_array().context("the server answered without a list")?;
    let present = rows.iter().find(|one| one["name"] == name).map(|one| one["settings"].clone());
    let mut settings = present.unwrap_or_else(|| serde_json::json!({}));
    change(&mut settings, changes)?;
    Ok(settings)
}

/// Applies changes `KEY=VALUE`. A value is JSON, or else names with commas where the setting is a list, or else a text.
fn change(settings: &mut Value, changes: &[String]) -> anyhow::Result<()> {
    let defaults = ClusterSettings::default().to_json();
    for change in changes {
        let Some((key, value)) = change.split_once('=') else { bail!("{change}: must be KEY=VALUE") };
        let (key, value) = (key.trim(), value.trim());
        let is_list = defaults.pointer(&format!("/{}", key.replace('.', "/"))).is_some_and(Value::is_array);
        let names = || value.split(',').map(str::trim).filter(|name| !name.is_empty()).collect::<Vec<_>>();
        let value = match serde_json::from_str(value) {
            Ok(value @ Value::Array(_)) => value,
            _ if is_list => names().into(),
            Ok(value) => value,
            Err(_) => value.into(),
        };
        let mut place = &mut *settings;
        for part in key.split('.') {
            if !place.is_object() {
                *place = serde_json::json!({});
            }
            place = &mut place[part];
        }
        *place = value;
    }
    Ok(())
}

/// One line per clustering, tab-separated.
fn table(clusterings: &Value) -> String {
    let mut text = "name\tcounter\tthreshold\tclusters\tpeople\toutliers\tepoch\tseconds\tstate\n".to_owned();
    for one in clusterings.as_array().into_iter().flatten() {
        let shown = |field: &str| match &one[field] {
            Value::Null => "-".to_owned(),
            Value::String(word) => word.clone(),
            Value::Number(number) => number
                .as_f64()
                .filter(|_| number.is_f64())
                .map_or_else(|| number.to_string(), |seconds| format!("{seconds:.2}")),
            other => other.to_string(),
        };
        let state = match (&one["under_way"], &one["refused"]) {
            (Value::Object(way), _) => format!("fits, {} of {} starts", way["starts_done"], way["starts"]),
            (_, Value::String(why)) => format!("no fit: {why}"),
            _ => "waits".to_owned(),
        };
        let fields = ["name", "counter", "threshold", "clusters", "people", "outliers", "epoch", "seconds"].map(shown);
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{}\t{state}", fields.join("\t"));
    }
    text
}

/// Settings, and one line per cluster of the newest fit.
fn described(found: &Value) -> anyhow::Result<String> {
    let one = Value::Array(vec![found.clone()]);
    let mut text = format!("{}\n{}\n", table(&one).trim_end(), serde_json::to_string_pretty(&found["settings"])?);
    let clusters = found["fit"]["clusters"].as_array();
    if let Some(clusters) = clusters {
        text.push_str("\ncluster\tname\tsize\tmean\n");
        for cluster in clusters {
            let name = cluster["name"].as_str().unwrap_or("-");
            let _ = writeln!(text, "{}\t{name}\t{}\t{}", cluster["id"], cluster["size"], cluster["mean"]);
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_from_names_with_commas_or_from_json() {
        for (given, expected) in [
            ("columns=visits", serde_json::json!({"columns": ["visits"]})),
            ("columns = a, b.c,", serde_json::json!({"columns": ["a", "b.c"]})),
            (r#"columns=["a","b"]"#, serde_json::json!({"columns": ["a", "b"]})),
            ("columns=7", serde_json::json!({"columns": ["7"]})),
            ("threshold=20", serde_json::json!({"threshold": 20})),
            ("schedule=0 3 * * *", serde_json::json!({"schedule": "0 3 * * *"})),
            ("schedule=0,30 3 * * *", serde_json::json!({"schedule": "0,30 3 * * *"})),
            ("prior.freedom=2", serde_json::json!({"prior": {"freedom": 2}})),
        ] {
            let mut settings = serde_json::json!({});
            change(&mut settings, &[given.to_owned()]).unwrap();
            assert_eq!(settings, expected, "{given}");
        }
        assert!(change(&mut serde_json::json!({}), &["columns".to_owned()]).is_err());
    }

    #[test]
    fn a_table_has_one_line_per_clustering() {
        let found = serde_json::json!([
            {"name": "default", "counter": 7, "threshold": 10, "clusters": 4, "people": 200, "outliers": 3, "epoch": 2,
             "seconds": 0.126, "under_way": null, "refused": null},
            {"name": "pages", "counter": 0, "threshold": 0, "clusters": null, "people": null, "outliers": null,
             "epoch": null, "seconds": null, "under_way": {"starts_done": 3, "starts": 16}, "refused": "no"},
        ]);
        let text = table(&found);
        assert_eq!(
            text.lines().skip(1).collect::<Vec<_>>(),
            ["default\t7\t10\t4\t200\t3\t2\t0.13\twaits", "pages\t0\t0\t-\t-\t-\t-\t-\tfits, 3 of 16 starts"]
        );
    }
}
