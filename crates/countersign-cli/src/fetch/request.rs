//! From options to requests: the target, the method, the header fields, the body.

use std::fs;
use std::io::{self, Read};

use bytes::Bytes;
use countersign::client::Origin;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, PROXY_AUTHORIZATION, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

use super::Args;
use crate::client::{Body, Protocol};
use crate::failure::{Exit, Failure};

/// A URL that can be fetched.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) url: String,
    pub(super) uri: Uri,
    pub(super) origin: Origin,
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, Failure> {
        let malformed =
            |reason: &str| Failure::new(Exit::Url, format!("\"{url}\" is no URL: {reason}"));
        // A fragment stays with the client.
        let address = url.split('#').next().unwrap_or_default();
        let uri: Uri = address
            .parse()
            .map_err(|error: http::uri::InvalidUri| malformed(&error.to_string()))?;
        match uri.scheme_str() {
            Some("https") => {}
            Some(other) => {
                return Err(Failure::new(
                    Exit::Failed,
                    format!("\"{url}\": {other} is not supported, only https is"),
                ));
            }
            None => return Err(malformed("write it like https://host/path")),
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(malformed("a user name has no place in it"));
        }
        let origin = Origin::of(&uri).map_err(|error| malformed(&error.to_string()))?;
        origin.server_name().map_err(|_| malformed("its host can be no server's name"))?;
        Ok(Self { url: url.to_owned(), uri, origin })
    }

    /// What stands behind the last slash of the path, for `--remote-name`.
    pub(super) fn file_name(&self) -> Option<&str> {
        self.uri.path().rsplit('/').next().filter(|name| !matches!(*name, "" | "." | ".."))
    }

    fn path_and_query(&self) -> &str {
        self.uri.path_and_query().map_or("/", |path| path.as_str())
    }
}

/// What all requests of a command have in common.
#[derive(Debug)]
pub(super) struct Plan {
    method: Method,
    fields: HeaderMap,
    body: Bytes,
}

impl Plan {
    pub(super) fn new(args: &Args) -> Result<Self, Failure> {
        let body = match (args.data.is_empty(), args.data_binary.is_empty()) {
            (true, true) => None,
            (false, _) => Some(join(&args.data, true)?),
            (true, false) => Some(join(&args.data_binary, false)?),
        };
        let method = args.request.clone().unwrap_or(match &body {
            _ if args.head => Method::HEAD,
            Some(_) => Method::POST,
            None => Method::GET,
        });
        let mut fields = HeaderMap::new();
        let agent = concat!("countersign/", env!("CARGO_PKG_VERSION"));
        fields.insert(USER_AGENT, HeaderValue::from_static(agent));
        fields.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if body.is_some() {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            fields.insert(CONTENT_TYPE, form);
        }
        let mut own = HeaderMap::new();
        for line in &args.header {
            let (name, value) = parse_field(line)?;
            fields.remove(&name);
            if let Some(value) = value {
                own.append(name, value);
            }
        }
        fields.extend(own);
        Ok(Self { method, fields, body: body.unwrap_or_default() })
    }

    /// The request for `target`: with a Host field for HTTP/1.1, with an authority for later versions.
    pub(super) fn request(
        &self,
        target: &Target,
        protocol: Protocol,
    ) -> Result<Request<Body>, Failure> {
        let mut fields = self.fields.clone();
        let host = fields.remove(HOST);
        let authority = target.uri.authority().map_or("", |authority| authority.as_str());
        let authority = match &host {
            Some(host) => host.to_str().unwrap_or(authority),
            None => authority,
        };
        let path = target.path_and_query();
        let uri = match protocol {
            Protocol::Http1 => path.to_owned(),
            Protocol::Http2 | Protocol::Http3 => format!("https://{authority}{path}"),
        };
        let impossible = |error: http::Error| {
            Failure::new(
                Exit::Url,
                format!("{}: no request can be made of it: {error}", target.url),
            )
        };
        let mut request = Request::builder().method(self.method.clone()).uri(uri);
        if protocol == Protocol::Http1 {
            request = request.header(HOST, authority);
        }
        let mut request = request.body(Body::new(self.body.clone())).map_err(impossible)?;
        request.headers_mut().extend(fields);
        Ok(request)
    }
}

/// A field's value for people: none that lets its bearer in.
pub(super) fn shown<'a>(name: &HeaderName, value: &'a HeaderValue) -> std::borrow::Cow<'a, str> {
    if value.is_sensitive() || [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE].contains(name) {
        "(hidden)".into()
    } else {
        String::from_utf8_lossy(value.as_bytes())
    }
}

/// `Name: value`; `Name:` has no value, `Name;` an empty one.
fn parse_field(line: &str) -> Result<(HeaderName, Option<HeaderValue>), Failure> {
    // The name alone is repeated: the value may be a secret.
    let wrong =
        |name: &str, what: &str| Failure::new(Exit::Usage, format!("--header {name:?}: {what}"));
    let (name, value) = match line.split_once(':') {
        Some((name, value)) => (name, Some(value.trim()).filter(|value| !value.is_empty())),
        None => match line.trim_end().strip_suffix(';') {
            Some(name) => (name, Some("")),
            None => return Err(wrong("", "write it like \"Name: value\"")),
        },
    };
    let parsed = name.trim().parse().map_err(|_| wrong(name, "this is no field name"))?;
    let value = value
        .map(|value| value.parse().map_err(|_| wrong(name, "its value has forbidden characters")))
        .transpose()?;
    Ok((parsed, value))
}

/// All parts of a body with `&` between them, as curl joins them.
fn join(parts: &[String], strip: bool) -> Result<Bytes, Failure> {
    let mut body = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            body.push(b'&');
        }
        match part.strip_prefix('@') {
            None => body.extend_from_slice(part.as_bytes()),
            Some(file) => {
                let bytes = read(file)
                    .map_err(|error| Failure::new(Exit::Read, format!("{file}: {error}")))?;
                body.extend(
                    bytes.into_iter().filter(|byte| !strip || !matches!(byte, b'\r' | b'\n' | 0)),
                );
            }
        }
    }
    Ok(body.into())
}

fn read(file: &str) -> io::Result<Vec<u8>> {
    if file != "-" {
        return fs::read(file);
    }
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Wrapper {
        #[command(flatten)]
        args: Args,
    }

    fn plan(options: &[&str]) -> Result<Plan, Failure> {
        let line = ["fetch", "https://a.test/"].iter().chain(options);
        Plan::new(&Wrapper::try_parse_from(line).unwrap().args)
    }

    #[test]
    fn urls() {
        let target = Target::parse("https://Example.test:8443/a/b.txt?q#top").unwrap();
        assert_eq!(target.origin, Origin::new("example.test", 8443));
        assert_eq!(target.file_name(), Some("b.txt"));
        assert_eq!(target.path_and_query(), "/a/b.txt?q");
        assert_eq!(Target::parse("https://a.test").unwrap().path_and_query(), "/");
        assert_eq!(Target::parse("https://a.test/x/").unwrap().file_name(), None);
        let exit = |url| Target::parse(url).unwrap_err().exit;
        assert_eq!(exit("http://a.test/"), Exit::Failed);
        assert_eq!(exit("a.test"), Exit::Url);
        assert_eq!(exit("https://"), Exit::Url);
        assert_eq!(exit("https://user@a.test/"), Exit::Url);
        assert_eq!(exit("https://a b/"), Exit::Url);
    }

    #[test]
    fn methods_follow_the_body() {
        let method = |options: &[&str]| plan(options).unwrap().method;
        assert_eq!(method(&[]), Method::GET);
        assert_eq!(method(&["-I"]), Method::HEAD);
        assert_eq!(method(&["-d", "x"]), Method::POST);
        assert_eq!(method(&["-d", "x", "-X", "PUT"]), Method::PUT);
    }

    #[test]
    fn fields_replace_are_left_out_or_stay_empty() {
        let plan = plan(&[
            "-H",
            "Accept: text/plain",
            "-H",
            "X: 1",
            "-H",
            "x: 2",
            "-H",
            "User-Agent:",
            "-H",
            "Y;",
        ])
        .unwrap();
        assert_eq!(plan.fields["accept"], "text/plain");
        assert_eq!(plan.fields.get_all("x").iter().count(), 2);
        assert!(!plan.fields.contains_key("user-agent"));
        assert_eq!(plan.fields["y"], "");
    }

    #[test]
    fn a_wrong_field_is_named_without_its_value() {
        let error = plan(&["-H", "na me: secret"]).unwrap_err();
        assert!(error.to_string().contains("na me") && !error.to_string().contains("secret"));
    }

    #[test]
    fn the_host_goes_where_the_version_has_it() {
        let target = Target::parse("https://a.test:8443/x?y").unwrap();
        let plain = plan(&[]).unwrap();
        let request = plain.request(&target, Protocol::Http2).unwrap();
        assert_eq!(request.uri(), "https://a.test:8443/x?y");
        assert!(!request.headers().contains_key("host"));
        let request = plain.request(&target, Protocol::Http1).unwrap();
        assert_eq!(request.uri(), "/x?y");
        assert_eq!(request.headers()["host"], "a.test:8443");

        let other = plan(&["-H", "Host: b.test"]).unwrap();
        assert_eq!(other.request(&target, Protocol::Http2).unwrap().uri(), "https://b.test/x?y");
        assert_eq!(other.request(&target, Protocol::Http1).unwrap().headers()["host"], "b.test");
    }

    #[test]
    fn bodies_are_joined_and_files_stripped() {
        let file = std::env::temp_dir().join(format!("countersign-body-{}", std::process::id()));
        fs::write(&file, "a\r\nb\n").unwrap();
        let at = format!("@{}", file.display());
        assert_eq!(join(&["x=1".into(), at.clone()], true).unwrap(), "x=1&ab");
        assert_eq!(join(std::slice::from_ref(&at), false).unwrap(), "a\r\nb\n");
        fs::remove_file(&file).unwrap();
        assert_eq!(join(&[at], true).unwrap_err().exit, Exit::Read);
    }

    #[test]
    fn what_lets_its_bearer_in_is_not_shown() {
        let value = HeaderValue::from_static("Bearer x");
        assert_eq!(shown(&AUTHORIZATION, &value), "(hidden)");
        assert_eq!(shown(&ACCEPT, &value), "Bearer x");
    }
}
