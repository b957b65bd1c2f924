//! Tests of the configuration: origins, order, and the words of errors.

use super::*;

fn from_text(text: &str) -> Result<Config, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("eddyline.toml");
    std::fs::write(&file, text).unwrap();
    Config::load(Some(&file), &Flags::default())
}

#[test]
fn every_error_names_its_key() {
    for (text, key) in [
        ("listen = 5", "listen"),
        ("listen = \"nowhere\"", "listen"),
        ("store = \"redis://x\"", "store"),
        ("store = \"postgres://ada:secret@db:port/x\"", "store"),
        ("[postgres]\nconnections_max = 0", "postgres.connections_max"),
        ("[postgres]\nspeed = 1", "speed"),
        ("dim = 0", "dim"),
        ("dim = \"many\"", "dim"),
        ("embedder = \"magic\"", "embedder"),
        ("secret = \"short\"", "secret"),
        ("colour = 1", "colour"),
        ("tls_cert = \"a.pem\"", "tls_key"),
        ("tls_key = \"a.pem\"", "tls_cert"),
        ("[rate.person]\nper_second = 5\nburst = 0", "rate.person.burst"),
        ("[rate.person]\nper_second = -5\nburst = 1", "rate.person.per_second"),
        ("[rate.robots]\nper_second = 5\nburst = 1", "robots"),
        ("[learn]\ndecay_rate = -1", "learn.decay_rate"),
        ("[learn]\ndecay = \"sudden\"", "learn.decay"),
        ("[learn.signals]\nclick_weight = nan", "learn.signals"),
        ("[learn.rank]\npool = 0", "learn.rank.pool"),
        ("[learn.rank]\nmmr_lambda = 0.5\ncalibration = 0.5", "learn.rank.mmr_lambda"),
        ("[learn.metrics]\ntime_spent = [\"post\"]", "metrics"),
        ("[metrics.time_spent]\ntypes = [\"post\", \"post\"]", "metrics.time_spent.types"),
        ("[metrics.mood]\nkind = \"feeling\"", "metrics.mood.kind"),
        ("[metrics.mood]\nrange = [5, -5]", "metrics.mood.range"),
        ("[metrics.mood]\ncolour = 1", "colour"),
        ("[metrics.mood.prior]\nshape = 0", "metrics.mood.prior.shape"),
        ("[metrics.\"a.b\"]\nkind = \"count\"", "metrics.a.b"),
        ("[metrics.value]\nkind = \"count\"", "metrics.value"),
        ("[metrics.visits]\ntypes = [\"post\"]", "metrics.visits.types"),
        ("[cluster]\ncolumns = []", "cluster.columns"),
        ("[cluster]\ncolumns = [\"time_spent.nowhere\"]", "cluster.columns"),
        ("[cluster]\ncolumns = [\"clicks\"]", "cluster.columns"),
        ("[cluster]\nschedule = \"now and then\"", "cluster.schedule"),
        ("[cluster]\ninterval_s = 0", "cluster.interval_s"),
        ("[cluster.prior]\nfreedom = -1", "cluster.prior.freedom"),
        ("[cluster]\nscaling = \"wide\"", "cluster.scaling"),
        ("[clusterings.pages]\ncolumns = [\"clicks\"]", "clusterings.pages.columns"),
        ("[clusterings.pages]\nschedule = \"now and then\"", "clusterings.pages.schedule"),
        ("[clusterings.pages]\nthreads = 3", "clusterings.pages.threads"),
        ("[clusterings.pages]\npeople_max = 200", "clusterings.pages.people_max"),
        ("[clusterings.pages.points]\nmeasured = 1000001", "clusterings.pages.points.measured"),
        ("[clusterings.default]\nrestarts = 3", "clusterings.default"),
        ("[clusterings.\"a.b\"]\nrestarts = 3", "clusterings.a.b"),
        ("[slates]\nrate = 2.0", "slates.rate"),
        ("[slates]\nlog = \"some\"", "slates.log"),
        ("[limits]\njournal_queue = 1", "limits.journal_queue"),
    ] {
        let error = from_text(text).unwrap_err();
        assert!(error.key.ends_with(key) || error.rule.contains(key), "{text}: {error:?}");
        let words = ["eddyline::", "at line", "from TOML", "u64", "usize", "environment variable(s)"];
        assert!(words.iter().all(|word| !error.to_string().contains(word)), "{text}: {error}");
        assert!(!error.to_string().contains("secret@"), "{error}");
    }
}

#[test]
fn every_setting_is_a_variable_and_what_kubernetes_injects_is_none() {
    let known = keys();
    for (variable, expected) in [
        ("listen", true),
        ("secret", true),
        ("http__key", true),
        ("tls_cert", true),
        ("learn__rank__temperature", true),
        ("rate", true),
        ("cluster__columns", true),
        ("metrics__mood__kind", true),
        ("metrics__mood__prior__mean", true),
        ("metrics__mood__colour", false),
        ("metrics__", false),
        ("clusterings__pages__columns", true),
        ("clusterings__pages__prior__freedom", true),
        ("clusterings__pages__colour", false),
        ("port", false),
        ("port_8080_tcp_addr", false),
        ("service_host", false),
        ("listen__port", false),
        ("learn__colour", false),
        ("", false),
        ("__", false),
    ] {
        assert_eq!(is_known(&known, variable), expected, "{variable}");
    }
}

#[test]
fn an_error_names_the_origin_of_the_value() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("eddyline.toml");
    let load = |text: &str, listen: Option<&str>| {
        std::fs::write(&file, text).unwrap();
        let flags = Flags { listen: listen.map(str::to_owned), store: None };
        Config::load(Some(&file), &flags).unwrap_err().to_string()
    };
    let path = file.display();
    for (text, listen, expected) in [
        ("dim = 0", None, format!("dim ({path}): must be 1 to 8192, is 0")),
        ("[postgres]\nspeed = 1", None, format!("postgres.speed ({path}): no setting has this name")),
        ("", Some("nowhere"), "listen (command line): must be an address".to_owned()),
        ("[metrics.\"a.b\"]\nkind = \"value\"", None, format!("metrics.a.b ({path}): must be 1 to 64 bytes")),
        ("[metrics.mood]\nrange = [1, 0]", None, format!("metrics.mood.range ({path}): must be two numbers")),
        ("dim = 3\nx = \"", None, format!("{path}, line 2, column ")),
    ] {
        let error = load(text, listen);
        assert!(error.starts_with(&expected), "{text}: {error}");
    }
}

#[test]
fn no_error_holds_words_of_the_parser() {
    for (text, expected) in [
        ("cluster = 3", "cluster: must be an object"),
        ("[cluster]\ncolumns = \"visits\"", "cluster.columns: must be a list"),
        ("[cluster]\nnoise = 1", "cluster.noise: must be true or false"),
        ("[cluster]\nkind = \"round\"", "cluster.kind: must be one of gaussian, student-t"),
        ("[metrics.mood]\nrange = [1]", "metrics.mood.range: must be a list of 2 values, has 1"),
        ("[metrics.mood]\nrange = 1", "metrics.mood.range: must be a list of 2 values"),
        ("[cluster]\nschedule = \"61 * * * *\"", "cluster.schedule: must be a cron expression"),
        ("[cluster]\nschedule = \"@daily\"", "cluster.schedule: must be a cron expression of five fields"),
        ("[cluster]\nschedule_above = 3", "cluster.schedule_above: needs a schedule"),
    ] {
        let error = from_text(text).map(drop).unwrap_err().to_string();
        let (key, rule) = error.split_once(": ").unwrap();
        let said = format!("{}: {rule}", key.split(' ').next().unwrap());
        assert!(said.starts_with(expected), "{text}: {error}");
        for word in ["struct", "sequence", "ident", "variant", "tuple", "Component"] {
            assert!(!rule.contains(word), "{text}: {error}");
        }
    }
}

#[test]
fn a_named_clustering_is_offered_its_own_settings_alone() {
    for (text, is_offered) in [("[cluster]\nfoo = 1", true), ("[clusterings.a]\nfoo = 1", false)] {
        let error = from_text(text).map(drop).unwrap_err().to_string();
        assert!(error.contains("choose from columns"), "{error}");
        for key in ClusterSettings::SHARED {
            assert_eq!(error.contains(key), is_offered, "{error}");
        }
    }
}

#[test]
fn a_declared_metric_stands_beside_the_built_in_ones() {
    let config = from_text(
        "[metrics.mood]\nrange = [-5, 5]\ntypes = [\"am\", \"pm\"]\nprior = { mean = 1, precision = 2 }\n\
         [metrics.time_spent]\nunit = \"seconds\"\n[cluster]\ncolumns = [\"mood.am\", \"time_spent.post\", \"visits\"]",
    )
    .unwrap();
    let declared = config.engine().metrics;
    let names: Vec<&str> = declared.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["mood", "time_spent", "visits"]);
    let mood = declared.get("mood").unwrap();
    assert_eq!((mood.range(), mood.prior.mean, mood.prior.strength, mood.prior.shape), ((-5.0, 5.0), 1.0, 2.0, 1e-3));
    let time_spent = declared.get("time_spent").unwrap();
    assert_eq!((time_spent.unit(), time_spent.range(), time_spent.types.len()), ("seconds", (0.0, 86_400.0), 10));
}

#[test]
fn a_file_with_a_byte_order_mark_is_read() {
    assert_eq!(from_text("\u{feff}dim = 16").unwrap().dim, 16);
}

#[test]
fn the_later_source_wins() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("eddyline.toml");
    std::fs::write(&file, "listen = \"127.0.0.1:1\"\ndim = 16").unwrap();
    let flags = Flags { listen: Some("127.0.0.1:2".into()), store: None };
    let config = Config::load(Some(&file), &flags).unwrap();
    assert_eq!((config.listen.as_str(), config.dim), ("127.0.0.1:2", 16));
    assert_eq!(config.limits, Limits::default());
}

#[test]
fn a_password_is_not_shown_with_the_configuration() {
    let config = from_text("store = \"postgres://ada:hidden@db/feeds?sslmode=verify-full\"").unwrap();
    assert!(!format!("{config:?}").contains("hidden"));
    let shown = serde_json::to_value(&config).unwrap();
    assert_eq!(shown["store"], "postgres://ada@db/feeds?sslmode=verify-full");
}

#[test]
fn settings_of_learning_can_be_changed_one_by_one() {
    let set = |changes: &[&str]| {
        let mut config = Config::default();
        config.set_learn(&changes.iter().map(|change| (*change).to_owned()).collect::<Vec<_>>()).map(|()| config)
    };
    let config = set(&["rank.author_run=0", "rank.mmr_lambda=0.7", "decay = euler", "decay_rate=2"]).unwrap();
    assert_eq!((config.learn.rank.author_run, config.learn.rank.mmr_lambda), (0, 0.7));
    assert_eq!((config.learn.decay, config.learn.decay_rate), (crate::engine::settings::Decay::Euler, 2.0));
    for (change, blamed) in [
        ("rank.colour=1", "rank.colour"),
        ("rank=1", "rank"),
        ("rank.pool=0", "rank.pool"),
        ("rank.pool=many", "rank.pool"),
        ("rank.pool", "KEY=VALUE"),
    ] {
        assert!(set(&[change]).unwrap_err().to_string().contains(blamed), "{change}");
    }
}

#[test]
fn no_url_is_shown_with_its_password() {
    for (url, expected) in [
        ("", ""),
        ("http://localhost:11434", "http://localhost:11434"),
        ("https://api.example/v2", "https://api.example/v2"),
        ("https://me:hunter2@api.example/v2", "https://***@api.example/v2"),
        ("https://hunter2@api.example", "https://***@api.example"),
        ("https://me:hun/ter2@api.example", "https://***@api.example"),
        ("https://me:hunter2@x@api.example:81", "https://***@api.example:81"),
        ("me:hunter2@api.example", "***@api.example"),
        ("https://api.example?key=hunter2&hunter2#hunter2", "https://api.example?key=***&***"),
    ] {
        assert_eq!(shown(url), expected);
    }
    let text = "store = \"postgres://ada:hunter2@db/feeds?%70assword=hunter2&passw%6Frd=hunter2&options=-c%20a%3Dhunter2\"\n\
                origins = [\"https://me:hunter2@app.example\"]\n[http]\nbase = \"https://me:hunter2@api.example\"\nkey = \"hunter2\"";
    let config = from_text(text).unwrap();
    for shown in [serde_json::to_string(&config).unwrap(), format!("{}", config.store)] {
        assert!(!shown.contains("hunter2") && shown.contains("ada@db/feeds"), "{shown}");
    }
}

#[test]
fn what_cannot_be_read_is_named_and_not_repeated() {
    for (text, part) in [
        ("store = \"postgres://me:hunter2@h/d", "line 1"),
        ("dim = 3\nstore = \"postgres://me:hunter2@h/d\" x", "line 2"),
        ("secret = \"hunter2\" x", "line 1"),
        ("secret = \"hunter2", "line 1"),
        ("origins = \"https://me:hunter2@h\"", "origins"),
        ("dim = \"hunter2\"", "dim"),
        ("listen = \"postgres://me:hunter2@h/d\"", "listen"),
        ("store = \"postgres://me:hunter2@\"", "store"),
    ] {
        let said = from_text(text).map(|_| ()).unwrap_err().to_string();
        assert!(said.contains(part) && !said.contains("hunter2") && !said.contains('\n'), "{text}: {said}");
    }
}

#[test]
fn beyond_loopback_needs_a_key() {
    for (listen, has_key, good) in [
        ("0.0.0.0:80", false, false),
        ("0.0.0.0:80", true, true),
        ("[::]:80", false, false),
        ("[::1]:80", false, true),
        ("127.0.0.1:80", false, true),
    ] {
        let found = from_text(&format!("listen = \"{listen}\"")).unwrap().safe_address(has_key);
        assert_eq!(found.is_ok(), good, "{listen} {has_key}");
        assert!(found.is_ok() || found.unwrap_err().to_string().contains("EDDYLINE_SECRET"));
    }
}
