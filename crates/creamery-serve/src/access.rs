//! Who may ask, and for what: the checks before every answer, and the headers after it.

use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use crate::pages::refusal;
use crate::state::App;

/// The name of the cookie that holds the token.
const COOKIE: &str = "creamery-token";

/// What pages may load and do: their own files, and nothing from anywhere else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The secret that requests must show.
#[derive(Clone)]
pub struct Token(String);

/// Why a text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is 16 to 256 letters, digits, `-`, `_`, `.` or `~`")]
pub struct TokenError;

impl Token {
    /// A token of the user's own.
    ///
    /// # Errors
    /// If it is too short to be a secret, too long, or has characters that an address cannot hold as they are.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.~".contains(&c);
        match (16..=256).contains(&text.len()) && text.bytes().all(plain) {
            true => Ok(Self(text.to_owned())),
            false => Err(TokenError),
        }
    }

    /// A token that nobody can guess: 128 bits of the system's randomness.
    ///
    /// # Errors
    /// If the system has none.
    pub fn random() -> std::io::Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
        Ok(Self(
            bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        ))
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Compares in a time that tells nothing of where texts differ.
    fn is(&self, shown: &str) -> bool {
        self.0.as_bytes().ct_eq(shown.as_bytes()).into()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Refuses what may not be asked, and sets the headers that hold browsers to the same.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut response = match check(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(refused) => *refused,
    };
    let headers = response.headers_mut();
    let always = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in always {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    headers.insert(
        "cross-origin-resource-policy",
        HeaderValue::from_static("same-origin"),
    );
    let policy = headers.entry(header::CONTENT_SECURITY_POLICY);
    policy.or_insert(HeaderValue::from_static(POLICY));
    response
}

fn check(app: &App, request: &Request) -> Result<(), Box<Response>> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut response = refusal(
            StatusCode::METHOD_NOT_ALLOWED,
            "Nothing can be changed here: ask with GET.",
        );
        response
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Err(response.into());
    }
    if !request.body().is_end_stream() {
        return Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, "Requests have no body here.").into());
    }
    if app.loopback && !is_local(request.headers()) {
        // A page from elsewhere whose name was made to mean this machine.
        return Err(refusal(
            StatusCode::FORBIDDEN,
            "Ask by the name localhost or the address 127.0.0.1: others are refused, so that pages of other hosts cannot read this one.",
        )
        .into());
    }
    match &app.token {
        Some(token) => authorise(token, request),
        None => Ok(()),
    }
}

fn is_local(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let Ok(host) = host.to_str() else {
        return false;
    };
    let without_port = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let address = without_port.trim_start_matches('[').trim_end_matches(']');
    without_port.eq_ignore_ascii_case("localhost")
        || address
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// Lets those in who show the token: in a header, in a cookie, or once in the address, which sets the cookie.
fn authorise(token: &Token, request: &Request) -> Result<(), Box<Response>> {
    let headers = request.headers();
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| value.strip_prefix("Bearer "));
    if bearer.is_some_and(|shown| token.is(shown.trim())) {
        return Ok(());
    }
    let cookies = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut cookies = cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    if cookies.any(|(name, value)| name == COOKIE && token.is(value)) {
        return Ok(());
    }
    let query = request.uri().query().unwrap_or_default();
    let shown = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("token="));
    if shown.is_some_and(|shown| token.is(shown)) {
        return Err(welcome(token, request.uri()).into());
    }
    let mut response = refusal(
        StatusCode::UNAUTHORIZED,
        "A token is needed: open the address that creamery serve printed, with ?token=.. at its end, or send the header Authorization: Bearer TOKEN.",
    );
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    Err(response.into())
}

/// Sets the cookie and leads to the same page without the token, so that it does not stay in the address.
fn welcome(token: &Token, uri: &Uri) -> Response {
    let rest = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.starts_with("token="));
    let rest = rest.collect::<Vec<_>>().join("&");
    // Of one slash only: two would lead to another host.
    let path = format!("/{}", uri.path().trim_start_matches('/'));
    let place = if rest.is_empty() {
        path
    } else {
        format!("{path}?{rest}")
    };
    let cookie = format!("{COOKIE}={}; HttpOnly; SameSite=Lax; Path=/", token.text());
    let headers = [(header::LOCATION, place), (header::SET_COOKIE, cookie)];
    (StatusCode::SEE_OTHER, headers, Body::empty()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_secrets_that_addresses_can_hold() {
        assert!(Token::new("short").is_err());
        assert!(Token::new("has spaces in it, which is bad").is_err());
        assert!(Token::new(&"x".repeat(257)).is_err());
        let token = Token::new("0123456789abcdef-_.~").unwrap();
        assert!(
            token.is("0123456789abcdef-_.~") && !token.is("0123456789abcdef-_.") && !token.is("")
        );
        assert!(!format!("{token:?}").contains("0123"));
        let random = Token::random().unwrap();
        assert!(
            Token::new(random.text()).is_ok() && random.text() != Token::random().unwrap().text()
        );
    }

    #[test]
    fn only_this_machine_s_own_names_are_local() {
        let local = |hosts: &[&str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, HeaderValue::from_str(host).unwrap());
            }
            is_local(&headers)
        };
        for host in [
            "localhost",
            "LOCALHOST:8000",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:80",
            "[::1]",
        ] {
            assert!(local(&[host]), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "",
            "evil:80",
        ] {
            assert!(!local(&[host]), "{host}");
        }
        assert!(!local(&[]) && !local(&["localhost", "evil.example"]));
    }
}
