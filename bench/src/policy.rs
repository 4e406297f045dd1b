//! The policy of the comparison: twelve tools, two hidden, and one that is called.

/// The tool that is called.
pub const CALLED: &str = "http_request.post";
/// The other listed tools.
pub const OTHERS: [&str; 11] = [
    "calendar.create",
    "calendar.list",
    "channel.history",
    "channel.post",
    "document.read",
    "document.write",
    "http_request.get",
    "issue.close",
    "issue.create",
    "mail.send",
    "payment.create",
];
/// What the called tool asks of `args.url`.
pub const ALLOWED: &str = r"^https://(docs\.acme\.com|api\.acme\.com|github\.com/acme/)";
/// What must not be in `args.url`.
pub const EXFILTRATION: &str = r"(pastebin\.com|requestbin|hookbin|webhook\.site|ngrok\.io)";
/// The most that `args.body_bytes` may say.
pub const BODY_BYTES_MAX: u64 = 1_048_576;

/// The rules of the called tool: two patterns, `in`, `not_in`, `lte` and an `eq` below a key.
pub fn called_rules() -> String {
    let (allowed, exfiltration) = (
        ALLOWED.replace('\\', r"\\"),
        EXFILTRATION.replace('\\', r"\\"),
    );
    format!(
        r#"{{
      "require": [
        {{ "conditions": [
            {{ "path": "args.url", "op": "regex", "value": "{allowed}" }},
            {{ "path": "args.method", "op": "in", "value": ["POST", "PUT"] }},
            {{ "path": "args.body_bytes", "op": "lte", "value": {BODY_BYTES_MAX} }},
            {{ "path": "args.meta.region", "op": "eq", "value": "eu" }} ] }} ],
      "deny_if": [
        {{ "conditions": [
            {{ "path": "args.url", "op": "regex", "value": "{exfiltration}" }} ] }},
        {{ "conditions": [
            {{ "path": "args.class", "op": "not_in", "value": ["public", "internal"] }} ] }} ] }}"#
    )
}

/// The whole document.
pub fn text() -> String {
    let other = r#"{ "require": [ { "conditions": [
        { "path": "args.team", "op": "in", "value": ["ops", "dev"] } ] } ],
      "deny_if": [ { "conditions": [
        { "path": "args.dry_run", "op": "eq", "value": false } ] } ] }"#;
    let tools: String = OTHERS
        .iter()
        .map(|name| format!(",\n    \"{name}\": {other}"))
        .collect();
    format!(
        r#"{{ "version": "1", "default": "deny",
  "hide": ["delete_channel", "archive_channel"],
  "tools": {{
    "{CALLED}": {}{tools} }} }}"#,
        called_rules()
    )
}
