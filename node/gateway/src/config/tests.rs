use std::time::Duration;

use super::*;

const LEAST: &str = "[node]\nid = 1\n[cluster]\norigin = \"local/tollbook/x\"\n";

fn read(text: &str) -> Result<Config, ConfigError> {
    Config::read("tollbook.toml", text, |_| None)
}

fn read_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::read("tollbook.toml", text, |name| {
        variables
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.into())
    })
}

#[test]
fn what_is_not_written_keeps_its_default() {
    let config = read(LEAST).unwrap();
    assert_eq!(config.listen.data.to_string(), "127.0.0.1:7300");
    assert_eq!(config.listen.admin.to_string(), "127.0.0.1:7301");
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.deadlines, Deadlines::default());
}

#[test]
fn every_key_is_read_back_as_it_was_written() {
    let mut config = read(LEAST).unwrap();
    config.listen.data = Address::parse("[::1]:0").unwrap();
    config.listen.advertise_peer = Address::parse("node-1.example:7302");
    config.http.allowed_hosts = vec!["gate.example".to_owned(), "::1".to_owned()];
    config.http.allowed_origins = vec!["https://app.example".to_owned()];
    config.http.public_url = Some("https://gate.example".to_owned());
    config.log = Log {
        level: "info,x=\"debug\\".to_owned(),
        format: LogFormat::Json,
    };
    config.limits.body_bytes = 1 << 20;
    config.limits.headers = 7;
    config.limits.refusals_burst = 9;
    config.limits.disk_reserve = Some(1 << 30);
    config.deadlines.admit = Duration::from_millis(1500);
    assert_eq!(read(&config.write()).unwrap(), config, "{}", config.write());
}

#[test]
fn a_new_nodes_file_names_only_what_it_must() {
    let text = read(LEAST).unwrap().write();
    assert!(
        text.contains("[listen]\ndata = \"127.0.0.1:7300\""),
        "{text}"
    );
    assert!(!text.contains("[limits]\n"), "{text}");
}

#[test]
fn the_environment_overrides_the_file() {
    let text = format!("{LEAST}[limits]\nbody_bytes = \"1MiB\"\n");
    let variables = [
        ("TOLLBOOK_LIMITS_BODY_BYTES", "2MiB"),
        ("TOLLBOOK_LIMITS_HEADERS", "7"),
        ("TOLLBOOK_DEADLINES_ADMIT", "1s"),
        ("TOLLBOOK_HTTP_ALLOWED_HOSTS", "a.example, b.example"),
    ];
    let config = read_with(&text, &variables).unwrap();
    assert_eq!(config.limits.body_bytes, 2 << 20);
    assert_eq!(config.limits.headers, 7);
    assert_eq!(config.deadlines.admit, Duration::from_secs(1));
    assert_eq!(config.http.allowed_hosts, ["a.example", "b.example"]);
    let error = read_with(LEAST, &[("TOLLBOOK_DEADLINES_ADMIT", "soon")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "environment variable TOLLBOOK_DEADLINES_ADMIT: `deadlines.admit` cannot be `soon`; \
         give a time from 1ms to 7d, such as `30s`"
    );
}

/// (what is added to a good file, the code, a part of the message)
const BAD: &[(&str, &str, &str)] = &[
    (
        "[lisen]\n",
        "TB-CONFIG-UNKNOWN",
        "toml:5: unknown section `lisen`; did you mean `listen`?",
    ),
    (
        "top = 1\n",
        "TB-CONFIG-UNKNOWN",
        "toml:5: unknown key `top`; known here: origin",
    ),
    (
        "[x]\n",
        "TB-CONFIG-UNKNOWN",
        "known here: listen, node, cluster, http, log, limits",
    ),
    (
        "[listen]\ndta = \"x\"\n",
        "TB-CONFIG-UNKNOWN",
        "toml:6: unknown key `dta`; did you mean",
    ),
    (
        "[listen]\ndata = \"x\"\n",
        "TB-CONFIG-VALUE",
        "`listen.data` cannot be `x`; give HOST:PORT",
    ),
    (
        "[listen]\ndata = 7300\n",
        "TB-CONFIG-VALUE",
        "cannot be `7300`; give HOST:PORT",
    ),
    (
        "[listen]\ndata = \"::1:7300\"\n",
        "TB-CONFIG-VALUE",
        "give HOST:PORT",
    ),
    (
        "[listen]\ndata = \"h:65536\"\n",
        "TB-CONFIG-VALUE",
        "give HOST:PORT",
    ),
    (
        "[listen]\ndata = \"h:+1\"\n",
        "TB-CONFIG-VALUE",
        "give HOST:PORT",
    ),
    (
        "[listen]\ndata = \":1\"\n",
        "TB-CONFIG-VALUE",
        "give HOST:PORT",
    ),
    (
        "[limits]\nbody_bytes = \"4MB\"\n",
        "TB-CONFIG-VALUE",
        "such as `4MiB`",
    ),
    (
        "[limits]\nbody_bytes = 0\n",
        "TB-CONFIG-VALUE",
        "such as `4MiB`",
    ),
    (
        "[limits]\nbody_bytes = -1\n",
        "TB-CONFIG-VALUE",
        "such as `4MiB`",
    ),
    (
        "[limits]\nbody_bytes = 1.5\n",
        "TB-CONFIG-VALUE",
        "cannot be `1.5`",
    ),
    (
        "[limits]\nheaders = \"7\"\n",
        "TB-CONFIG-VALUE",
        "a whole number",
    ),
    (
        "[limits]\nheaders = 0x10\n",
        "TB-CONFIG-VALUE",
        "a whole number",
    ),
    (
        "[limits]\nheaders = true\n",
        "TB-CONFIG-VALUE",
        "cannot be `true`",
    ),
    (
        "[limits]\nheaders = 99999999999999999999\n",
        "TB-CONFIG-VALUE",
        "a whole number",
    ),
    (
        "[deadlines]\nadmit = \"3\"\n",
        "TB-CONFIG-VALUE",
        "such as `30s`",
    ),
    (
        "[deadlines]\nadmit = \"0s\"\n",
        "TB-CONFIG-VALUE",
        "such as `30s`",
    ),
    (
        "[deadlines]\nadmit = \"8d\"\n",
        "TB-CONFIG-VALUE",
        "such as `30s`",
    ),
    (
        "[http]\nallowed_hosts = \"a\"\n",
        "TB-CONFIG-VALUE",
        "names without",
    ),
    (
        "[http]\nallowed_hosts = [1]\n",
        "TB-CONFIG-VALUE",
        "cannot be `a list`",
    ),
    (
        "[http]\nallowed_origins = [\"*\"]\n",
        "TB-CONFIG-VALUE",
        "origins like",
    ),
    (
        "[http]\npublic_url = \"gate.example\"\n",
        "TB-CONFIG-VALUE",
        "an URL",
    ),
    (
        "[log]\nformat = \"xml\"\n",
        "TB-CONFIG-VALUE",
        "`text` or `json`",
    ),
    ("[log]\nlevel = \"\"\n", "TB-CONFIG-VALUE", "such as `info`"),
    (
        "[listen]\ndata = \"a:1\"\nadmin = \"a:1\"\n",
        "TB-CONFIG-ADDRESS",
        "its own port",
    ),
    ("[listen\n", "TB-CONFIG-SYNTAX", "toml:5: not valid TOML"),
    ("[node]\n", "TB-CONFIG-SYNTAX", "not valid TOML"),
    (
        "[log]\nlevel = \"info\"\nlevel = \"warn\"\n",
        "TB-CONFIG-SYNTAX",
        "not valid TOML",
    ),
    ("listen = 1\n", "TB-CONFIG-UNKNOWN", "unknown key `listen`"),
];

#[test]
fn each_bad_file_is_refused_with_line_and_advice() {
    for (added, code, part) in BAD {
        let error = read(&format!("{LEAST}{added}")).unwrap_err();
        assert_eq!(error.code(), *code, "{added}");
        assert!(error.to_string().contains(part), "{added}: {error}");
    }
    let error = read("listen = 1\n").unwrap_err();
    assert_eq!(error.code(), "TB-CONFIG-UNKNOWN");
}

#[test]
fn a_file_without_its_identity_is_refused() {
    assert_eq!(read("").unwrap_err().code(), "TB-CONFIG-MISSING");
    assert_eq!(
        read("[node]\nid = 1\n").unwrap_err().code(),
        "TB-CONFIG-MISSING"
    );
    let missing = Config::load(Path::new("/nowhere/tollbook.toml"), |_| None).unwrap_err();
    assert_eq!(missing.code(), "TB-CONFIG-READ");
}

#[test]
fn no_two_keys_share_a_name_or_a_variable() {
    let mut names: Vec<String> = KEYS.iter().map(Key::variable).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), KEYS.len());
}
