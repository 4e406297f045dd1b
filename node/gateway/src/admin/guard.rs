//! Who may ask: nobody without an admin token, no web page, nobody who thinks that this is another
//! host.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::X_CONTENT_TYPE_OPTIONS;
use http::header::{AUTHORIZATION, CACHE_CONTROL, HOST, HeaderName, HeaderValue, ORIGIN};

use super::Plane;
use super::problem::Refused;
use crate::token::{Class, Token};

/// Public id of the admin token that a request came with: the actor of its changes.
#[derive(Clone, Debug)]
pub(super) struct Admin(pub(super) String);

/// Lets requests pass that carry an admin token, and notes whose.
pub(super) async fn admins_only(
    State(plane): State<Arc<Plane>>,
    mut request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let admitted = check_names(&plane, headers).and_then(|()| authenticate(&plane, headers));
    let mut response = match admitted {
        Ok(admin) => {
            request.extensions_mut().insert(admin);
            next.run(request).await
        }
        Err(refused) => {
            let source = request
                .extensions()
                .get::<ConnectInfo<IpAddr>>()
                .map(|info| info.0);
            tracing::warn!(?source, error = %refused, "an admin request was refused");
            refused.into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A page in a browser on the operator's machine reaches a loopback listener too, under a name of
/// its own choice. It has no token, but need not get as far as being asked for one.
fn check_names(plane: &Plane, headers: &HeaderMap) -> Result<(), Refused> {
    let host = once(headers, &HOST)
        .and_then(Result::ok)
        .ok_or(Refused::HostUnknown)?;
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let name = name.trim_matches(['[', ']']).to_ascii_lowercase();
    let names = &plane.node.names;
    let own = plane
        .node
        .config
        .listen
        .admin
        .host()
        .trim_matches(['[', ']']);
    if !names.hosts.contains(&name) && !own.eq_ignore_ascii_case(&name) {
        return Err(Refused::HostUnknown);
    }
    match once(headers, &ORIGIN) {
        None => Ok(()),
        Some(Ok(origin)) if names.origins.iter().any(|ours| ours == origin) => Ok(()),
        Some(_) => Err(Refused::OriginForbidden),
    }
}

fn authenticate(plane: &Plane, headers: &HeaderMap) -> Result<Admin, Refused> {
    let value = once(headers, &AUTHORIZATION).ok_or(Refused::TokenMissing)?;
    let value = value.map_err(|_repeated| Refused::TokenMissing)?;
    let (scheme, token) = value.split_once(' ').ok_or(Refused::TokenMissing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refused::TokenMissing);
    }
    // A token of the data plane ends here, before anything is looked up.
    let token = Token::parse_as(Class::Admin, token).map_err(Refused::TokenWrong)?;
    if plane.admins.knows(&token) {
        Ok(Admin(token.id_text().to_owned()))
    } else {
        Err(Refused::TokenUnknown)
    }
}

/// A header's text; an error where it stands twice or is no text: two readers could differ.
fn once<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<Result<&'h str, ()>> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    let text = value.to_str().map_err(|_| ());
    Some(if values.next().is_none() {
        text
    } else {
        Err(())
    })
}
