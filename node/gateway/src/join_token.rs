//! What `tollbook cluster token` prints: a join token and the fingerprint of the cluster's
//! authority, joined by a dot. The token opens the cluster once; the fingerprint lets the new node
//! know whom it speaks to before it sends the token.

use thiserror::Error;

use tollbook_audit::hex;
use tollbook_raft::Fingerprint;

use crate::dir::unhex;
use crate::token::{Class, Token, TokenError};

/// Both parts.
#[derive(Clone, Debug)]
pub(crate) struct Invitation {
    /// Opens the cluster once.
    pub(crate) token: Token,
    /// Of the authority that vouches for the cluster's nodes.
    pub(crate) authority: Fingerprint,
}

/// Why a text is no invitation. Says nothing of the text itself.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum InvitationError {
    /// There is no fingerprint behind the token.
    #[error("the text has no fingerprint; copy the whole line of `tollbook cluster token`")]
    Fingerprint,
    /// The token itself.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl Invitation {
    /// Reads one; a line feed at its end is allowed.
    pub(crate) fn parse(text: &str) -> Result<Self, InvitationError> {
        let text = text.trim_end_matches(['\r', '\n']);
        let (token, fingerprint) = text.split_once('.').ok_or(InvitationError::Fingerprint)?;
        let token = Token::parse_as(Class::Join, token)?;
        let fingerprint = unhex(fingerprint).ok_or(InvitationError::Fingerprint)?;
        Ok(Self {
            token,
            authority: Fingerprint(fingerprint),
        })
    }

    /// The text. It is a secret.
    pub(crate) fn expose(&self) -> zeroize::Zeroizing<String> {
        let fingerprint = hex(&self.authority.0);
        zeroize::Zeroizing::new(format!("{}.{fingerprint}", self.token.expose()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_reads_back_and_a_changed_one_is_refused() {
        let invitation = Invitation {
            token: Token::generate(Class::Join).unwrap(),
            authority: Fingerprint([7; 32]),
        };
        let text = invitation.expose();
        let read = Invitation::parse(&format!("{}\n", *text)).unwrap();
        assert_eq!(read.token.hash(), invitation.token.hash());
        assert_eq!(read.authority, invitation.authority);
        let (token, _) = text.split_once('.').unwrap();
        let cut = Invitation::parse(token).unwrap_err();
        assert_eq!(cut, InvitationError::Fingerprint);
        let short = text.get(..text.len() - 1).unwrap();
        let short = Invitation::parse(short).unwrap_err();
        assert_eq!(short, InvitationError::Fingerprint);
        let grant = Token::generate(Class::Grant).unwrap();
        let other = format!("{}.{}", grant.expose(), "00".repeat(32));
        assert!(matches!(
            Invitation::parse(&other),
            Err(InvitationError::Token(_))
        ));
    }
}
