//! Where each server is, parsed once a revision.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;

use tollbook_state::command::{ServerId, Upstream};

use crate::grants::Grant;
use crate::upstream::headers::add_fixed;
use crate::upstream::secret::{FixedHeader, HeaderError, SecretError, Secrets};
use crate::upstream::{Target, TargetError};

/// A server's address and its fixed headers.
#[derive(Debug)]
pub(crate) struct Route {
    /// Where it is.
    pub(crate) target: Target,
    fixed: Vec<FixedHeader>,
}

/// Why a server's definition leads nowhere. It was checked when it was put, by this or another
/// node.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RouteError {
    /// A header.
    #[error("a header of the server's definition cannot be used")]
    Header(#[source] HeaderError),
    /// The address.
    #[error("the server's address cannot be used")]
    Target(#[source] TargetError),
}

/// Routes by server.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    known: Mutex<BTreeMap<ServerId, (u64, Arc<Route>)>>,
}

impl Route {
    /// Reads a server's definition.
    pub(crate) fn new(upstream: &Upstream) -> Result<Self, RouteError> {
        match upstream {
            Upstream::Http { url, headers } => {
                let target = Target::parse(url).map_err(RouteError::Target)?;
                let fixed = headers
                    .iter()
                    .map(|(name, reference)| FixedHeader::new(name, reference))
                    .collect::<Result<_, _>>()
                    .map_err(RouteError::Header)?;
                Ok(Self { target, fixed })
            }
        }
    }

    /// Adds the server's fixed headers.
    pub(crate) fn add_fixed(
        &self,
        headers: &mut HeaderMap,
        secrets: &Secrets,
    ) -> Result<(), SecretError> {
        add_fixed(headers, &self.fixed, secrets)
    }
}

impl Routes {
    /// The route to a grant's server, as the grant was authenticated with it.
    pub(crate) fn of(&self, grant: &Grant) -> Result<Arc<Route>, RouteError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((revision, route)) = known.get(&grant.server)
            && *revision == grant.server_revision
        {
            return Ok(Arc::clone(route));
        }
        let route = Arc::new(Route::new(&grant.upstream)?);
        known.insert(grant.server, (grant.server_revision, Arc::clone(&route)));
        Ok(route)
    }
}
