//! Tokens: `tbg_<12 base62 id>_<32 base62 secret><6 base62 CRC32>`.
//!
//! The id is a public handle. The node keeps only [`Token::hash`]; the text is shown once, when the
//! token is made. 190 bits of secret need no slow hash.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

use tollbook_state::command::TokenHash;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PREFIX_CHARS: usize = 4;
const ID_CHARS: usize = 12;
const SECRET_CHARS: usize = 32;
const CHECKSUM_CHARS: usize = 6;
/// Characters of a whole token.
pub const TOKEN_CHARS: usize = PREFIX_CHARS + ID_CHARS + 1 + SECRET_CHARS + CHECKSUM_CHARS;
/// So that the hash of a token is of no use anywhere else.
const HASH_DOMAIN: &[u8] = b"tollbook token v1\n";

/// What a token opens. A token of one class is refused elsewhere before anything is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `tba_`: the admin plane.
    Admin,
    /// `tbg_`: the data plane.
    Grant,
    /// `tbj_`: joining a cluster.
    Join,
}

/// A well-formed token. Its text is wiped when it is dropped and never printed by `Debug`.
#[derive(Clone)]
pub struct Token {
    class: Class,
    id: [u8; ID_CHARS],
    text: Zeroizing<String>,
}

/// Why a text is not the token that was asked for. Says nothing of the text itself, which may be
/// a secret.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum TokenError {
    /// A token, but of another plane.
    #[error("this is {}, and {} is needed here", .found.article(), .wanted.article())]
    Class {
        /// What the text is.
        found: Class,
        /// What was asked for.
        wanted: Class,
    },
    /// Mistyped or cut: the last six characters do not belong to the rest.
    #[error("the token's check characters are wrong; copy the whole token again")]
    Checksum,
    /// Not a token at all.
    #[error("this is not a token; a token looks like `tbg_` and 51 letters and digits")]
    Shape,
}

impl Class {
    /// The first four characters of its tokens.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Admin => "tba_",
            Self::Grant => "tbg_",
            Self::Join => "tbj_",
        }
    }

    fn article(self) -> &'static str {
        match self {
            Self::Admin => "an admin token",
            Self::Grant => "a grant token",
            Self::Join => "a join token",
        }
    }

    fn of(text: &str) -> Option<Self> {
        [Self::Admin, Self::Grant, Self::Join]
            .into_iter()
            .find(|class| text.starts_with(class.prefix()))
    }
}

impl Token {
    /// Makes a new token from the system's random source; an error if that has nothing to give.
    pub fn generate(class: Class) -> Result<Self, getrandom::Error> {
        Self::generate_for(class, *random_digits::<ID_CHARS>()?)
    }

    /// Makes another token of a public handle that there is: its secret alone is new.
    pub fn generate_for(class: Class, id: [u8; ID_CHARS]) -> Result<Self, getrandom::Error> {
        let mut text = Zeroizing::new(String::with_capacity(TOKEN_CHARS));
        text.push_str(class.prefix());
        push_digits(&mut text, &id);
        text.push('_');
        push_digits(&mut text, &*random_digits::<SECRET_CHARS>()?);
        let check = checksum(text.as_bytes());
        push_digits(&mut text, &check);
        Ok(Self { class, id, text })
    }

    /// Reads a token of any class.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let class = Class::of(text).ok_or(TokenError::Shape)?;
        let bytes = text.as_bytes();
        if bytes.len() != TOKEN_CHARS {
            return Err(TokenError::Shape);
        }
        let (signed, check) = bytes
            .split_at_checked(TOKEN_CHARS - CHECKSUM_CHARS)
            .ok_or(TokenError::Shape)?;
        let (_prefix, rest) = signed
            .split_at_checked(PREFIX_CHARS)
            .ok_or(TokenError::Shape)?;
        let (id, secret) = rest
            .split_first_chunk::<ID_CHARS>()
            .ok_or(TokenError::Shape)?;
        let secret = secret.strip_prefix(b"_").ok_or(TokenError::Shape)?;
        let digits = |part: &[u8]| part.iter().all(u8::is_ascii_alphanumeric);
        if !digits(id) || !digits(secret) || !digits(check) {
            return Err(TokenError::Shape);
        }
        if checksum(signed) != check {
            return Err(TokenError::Checksum);
        }
        Ok(Self {
            class,
            id: *id,
            text: Zeroizing::new(text.to_owned()),
        })
    }

    /// Reads a token of class `wanted`; another class is told apart before its secret is looked
    /// at.
    pub fn parse_as(wanted: Class, text: &str) -> Result<Self, TokenError> {
        let token = Self::parse(text)?;
        if token.class != wanted {
            return Err(TokenError::Class {
                found: token.class,
                wanted,
            });
        }
        Ok(token)
    }

    /// The class that its prefix names.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The public handle; safe to log.
    pub fn id(&self) -> [u8; ID_CHARS] {
        self.id
    }

    /// The public handle as text; safe to log.
    pub fn id_text(&self) -> &str {
        self.text
            .get(PREFIX_CHARS..PREFIX_CHARS + ID_CHARS)
            .unwrap_or_default()
    }

    /// The whole secret text. For the one place that hands it out, or sends it.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What the node stores in the token's stead.
    pub fn hash(&self) -> TokenHash {
        let digest = Sha256::new()
            .chain_update(HASH_DOMAIN)
            .chain_update(self.text.as_bytes());
        TokenHash(digest.finalize().into())
    }

    /// Whether `stored` is this token's hash, in a time that does not depend on where they differ.
    pub fn matches(&self, stored: &TokenHash) -> bool {
        self.hash().0.ct_eq(&stored.0).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}{}_…)", self.class.prefix(), self.id_text())
    }
}

/// `N` base62 digits, each of the 62 as likely as any other.
fn random_digits<const N: usize>() -> Result<Zeroizing<[u8; N]>, getrandom::Error> {
    // Bytes of 248 and more are thrown away: 256 is no multiple of 62, and `% 62` alone would
    // favour the first eight digits.
    const FAIR: u8 = 248;
    let mut digits = Zeroizing::new([0u8; N]);
    let mut filled = 0;
    while filled < N {
        let mut bytes = Zeroizing::new([0u8; 64]);
        getrandom::fill(&mut *bytes)?;
        let fair = bytes.iter().filter(|byte| **byte < FAIR);
        for (slot, byte) in digits.iter_mut().skip(filled).zip(fair) {
            *slot = digit(u32::from(*byte));
            filled += 1;
        }
    }
    Ok(digits)
}

fn digit(value: u32) -> u8 {
    let index = usize::try_from(value % 62).unwrap_or(0);
    DIGITS.get(index).copied().unwrap_or(b'0')
}

/// CRC32 (IEEE) of `signed` as six base62 digits, most significant first.
fn checksum(signed: &[u8]) -> [u8; CHECKSUM_CHARS] {
    let mut rest = crc32fast::hash(signed);
    let mut digits = [b'0'; CHECKSUM_CHARS];
    for slot in digits.iter_mut().rev() {
        *slot = digit(rest);
        rest /= 62;
    }
    digits
}

fn push_digits(text: &mut String, digits: &[u8]) {
    text.extend(digits.iter().copied().map(char::from));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_token_reads_back_as_itself() {
        for class in [Class::Admin, Class::Grant, Class::Join] {
            let token = Token::generate(class).unwrap();
            let again = Token::parse_as(class, token.expose()).unwrap();
            assert_eq!(again.expose(), token.expose());
            assert_eq!(again.id(), token.id());
            assert_eq!(again.id_text().as_bytes(), token.id());
            assert!(again.matches(&token.hash()));
        }
    }

    #[test]
    fn another_token_of_a_handle_shares_the_handle_alone() {
        let one = Token::generate(Class::Grant).unwrap();
        let two = Token::generate_for(Class::Grant, one.id()).unwrap();
        assert_eq!(one.id(), two.id());
        assert_ne!(one.expose().get(17..49), two.expose().get(17..49));
        assert!(!one.matches(&two.hash()));
        assert_eq!(Token::parse(two.expose()).unwrap().id(), one.id());
    }

    #[test]
    fn no_two_tokens_share_id_secret_or_hash() {
        let one = Token::generate(Class::Grant).unwrap();
        let two = Token::generate(Class::Grant).unwrap();
        assert_ne!(one.id(), two.id());
        assert_ne!(one.expose().get(17..49), two.expose().get(17..49));
        assert!(!one.matches(&two.hash()));
    }

    #[test]
    fn every_changed_or_missing_character_is_refused() {
        let token = Token::generate(Class::Grant).unwrap();
        let text = token.expose();
        for at in 0..text.len() {
            let mut cut = text.to_owned();
            cut.remove(at);
            assert_eq!(
                Token::parse(&cut).unwrap_err(),
                TokenError::Shape,
                "cut at {at}"
            );
            let mut changed = text.to_owned().into_bytes();
            changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(Token::parse(&changed).is_err(), "changed at {at}");
        }
        assert_eq!(
            Token::parse(&format!("{text}\n")).unwrap_err(),
            TokenError::Shape
        );
        assert_eq!(
            Token::parse(&format!(" {text}")).unwrap_err(),
            TokenError::Shape
        );
        assert_eq!(Token::parse("").unwrap_err(), TokenError::Shape);
        assert_eq!(Token::parse("tbg_").unwrap_err(), TokenError::Shape);
        assert_eq!(
            Token::parse(&text.replace("tbg_", "tbx_")).unwrap_err(),
            TokenError::Shape
        );
        // As many bytes as a token has, but not as many characters.
        let wide = format!("tbg_{}", "é".repeat(25)) + "x";
        assert_eq!(Token::parse(&wide).unwrap_err(), TokenError::Shape);
    }

    #[test]
    fn a_class_is_never_taken_for_another() {
        let grant = Token::generate(Class::Grant).unwrap();
        assert_eq!(
            Token::parse_as(Class::Admin, grant.expose()).unwrap_err(),
            TokenError::Class {
                found: Class::Grant,
                wanted: Class::Admin
            }
        );
        // Renaming the prefix does not make it one: the checksum covers the prefix.
        let renamed = grant.expose().replace("tbg_", "tba_");
        assert_eq!(Token::parse(&renamed).unwrap_err(), TokenError::Checksum);
    }

    #[test]
    fn debug_shows_the_public_id_and_no_secret() {
        let token = Token::generate(Class::Grant).unwrap();
        let shown = format!("{token:?}");
        assert!(shown.contains(token.id_text()));
        let secret = token.expose().get(17..).unwrap();
        assert!(!shown.contains(secret));
        assert!(!shown.contains(secret.get(..8).unwrap()));
    }

    #[test]
    fn the_checksum_and_the_hash_never_change() {
        let text = "tbg_0123456789AB_0123456789abcdefghijklmnopqrstuv";
        let check = checksum(text.as_bytes());
        let token = Token::parse(&format!("{text}{}", str::from_utf8(&check).unwrap())).unwrap();
        // Both computed once with Python's zlib and hashlib.
        assert_eq!(str::from_utf8(&check).unwrap(), "3asTPF");
        let hex: String = token
            .hash()
            .0
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hex,
            "2a0c00ebbe297501678fa450e119631bc90946e59b9cf10e713ca30f5bbd1983"
        );
    }

    #[test]
    fn digits_are_drawn_evenly() {
        let mut seen = [0u32; 128];
        for _ in 0..200 {
            for digit in random_digits::<62>().unwrap().iter() {
                seen[usize::from(*digit)] += 1;
            }
        }
        for digit in DIGITS {
            // 200 on average; one in 10^12 runs strays as far as this.
            let count = seen[usize::from(*digit)];
            assert!(
                (90..=330).contains(&count),
                "{} {count}",
                char::from(*digit)
            );
        }
    }
}
