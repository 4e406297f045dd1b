//! Who asks: a token becomes a grant, or nothing.

use http::header::AUTHORIZATION;
use subtle::ConstantTimeEq as _;

use tollbook_state::command::{GrantId, ServerId, TokenHash};

use crate::inbound::Inbound;
use crate::node::Node;
use crate::refusal::{Refusal, Unauthenticated};
use crate::token::{Class, Token};

/// A grant whose token was presented and found live, as it stood then. Only [`Grants`] makes one.
#[derive(Debug)]
pub(crate) struct Grant {
    /// Public handle.
    pub(crate) id: GrantId,
    /// The server that it is for.
    pub(crate) server: ServerId,
    /// Which revision of the grant this is.
    pub(crate) revision: u64,
    /// Which revision of its server was seen with it.
    pub(crate) server_revision: u64,
    /// Where the server is.
    pub(crate) upstream: tollbook_state::command::Upstream,
    /// Name of its policy; none denies all.
    pub(crate) policy: Option<String>,
    /// Hash of the token that was presented.
    token: TokenHash,
}

/// What an unknown id is compared with. No token hashes to it.
const NOBODY: TokenHash = TokenHash([0; 32]);

/// Finds grants by token.
#[derive(Debug, Default)]
pub(crate) struct Grants;

impl Grants {
    /// The grant whose token the request carries, if it is live and for the server that the path
    /// names. An unknown id and a wrong secret take the same way and the same time.
    pub(crate) fn authenticate(&self, node: &Node, inbound: &Inbound) -> Result<Grant, Refusal> {
        let token = presented(inbound).map_err(Refusal::Unauthenticated)?;
        let grant = live(node, GrantId(token.id()), token.hash())?;
        let grant = grant.filter(|grant| inbound.server == Some(grant.server));
        grant.ok_or(Refusal::ServerUnknown)
    }

    /// The same grant as it stands now, with its server: for what is not held against both at
    /// admission, and for deciding again. A token that a rotation has ended meanwhile opens
    /// nothing more.
    pub(crate) fn refresh(&self, node: &Node, grant: &Grant) -> Result<Grant, Refusal> {
        let now = live(node, grant.id, grant.token)?;
        let now = now.filter(|now| now.server == grant.server);
        now.ok_or(Refusal::ServerUnknown)
    }
}

/// The grant of this id whose token, or former token, hashes to `token`, if it is live, and if its
/// server exists.
fn live(node: &Node, id: GrantId, token: TokenHash) -> Result<Option<Grant>, Refusal> {
    let wall = node.now();
    let found = node.cluster.read(|state| {
        let grant = state.grant(&id);
        // The later of both clocks: the log's own decides at admission anyway.
        let now = wall.max(state.now());
        let stored = grant.map_or(NOBODY, |grant| grant.token);
        let former = grant.and_then(|grant| grant.former_at(now));
        // Both are compared, whatever the first comparison comes to.
        let same = token.0.ct_eq(&stored.0) | token.0.ct_eq(&former.unwrap_or(NOBODY).0);
        let grant = grant
            .filter(|_| bool::from(same))
            .ok_or(Unauthenticated::Unknown)?;
        if grant.revoked_at.is_some() {
            return Err(Unauthenticated::Revoked);
        }
        if grant.expires.is_some_and(|expires| now >= expires) {
            return Err(Unauthenticated::Expired);
        }
        if grant.not_before.is_some_and(|from| now < from) {
            return Err(Unauthenticated::NotYet);
        }
        let server = state.server(&grant.server).map(|server| Grant {
            id: grant.id,
            server: grant.server,
            revision: grant.revision,
            server_revision: server.revision,
            upstream: server.upstream.clone(),
            policy: grant.policy.clone(),
            token,
        });
        Ok(server)
    });
    found.map_err(Refusal::Unauthenticated)
}

fn presented(inbound: &Inbound) -> Result<Token, Unauthenticated> {
    let value = inbound
        .headers
        .get(AUTHORIZATION)
        .ok_or(Unauthenticated::Missing)?;
    let text = value.to_str().map_err(|_| Unauthenticated::Malformed)?;
    let (scheme, token) = text.split_once(' ').ok_or(Unauthenticated::Malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Unauthenticated::Malformed);
    }
    Token::parse_as(Class::Grant, token.trim()).map_err(|_| Unauthenticated::Malformed)
}
