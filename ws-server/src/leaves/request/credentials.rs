//! The credentials of a request: cookies and `Authorization`.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use constant_time_eq::constant_time_eq;
use cookie::Cookie;

use crate::Request;

impl Request {
    /// The value of a cookie, the first of its name, as it was sent: escapes are not decoded.
    ///
    /// A cookie alone does not say that its user wants this connection: a browser sends it with the
    /// requests of every page. [`Server::origin`](crate::Server::origin) keeps other sites' pages out by
    /// default; `SameSite` on the cookie does, too.
    // RFC 6265 §5.4
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies().find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// All cookies, in the order in which they were sent. What is no cookie is left out.
    pub fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.header_all("cookie")
            .filter_map(|line| str::from_utf8(line).ok())
            .flat_map(Cookie::split_parse)
            .filter_map(|cookie| {
                let cookie = cookie.ok()?;
                Some((cookie.name_raw()?, cookie.value_raw()?))
            })
    }

    /// The token of `Authorization: Bearer`
    /// ([RFC 6750](https://www.rfc-editor.org/rfc/rfc6750#section-2.1)). `None` if there is none, or
    /// more than one `Authorization`. A browser's `WebSocket` cannot send it: take a cookie there, or
    /// the first message.
    pub fn bearer(&self) -> Option<Bearer<'_>> {
        let token = self.authorization("bearer")?;
        (!token.is_empty()).then_some(Bearer(token))
    }

    /// User and password of `Authorization: Basic`
    /// ([RFC 7617](https://www.rfc-editor.org/rfc/rfc7617#section-2)), which must be UTF-8. `None` if
    /// there are none, or more than one `Authorization`.
    pub fn basic(&self) -> Option<Basic> {
        Basic::of(self.authorization("basic")?)
    }

    /// What follows the scheme, whose case does not matter.
    fn authorization(&self, scheme: &str) -> Option<&str> {
        let mut lines = self.header_all("authorization");
        let line = str::from_utf8(lines.next()?).ok()?;
        if lines.next().is_some() {
            return None;
        }
        credentials(line, scheme)
    }
}

/// What follows the scheme.
fn credentials<'v>(authorization: &'v str, scheme: &str) -> Option<&'v str> {
    let (own, rest) = authorization.split_once(' ')?;
    own.eq_ignore_ascii_case(scheme).then(|| rest.trim_start_matches(' '))
}

/// A bearer token that a client sent. `Debug` hides it.
#[derive(Clone, Copy)]
pub struct Bearer<'r>(&'r str);

impl<'r> Bearer<'r> {
    /// The token, to be looked up or verified. To compare it with one that is known, take
    /// [`is`](Self::is).
    pub fn token(self) -> &'r str {
        self.0
    }

    /// Whether it is this token. How long that takes tells nothing but the length of the token.
    // RT-47
    pub fn is(self, token: &str) -> bool {
        constant_time_eq(self.0.as_bytes(), token.as_bytes())
    }
}

impl fmt::Debug for Bearer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer").finish_non_exhaustive()
    }
}

/// A user and a password that a client sent. `Debug` hides the password.
#[derive(Clone)]
pub struct Basic {
    user: Box<str>,
    password: Box<str>,
}

impl Basic {
    /// From the value of an `Authorization` header, for a [fallback](crate::Server::fallback), which
    /// is shown an [`http::Request`]. `None` as for [`Request::basic`].
    pub fn parse(authorization: &str) -> Option<Self> {
        Self::of(credentials(authorization, "basic")?)
    }

    fn of(credentials: &str) -> Option<Self> {
        let text = BASE64_STANDARD.decode(credentials).ok()?;
        let (user, password) = str::from_utf8(&text).ok()?.split_once(':')?;
        Some(Self { user: user.into(), password: password.into() })
    }

    /// Who the client says it is.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password, to be verified against its hash. To compare it with one that is known, take
    /// [`is`](Self::is).
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Whether it is this user with this password. How long that takes tells nothing but the lengths of
    /// both.
    // RT-47
    pub fn is(&self, user: &str, password: &str) -> bool {
        let user = constant_time_eq(self.user.as_bytes(), user.as_bytes());
        let password = constant_time_eq(self.password.as_bytes(), password.as_bytes());
        user & password
    }
}

impl fmt::Debug for Basic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Basic").field("user", &self.user).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::Uri;

    use crate::{Basic, Peer, Request};

    fn request(headers: &[(&str, &str)]) -> Request {
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        Request::new(&Uri::from_static("/"), headers, &Peer::Other.into(), &[], None, None)
    }

    #[test]
    fn cookies_are_found_in_every_line() {
        let request = request(&[
            ("cookie", "a=1; session=%41=b; a=2; broken; =x"),
            ("x-cookie", "session=other"),
            ("cookie", "late=\"quoted\""),
        ]);
        assert_eq!(request.cookie("a"), Some("1"));
        assert_eq!(request.cookie("session"), Some("%41=b"));
        assert_eq!(request.cookie("late"), Some("\"quoted\""));
        assert_eq!((request.cookie("broken"), request.cookie("A")), (None, None));
        let names: Vec<_> = request.cookies().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "session", "a", "late"]);
    }

    // RT-47
    #[test]
    fn rt_47_credentials_are_read_and_compared_whole() {
        let bearer = request(&[("authorization", "bEARER  abc.def")]);
        let token = bearer.bearer().unwrap();
        assert_eq!(token.token(), "abc.def");
        assert!(token.is("abc.def") && !token.is("abc.deg") && !token.is("abc") && !token.is(""));
        assert!(bearer.basic().is_none() && !format!("{token:?}").contains("abc"));

        // RFC 7617 §2
        let basic = request(&[("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")]);
        let known = basic.basic().unwrap();
        assert_eq!((known.user(), known.password()), ("Aladdin", "open sesame"));
        assert!(known.is("Aladdin", "open sesame"));
        assert!(!known.is("Aladdin", "open") && !known.is("aladdin", "open sesame"));
        assert!(basic.bearer().is_none() && !format!("{known:?}").contains("sesame"));
        let parsed = Basic::parse("basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").unwrap();
        assert!(parsed.is("Aladdin", "open sesame"));
        assert!(Basic::parse("Bearer abc").is_none() && Basic::parse("").is_none());

        for wrong in ["", "Bearer", "Bearer ", "Basic", "Basic !", "Basic QWxhZGRpbg=="] {
            let request = request(&[("authorization", wrong)]);
            assert!(request.bearer().is_none() && request.basic().is_none(), "{wrong}");
        }
        // Which of two would count is anybody's guess.
        let both = request(&[("authorization", "Bearer a"), ("authorization", "Bearer b")]);
        assert!(both.bearer().is_none());
    }
}
