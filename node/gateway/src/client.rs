//! The commands' client of the admin API: one request, one answer, over HTTP/1.1.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use url::Url;

use crate::admin::api::Problem;
use crate::dir::{Dir, DirError, read_token};
use crate::token::{Class, Token};

const CONNECT: Duration = Duration::from_secs(3);
/// Longer than the node takes to say that it has no quorum.
const ANSWER: Duration = Duration::from_secs(60);
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// One record is at most 32 KiB.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Where the node is, as flags say it. What they leave open the environment says.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// `--dir`.
    pub dir: Option<PathBuf>,
    /// `--addr`.
    pub addr: Option<String>,
    /// `--token-file`.
    pub token_file: Option<PathBuf>,
}

/// A node that can be asked.
pub struct Client {
    base: Url,
    token: Token,
    runtime: Runtime,
}

/// Why the node gave no answer, or not the one that was asked for.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Not an address of an admin listener.
    #[error("`{found}` is no node's address; give one like `http://127.0.0.1:7301`")]
    Address {
        /// As it was given.
        found: String,
    },
    /// What came back is no answer of ours.
    #[error("what answers at {url} is not a tollbook node of this version; check the address")]
    Answer {
        /// Where.
        url: Url,
    },
    /// The connection broke.
    #[error("the connection to {url} broke; look at the node's log, then try again")]
    Broken {
        /// Where.
        url: Url,
        /// Why.
        source: hyper::Error,
    },
    /// Nobody listens.
    #[error("no node answers at {url}; start it with `tollbook serve --dir D`")]
    Connect {
        /// Where.
        url: Url,
        /// Why.
        source: std::io::Error,
    },
    /// The directory that was named is not right.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// Neither directory nor address.
    #[error("which node? give `--dir D`, or `--addr URL --token-file F`")]
    NoNode,
    /// The node's port is any free one, and it does not run.
    #[error("the node in `{dir}` is not running; start it with `tollbook serve --dir {dir}`")]
    NotRunning {
        /// Its directory.
        dir: String,
    },
    /// An address but no token.
    #[error("which token? give `--token-file F` with a file that holds an admin token")]
    NoToken,
    /// The node says no.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// The system gives no runtime.
    #[error("cannot start")]
    Runtime(#[source] std::io::Error),
    /// Too long without an answer.
    #[error("{url} does not answer; look at the node's log; what was asked may still happen")]
    Timeout {
        /// Where.
        url: Url,
    },
}

impl Client {
    /// Finds the node and its token. A flag counts before the environment (`TOLLBOOK_ADDR`,
    /// `TOLLBOOK_DIR`, `TOLLBOOK_TOKEN_FILE`), an address before a directory.
    pub fn find(
        flags: &Place,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, ClientError> {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let environment = Place {
            dir: set("TOLLBOOK_DIR").map(PathBuf::from),
            addr: set("TOLLBOOK_ADDR").map(|addr| addr.to_string_lossy().into_owned()),
            token_file: set("TOLLBOOK_TOKEN_FILE").map(PathBuf::from),
        };
        let places = [flags, &environment];
        let base = places
            .iter()
            .find_map(|place| place.base())
            .ok_or(ClientError::NoNode)??;
        let file = places
            .iter()
            .find_map(|place| place.token())
            .ok_or(ClientError::NoToken)?;
        let token = read_token(&file, Class::Admin)?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ClientError::Runtime)?;
        Ok(Self {
            base,
            token,
            runtime,
        })
    }

    /// Asks for an object.
    pub fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ClientError> {
        self.ask(Method::GET, &self.url(path), Bytes::new())
    }

    /// Sends an object.
    pub fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let url = self.url(path);
        let body =
            serde_json::to_vec(body).map_err(|_| ClientError::Answer { url: url.clone() })?;
        self.ask(method, &url, body.into())
    }

    /// Sends a document as it is.
    pub fn put_text<T: DeserializeOwned>(
        &self,
        path: &[&str],
        text: String,
    ) -> Result<T, ClientError> {
        self.ask(Method::PUT, &self.url(path), text.into())
    }

    /// Removes an object; the answer is what it was.
    pub fn delete<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ClientError> {
        self.ask(Method::DELETE, &self.url(path), Bytes::new())
    }

    /// Gives each line of the answer to `line`, as it comes, until there are no more or `line`
    /// fails.
    pub fn lines<E: From<ClientError>>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        mut line: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut url = self.url(path);
        url.query_pairs_mut().extend_pairs(query);
        self.runtime.block_on(async {
            let head = self.answer(Method::GET, &url, Bytes::new());
            let head = tokio::time::timeout(ANSWER, head).await;
            let mut response = head.map_err(|_| ClientError::Timeout { url: url.clone() })??;
            let mut rest: Vec<u8> = Vec::new();
            while let Some(frame) = response.body_mut().frame().await {
                let frame = frame.map_err(|source| ClientError::Broken {
                    url: url.clone(),
                    source,
                })?;
                let Ok(data) = frame.into_data() else {
                    continue;
                };
                rest.extend_from_slice(&data);
                while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                    let whole: Vec<u8> = rest.drain(..=end).collect();
                    line(whole.strip_suffix(b"\n").unwrap_or(&whole))?;
                }
                if rest.len() > LINE_BYTES_MAX {
                    return Err(ClientError::Answer { url: url.clone() }.into());
                }
            }
            // A line without its end: the node broke off in the middle of it.
            if rest.is_empty() {
                Ok(())
            } else {
                Err(ClientError::Answer { url: url.clone() }.into())
            }
        })
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(["api", "v1"]).extend(path);
        }
        url
    }

    fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        url: &Url,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let whole = async {
            let response = self.answer(method, url, body).await?;
            read_whole(url, response).await
        };
        let late = || ClientError::Timeout { url: url.clone() };
        let answer = async {
            tokio::time::timeout(ANSWER, whole)
                .await
                .map_err(|_| late())?
        };
        let bytes = self.runtime.block_on(answer)?;
        serde_json::from_slice(&bytes).map_err(|_| ClientError::Answer { url: url.clone() })
    }

    /// The answer's head, if it is no problem.
    async fn answer(
        &self,
        method: Method,
        url: &Url,
        body: Bytes,
    ) -> Result<Response<Incoming>, ClientError> {
        let broken = |source| ClientError::Broken {
            url: url.clone(),
            source,
        };
        let stream = connect(url).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        // The connection goes on beside whoever reads the body. How it ends, its reader is told.
        self.runtime
            .spawn(async move { connection.await.unwrap_or_default() });
        let request = self.request(method, url, body)?;
        let response = sender.send_request(request).await.map_err(broken)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let bytes = read_whole(url, response).await?;
        Err(problem(url, status, &bytes))
    }

    fn request(
        &self,
        method: Method,
        url: &Url,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let address = || ClientError::Address {
            found: url.to_string(),
        };
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", self.token.expose()))
            .map_err(|_| address())?;
        bearer.set_sensitive(true);
        let target = url[url::Position::BeforePath..].to_owned();
        let host = url[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
        Request::builder()
            .method(method)
            .uri(target)
            .header(HOST, host)
            .header(AUTHORIZATION, bearer)
            .header(ACCEPT, "application/json, application/x-ndjson")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|_| address())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base", &self.base.as_str())
            .finish_non_exhaustive()
    }
}

impl Place {
    fn base(&self) -> Option<Result<Url, ClientError>> {
        match (&self.addr, &self.dir) {
            (Some(addr), _) => Some(base(addr)),
            (None, Some(dir)) => Some(base_of(&Dir::at(dir))),
            (None, None) => None,
        }
    }

    fn token(&self) -> Option<PathBuf> {
        let of_dir = || self.dir.as_ref().map(|dir| Dir::at(dir).admin_token_file());
        self.token_file.clone().or_else(of_dir)
    }
}

impl ClientError {
    /// The stable code.
    pub fn code(&self) -> &str {
        match self {
            Self::Address { .. } => "TB-CLIENT-ADDRESS",
            Self::Answer { .. } => "TB-CLIENT-ANSWER",
            Self::Broken { .. } => "TB-CLIENT-BROKEN",
            Self::Connect { .. } => "TB-CLIENT-CONNECT",
            Self::Dir(error) => error.code(),
            Self::NoNode => "TB-CLIENT-NO-NODE",
            Self::NotRunning { .. } => "TB-CLIENT-NOT-RUNNING",
            Self::NoToken => "TB-CLIENT-NO-TOKEN",
            Self::Problem(problem) => &problem.code,
            Self::Runtime(_) => "TB-CLIENT-RUNTIME",
            Self::Timeout { .. } => "TB-CLIENT-TIMEOUT",
        }
    }
}

fn base(addr: &str) -> Result<Url, ClientError> {
    let wrong = || ClientError::Address {
        found: addr.to_owned(),
    };
    let url = Url::parse(addr).map_err(|_| wrong())?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    // The admin listener speaks no TLS; `https` would be a promise that nobody keeps.
    let good = url.scheme() == "http" && bare && url.username().is_empty();
    if good && url.password().is_none() {
        Ok(url)
    } else {
        Err(wrong())
    }
}

/// Where the node in a directory serves, else where its configuration says that it would.
fn base_of(dir: &Dir) -> Result<Url, ClientError> {
    let not_running = || ClientError::NotRunning {
        dir: dir.root().display().to_string(),
    };
    if let Some(run) = dir.run()? {
        // After a crash another program may have that port by now, which must not get the token.
        return if run.is_alive() {
            base(&run.admin)
        } else {
            Err(not_running())
        };
    }
    let admin = dir.config()?.listen.admin;
    if admin.port() == 0 {
        return Err(not_running());
    }
    base(&format!("http://{admin}"))
}

async fn connect(url: &Url) -> Result<TcpStream, ClientError> {
    let wrong = || ClientError::Address {
        found: url.to_string(),
    };
    let host = url.host_str().ok_or_else(wrong)?;
    // A listener on all addresses is reached on this machine.
    let host = match host.trim_start_matches('[').trim_end_matches(']') {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    let port = url.port_or_known_default().ok_or_else(wrong)?;
    match tokio::time::timeout(CONNECT, TcpStream::connect((host, port))).await {
        Ok(connected) => connected.map_err(|source| ClientError::Connect {
            url: url.clone(),
            source,
        }),
        Err(_) => Err(ClientError::Timeout { url: url.clone() }),
    }
}

async fn read_whole(url: &Url, response: Response<Incoming>) -> Result<Bytes, ClientError> {
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await;
    body.map(http_body_util::Collected::to_bytes)
        .map_err(|_| ClientError::Answer { url: url.clone() })
}

fn problem(url: &Url, status: StatusCode, bytes: &[u8]) -> ClientError {
    match serde_json::from_slice::<Problem>(bytes) {
        Ok(problem) if problem.status == status.as_u16() => ClientError::Problem(Box::new(problem)),
        Ok(_) | Err(_) => ClientError::Answer { url: url.clone() },
    }
}
