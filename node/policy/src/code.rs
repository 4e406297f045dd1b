//! The codes of findings, and what each means. They never change meaning.

pub(crate) const SYNTAX: &str = "TB-POL-001";
pub(crate) const DOCUMENT_BYTES: &str = "TB-POL-002";
pub(crate) const DEPTH: &str = "TB-POL-003";
pub(crate) const NODES: &str = "TB-POL-004";
pub(crate) const DUPLICATE_KEY: &str = "TB-POL-005";
pub(crate) const PROFILE: &str = "TB-POL-006";
pub(crate) const UNKNOWN_FIELD: &str = "TB-POL-010";
pub(crate) const MISSING_FIELD: &str = "TB-POL-011";
pub(crate) const TYPE: &str = "TB-POL-012";
pub(crate) const NULL: &str = "TB-POL-013";
pub(crate) const EMPTY_LIST: &str = "TB-POL-014";
pub(crate) const EMPTY_NAME: &str = "TB-POL-015";
pub(crate) const TWICE: &str = "TB-POL-016";
pub(crate) const VERSION: &str = "TB-POL-020";
pub(crate) const DEFAULT: &str = "TB-POL-021";
pub(crate) const STAR: &str = "TB-POL-022";
pub(crate) const PATH: &str = "TB-POL-030";
pub(crate) const OPERATOR: &str = "TB-POL-031";
pub(crate) const VALUE_MISSING: &str = "TB-POL-032";
pub(crate) const VALUE: &str = "TB-POL-033";
pub(crate) const NUMBER: &str = "TB-POL-034";
pub(crate) const PATTERN: &str = "TB-POL-035";
pub(crate) const WHOLE_NUMBER: &str = "TB-POL-040";
pub(crate) const WINDOW: &str = "TB-POL-041";
pub(crate) const SCOPE: &str = "TB-POL-042";
pub(crate) const TWO_INCREMENTS: &str = "TB-POL-043";
pub(crate) const EVERY_IN_INCREMENT: &str = "TB-POL-044";
pub(crate) const CHARGED_TWICE: &str = "TB-POL-045";
pub(crate) const METHOD: &str = "TB-POL-050";
pub(crate) const METHOD_PASSES: &str = "TB-POL-051";
pub(crate) const AUDIT_LEVEL: &str = "TB-POL-060";
pub(crate) const TOOLS_LIMIT: &str = "TB-POL-070";
pub(crate) const RULES_LIMIT: &str = "TB-POL-071";
pub(crate) const CONDITIONS_LIMIT: &str = "TB-POL-072";
pub(crate) const LIMITS_LIMIT: &str = "TB-POL-073";
pub(crate) const NAME_LIMIT: &str = "TB-POL-074";
pub(crate) const MESSAGE_LIMIT: &str = "TB-POL-075";
pub(crate) const PATH_LIMIT: &str = "TB-POL-076";
pub(crate) const PATTERN_LIMIT: &str = "TB-POL-077";
pub(crate) const AUTOMATON_LIMIT: &str = "TB-POL-078";
pub(crate) const PATTERN_DEPTH_LIMIT: &str = "TB-POL-079";
pub(crate) const FINDINGS_LIMIT: &str = "TB-POL-099";
pub(crate) const WARN_UNREACHED: &str = "TB-POL-101";
pub(crate) const WARN_METHOD: &str = "TB-POL-102";
pub(crate) const WARN_OPEN_START: &str = "TB-POL-103";
pub(crate) const WARN_OPEN_END: &str = "TB-POL-104";
pub(crate) const WARN_ANYTHING: &str = "TB-POL-105";
pub(crate) const WARN_STAR_KEY: &str = "TB-POL-106";
pub(crate) const WARN_PARENT: &str = "TB-POL-107";
pub(crate) const WARN_UNGUARDED: &str = "TB-POL-108";
pub(crate) const WARN_NEVER: &str = "TB-POL-109";
pub(crate) const WARN_ALWAYS: &str = "TB-POL-110";
pub(crate) const WARN_DENIED_TOOL: &str = "TB-POL-111";
pub(crate) const WARN_LIMIT_CLOSED: &str = "TB-POL-112";
pub(crate) const WARN_LIMIT_IDLE: &str = "TB-POL-113";
pub(crate) const WARN_DEFAULT_ALLOW: &str = "TB-POL-114";
pub(crate) const WARN_NOTHING_REQUIRED: &str = "TB-POL-115";
pub(crate) const WARN_TEMPLATE: &str = "TB-POL-116";
pub(crate) const WARN_ASCII: &str = "TB-POL-117";
pub(crate) const WARN_SPELLING: &str = "TB-POL-118";
pub(crate) const WARN_UNSEEN_ARGUMENTS: &str = "TB-POL-119";
pub(crate) const WARN_ALIKE: &str = "TB-POL-120";
pub(crate) const WARN_WARNINGS_LIMIT: &str = "TB-POL-199";

/// Every code with what it means, in order. `docs/errors.md` says the same.
pub(crate) const ALL: &[(&str, &str)] = &[
    (SYNTAX, "no JSON"),
    (DOCUMENT_BYTES, "the document is too large"),
    (DEPTH, "nested too deep"),
    (NODES, "too many values"),
    (DUPLICATE_KEY, "a key twice in one object"),
    (
        PROFILE,
        "JSON that parsers read differently: half a surrogate pair, `__proto__`, a control \
         character in a key, a number out of range",
    ),
    (UNKNOWN_FIELD, "an unknown field"),
    (MISSING_FIELD, "a field is missing"),
    (TYPE, "a value of the wrong type"),
    (NULL, "`null`"),
    (EMPTY_LIST, "an empty list"),
    (EMPTY_NAME, "an empty name"),
    (TWICE, "a name twice in one list"),
    (VERSION, "`version` is not `\"1\"`"),
    (DEFAULT, "`default` is neither `allow` nor `deny`"),
    (STAR, "`*` in `hide`, or `deny` or `only` under `\"*\"`"),
    (PATH, "no path"),
    (OPERATOR, "no operator"),
    (VALUE_MISSING, "the operator needs a `value`"),
    (VALUE, "a `value` that the operator cannot judge"),
    (NUMBER, "a number that servers read differently"),
    (
        PATTERN,
        "a pattern that Go's `regexp` would refuse, or half a surrogate pair in one with `^`; \
         the place in it is named",
    ),
    (
        WHOLE_NUMBER,
        "not a whole number in its range (`max`, `increment`)",
    ),
    (WINDOW, "`window` is not `minute`, `hour`, `day` or `month`"),
    (
        SCOPE,
        "`scope` is not `grant`, `policy`, `server` or `owner`",
    ),
    (TWO_INCREMENTS, "both `increment` and `increment_from`"),
    (EVERY_IN_INCREMENT, "`[*]` in `increment_from`"),
    (
        CHARGED_TWICE,
        "one call would charge a counter twice in one window and scope",
    ),
    (METHOD, "not a method"),
    (METHOD_PASSES, "a method that `methods` cannot decide"),
    (
        AUDIT_LEVEL,
        "`level` of `audit` is not `keys`, `commit` or `sealed`",
    ),
    (TOOLS_LIMIT, "too many tools"),
    (RULES_LIMIT, "too many rules"),
    (CONDITIONS_LIMIT, "too many conditions"),
    (LIMITS_LIMIT, "too many limits that one call can meet"),
    (NAME_LIMIT, "a name is too long"),
    (MESSAGE_LIMIT, "a message is too long"),
    (PATH_LIMIT, "a path is too long"),
    (PATTERN_LIMIT, "a pattern is too long"),
    (
        AUTOMATON_LIMIT,
        "a pattern, or all together, compile to too much",
    ),
    (PATTERN_DEPTH_LIMIT, "a pattern's groups nest too deep"),
    (FINDINGS_LIMIT, "more errors than are shown"),
    (
        WARN_UNREACHED,
        "a hidden tool that is also listed: what stands there is never reached",
    ),
    (
        WARN_METHOD,
        "`methods` names a method that MCP does not know; it is denied anyway",
    ),
    (
        WARN_OPEN_START,
        "an allowlist pattern that does not begin with `^` in all its branches",
    ),
    (
        WARN_OPEN_END,
        "an allowlist pattern that does not end with `$` in all its branches",
    ),
    (
        WARN_ANYTHING,
        "`.*`, `.+` or a class as wide in an allowlist pattern; a text that passes is shown",
    ),
    (
        WARN_STAR_KEY,
        "`*` as a key in a path; every element is `[*]`",
    ),
    (
        WARN_PARENT,
        "an allowlist pattern of characters that lets `..` through",
    ),
    (
        WARN_UNGUARDED,
        "a `deny_if` on a path that no `require` asks for: a call without it passes",
    ),
    (
        WARN_NEVER,
        "a rule that never decides: it contradicts itself or `require`, or an earlier rule does \
         the same",
    ),
    (WARN_ALWAYS, "rules that no call can pass"),
    (
        WARN_DENIED_TOOL,
        "rules beside a tool's `deny`, which are never reached",
    ),
    (WARN_LIMIT_CLOSED, "a limit that lets no call pass"),
    (
        WARN_LIMIT_IDLE,
        "a limit that is never reached before another one of its counter",
    ),
    (
        WARN_DEFAULT_ALLOW,
        "`default: allow`: tools that are not listed pass",
    ),
    (
        WARN_NOTHING_REQUIRED,
        "`default: allow` and only `deny_if`: nothing is required of any call",
    ),
    (
        WARN_TEMPLATE,
        "an `on_deny` or `deny` that looks like a template; nothing is filled in",
    ),
    (
        WARN_ASCII,
        "a pattern with classes that mean ASCII, and more in other engines",
    ),
    (
        WARN_SPELLING,
        "a deny list of addresses by their text, which another spelling walks around",
    ),
    (
        WARN_UNSEEN_ARGUMENTS,
        "a checked argument with neighbours that no rule looks at; said once a policy",
    ),
    (
        WARN_ALIKE,
        "a name of a tool that looks like another, or has what nobody sees",
    ),
    (WARN_WARNINGS_LIMIT, "more warnings than are shown"),
];
