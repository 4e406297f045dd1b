//! Addresses, directories and patterns, by tables of what the generator writes and by the
//! contract's words.

/// How hosts are written, and which one is meant; none where parsers differ or no URL has it.
pub(super) const HOSTS: [(&str, Option<&str>); 25] = [
    ("docs.acme.com", Some("docs.acme.com")),
    ("DOCS.acme.COM", Some("docs.acme.com")),
    ("\u{ff44}ocs.acme.com", None),
    ("docs%2Eacme.com", None),
    ("docs\u{3002}acme.com", None),
    ("docs.acme.com.", Some("docs.acme.com.")),
    (
        "docs.acme.com.evil.example",
        Some("docs.acme.com.evil.example"),
    ),
    ("x.y.acme.com", Some("x.y.acme.com")),
    ("acme.com", Some("acme.com")),
    (".acme.com", None),
    ("evilacme.com", Some("evilacme.com")),
    ("*.acme.com", None),
    ("x.*.acme.com", None),
    ("github.com", Some("github.com")),
    ("b\u{fc}cher.example", None),
    ("xn--bcher-kva.example", Some("xn--bcher-kva.example")),
    ("127.0.0.1", Some("127.0.0.1")),
    ("0x7f000001", None),
    ("2130706433", None),
    ("127.1", None),
    ("0177.0.0.1", None),
    ("[::1]", Some("[::1]")),
    ("[0:0:0:0:0:0:0:1]", Some("[::1]")),
    ("[::ffff:127.0.0.1]", Some("[::ffff:7f00:1]")),
    ("docs<acme.com", None),
];

/// Whether a text matches.
type Meaning = fn(&str) -> bool;

/// Patterns whose meaning is plain, and what it is.
pub(super) const PATTERNS: [(&str, Meaning); 9] = [
    ("^a", |text| text.starts_with('a')),
    ("b$", |text| text.ends_with('b')),
    ("^$", str::is_empty),
    ("a", |text| text.contains('a')),
    ("(?i)^(ab|k)$", |text| {
        ["ab", "Ab", "aB", "AB", "k", "K", "\u{212a}"].contains(&text)
    }),
    ("^[^/]*$", |text| !text.contains('/')),
    ("^.$", |text| text.chars().count() == 1 && text != "\n"),
    (r"\bab\b", |text| {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        text.split(|c| !word(c)).any(|run| run == "ab")
    }),
    (r"^\d+$", |text| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
    }),
];

pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (_, means) = PATTERNS
        .iter()
        .find(|(one, _)| *one == pattern)
        .expect("a pattern of ours");
    means(text)
}

struct Address {
    scheme: String,
    host: String,
    port: u16,
    path: String,
    /// To servers that drop parameters and merge slashes before they resolve dots.
    merged: String,
}

pub(super) fn url_in(url: &str, place: &str) -> bool {
    let place =
        address(&place.replace("//*.", "//star.")).map(|read| (read, place.contains("//*.")));
    let (Some((place, below)), Some(url)) = (place, address(url)) else {
        return false;
    };
    let host = if below {
        let domain = place.host.strip_prefix("star").expect("put there above");
        let before = url.host.strip_suffix(domain);
        before.is_some_and(|before| !before.is_empty() && !before.contains('*'))
    } else {
        url.host == place.host
    };
    let below = |path: &str, place: &str| {
        let root = place.trim_end_matches('/');
        path == root || path.starts_with(&format!("{root}/"))
    };
    let path = below(&url.path, &place.path) && below(&url.merged, &place.merged);
    host && path && url.scheme == place.scheme && url.port == place.port
}

fn address(text: &str) -> Option<Address> {
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return None;
    }
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.to_lowercase();
    let default = match &*scheme {
        "http" | "ws" => 80,
        "https" | "wss" => 443,
        "ftp" => 21,
        // None of these is ever listed.
        _ => return None,
    };
    if rest
        .split('/')
        .next()
        .expect("one piece at least")
        .contains('@')
    {
        return None;
    }
    let rest = rest.split(['?', '#']).next().expect("one piece at least");
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    // The colons of an IPv6 address are no port's.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        Some(_) | None => (authority, ""),
    };
    let lower = path.to_lowercase();
    let disguises = ["%2e", "%2f", "%5c", "%252e", "%zz", "/.../"];
    if disguises.iter().any(|one| lower.contains(one)) {
        return None;
    }
    let port = if port.is_empty() {
        default
    } else {
        port.parse().ok()?
    };
    let host = match host.strip_prefix("star.") {
        Some(_) => host,
        None => HOSTS.iter().find(|(written, _)| *written == host)?.1?,
    };
    Some(Address {
        scheme,
        host: host.to_owned(),
        port,
        path: resolved(path),
        merged: resolved(&merged(path)),
    })
}

fn merged(path: &str) -> String {
    let named = path.split('/').map(|one| one.split(';').next().unwrap());
    let kept: Vec<&str> = named.filter(|one| !one.is_empty()).collect();
    format!("/{}", kept.join("/"))
}

/// Without dots, and with what is not ASCII in hexadecimal.
fn resolved(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (index, segment) in segments.iter().enumerate() {
        let dots = matches!(*segment, "." | "..");
        if *segment == ".." {
            kept.pop();
        }
        if !dots {
            kept.push(segment);
        } else if index + 1 == segments.len() {
            kept.push("");
        }
    }
    let bytes = format!("/{}", kept.join("/")).into_bytes().into_iter();
    bytes
        .map(|byte| match byte.is_ascii() {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

pub(super) fn path_in(path: &str, directory: &str) -> bool {
    let strange = path.is_empty() || path.contains('\\') || path.contains(char::is_control);
    let trimmed = path.trim() != path;
    let lower = path.to_lowercase();
    let mut disguises = ["%2e", "%2f", "%5c", "%252e"].iter();
    let disguised =
        disguises.any(|one| lower.contains(one)) || path.split('/').any(|segment| segment == "...");
    if strange || trimmed || disguised || path.starts_with('~') || path.starts_with("//") {
        return false;
    }
    // A drive or a scheme, where one stands at the root or would once the dots are resolved.
    let elsewhere = |(above, name): (&Vec<String>, &str)| {
        above.is_empty() && (name.chars().nth(1) == Some(':') || name.ends_with(':'))
    };
    let names = path.split('/').filter(|name| !["", "."].contains(name));
    if walk(path).is_some_and(|places| places.iter().zip(names).any(elsewhere)) {
        return false;
    }
    if path.starts_with('/') != directory.starts_with('/') {
        return false;
    }
    let (Some(places), Some(own)) = (walk(path), walk(directory)) else {
        return false;
    };
    let own = own.last().expect("the root at least");
    let inside: Vec<bool> = places.iter().map(|place| place.starts_with(own)).collect();
    let entered = inside.iter().position(|inside| *inside);
    entered.is_some_and(|entered| inside[entered..].iter().all(|inside| *inside))
}

/// Everywhere one is on the way, the root first; none if it leads out of the root.
fn walk(path: &str) -> Option<Vec<Vec<String>>> {
    let mut places = vec![Vec::new()];
    for segment in path
        .split('/')
        .filter(|segment| !["", "."].contains(segment))
    {
        let mut here: Vec<String> = places.last().expect("the root at least").clone();
        if segment == ".." {
            here.pop()?;
        } else {
            here.push(segment.to_owned());
        }
        places.push(here);
    }
    Some(places)
}
