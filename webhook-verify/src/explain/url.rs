//! URLs that a proxy changed.

use super::{Finding, case::Case, cause::Cause, form, permute, remove_repeated};
use crate::verify::without_user;

/// The headers in which proxies put the target that they received.
const ORIGINAL_URIS: [&str; 8] = [
    "x-forwarded-uri",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
    "x-envoy-original-path",
    "x-forwarded-path",
    "x-replaced-path",
    "x-waws-unencoded-url",
];
/// The maximum length of a target and the headers that describe the URL, in bytes.
const MAX_URL: usize = 4096;
/// The maximum number of a path's segments that a proxy may have stripped.
const MAX_SEGMENTS: usize = 8;
/// The maximum number of URLs with several differences.
const MAX_COMBINED: usize = 1000;

/// A URL in the parts that proxies change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Url {
    scheme: String,
    host: String,
    /// With its colon, or empty.
    port: String,
    path: String,
    /// With its question mark, or empty.
    query: String,
}

impl Url {
    fn parse(url: &str, target: &str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = split_port(authority);
        let (own, query) = target.split_at(target.find('?').unwrap_or(target.len()));
        Self {
            scheme: scheme.into(),
            host: host.into(),
            port: port.into(),
            path: if path.is_empty() { own } else { path }.into(),
            query: query.into(),
        }
    }

    /// Returns the URL without its query.
    fn base(&self) -> String {
        format!("{}://{}{}{}", self.scheme, self.host, self.port, self.path)
    }

    /// Returns the first part that differs.
    fn difference(&self, other: &Self) -> Cause {
        if self.scheme != other.scheme {
            Cause::UrlScheme
        } else if self.host != other.host {
            Cause::UrlHost
        } else if self.port != other.port {
            Cause::UrlPort
        } else if self.path != other.path {
            Cause::UrlPath
        } else {
            Cause::UrlQuery
        }
    }
}

/// Finds another URL under which the request is valid.
pub(super) fn find(case: &Case<'_>) -> Option<Finding> {
    let verifier = case.verifier.as_ref()?;
    if !verifier.signs_url() {
        return None;
    }
    let target = case.head.path_and_query();
    let words = ["host", "forwarded", "original", "rewrite", "envoy", "replaced", "script", "waws"];
    let mut len = target.len();
    case.head.visit(&mut |name, value| {
        let name = name.to_ascii_lowercase();
        if words.iter().any(|word| name.contains(word)) {
            len += value.len();
        }
    });
    if len > MAX_URL {
        return None;
    }
    // A scheme that signs only the path needs no public URL.
    let host = || case.header("host").unwrap_or_default();
    let configured = case.settings.public_url.clone();
    let configured = configured.unwrap_or_else(|| format!("https://{}", host()));
    let known = Url::parse(&configured, target);
    let found = candidates(case, &known).into_iter().find(|url| {
        let target = format!("{}{}", path_of_target(case, &known, url), url.query);
        case.holds_with_url(&url.base(), &target)
    })?;
    Some(finding(&known, &found))
}

/// Returns the path of the target for a scheme that signs the path as it arrived.
fn path_of_target(case: &Case<'_>, known: &Url, url: &Url) -> String {
    if url.path == known.path { case.head.path().to_owned() } else { url.path.clone() }
}

fn finding(known: &Url, found: &Url) -> Finding {
    let cause = known.difference(found);
    let shown = without_user(&found.base());
    let fix = match cause {
        Cause::UrlQuery => "verify with the query exactly as the sender sent it".to_owned(),
        _ if found.host.is_empty() => format!("set a public URL with the path `{}`", found.path),
        _ => format!("set `{shown}` as the public URL"),
    };
    Finding::new(cause, fix, "the request is valid with this URL")
}

/// Returns the URLs that the sender may have signed. Those with one difference come first.
fn candidates(case: &Case<'_>, known: &Url) -> Vec<Url> {
    let schemes = schemes(&known.scheme);
    let hosts = hosts(case, &known.host);
    let ports = ports(case, known);
    let paths = paths(case, &known.path);
    let queries = queries(case, &known.query);
    let with = |change: &dyn Fn(&mut Url)| {
        let mut url = known.clone();
        change(&mut url);
        url
    };
    let mut all: Vec<Url> = Vec::new();
    all.extend(schemes.iter().map(|it| with(&|url| url.scheme.clone_from(it))));
    all.extend(hosts.iter().map(|(host, _)| with(&|url| url.host.clone_from(host))));
    all.extend(ports.iter().map(|port| with(&|url| url.port.clone_from(port))));
    all.extend(paths.iter().map(|path| with(&|url| url.path.clone_from(path))));
    all.extend(queries.iter().map(|query| with(&|url| url.query.clone_from(query))));
    // Then those with several differences.
    let single = all.len();
    'all: for (host, port) in &hosts {
        for scheme in &schemes {
            for port in
                [port, &known.port, &String::new()].into_iter().chain(&ports[..ports.len().min(4)])
            {
                for path in [&known.path].into_iter().chain(&paths) {
                    for query in [&known.query].into_iter().chain(queries.iter().take(1)) {
                        if all.len() - single >= MAX_COMBINED {
                            break 'all;
                        }
                        all.push(Url {
                            scheme: scheme.clone(),
                            host: host.clone(),
                            port: port.clone(),
                            path: path.clone(),
                            query: query.clone(),
                        });
                    }
                }
            }
        }
    }
    all.retain(|url| url != known);
    remove_repeated(&mut all);
    all
}

fn schemes(known: &str) -> Vec<String> {
    let pair = if known.starts_with("ws") { ["wss", "ws"] } else { ["https", "http"] };
    pair.map(str::to_owned).to_vec()
}

/// Returns the hosts that the request names, each with the port next to it.
fn hosts(case: &Case<'_>, known: &str) -> Vec<(String, String)> {
    let mut hosts = vec![(known.to_owned(), String::new())];
    let names = [
        "x-forwarded-host",
        "x-original-host",
        "x-envoy-original-host",
        "x-host",
        "x-forwarded-server",
        "host",
    ];
    let first = |value: &str| value.split(',').next().unwrap_or_default().trim().to_owned();
    let forwarded = case.header("forwarded").and_then(|value| {
        let mut pairs = value.split([';', ',']).filter_map(|pair| pair.trim().split_once('='));
        let host = pairs.find(|(name, _)| name.eq_ignore_ascii_case("host"))?.1;
        Some(host.trim_matches('"').to_owned())
    });
    let named = names.iter().filter_map(|name| case.header(name).map(first));
    for authority in named.chain(forwarded) {
        let (host, port) = split_port(&authority);
        hosts.push((host.to_owned(), port.to_owned()));
        hosts.push((host.to_ascii_lowercase(), String::new()));
    }
    hosts.push((known.to_ascii_lowercase(), String::new()));
    let www: Vec<_> = hosts
        .iter()
        .map(|(host, port)| match host.strip_prefix("www.") {
            Some(bare) => (bare.to_owned(), port.clone()),
            None => (format!("www.{host}"), port.clone()),
        })
        .collect();
    hosts.extend(www);
    hosts.retain(|(host, _)| !host.is_empty());
    remove_repeated(&mut hosts);
    hosts
}

fn ports(case: &Case<'_>, known: &Url) -> Vec<String> {
    let mut ports = vec![String::new()];
    let named = ["x-forwarded-port", "x-original-port"].iter().filter_map(|name| case.header(name));
    ports.extend(named.map(|port| format!(":{port}")));
    ports.extend(case.header("host").map(|host| split_port(host).1.to_owned()));
    let usual = [443, 80, 8443, 8080, 3000, 4000, 5000, 8000, 8888, 9000, 4443, 4433, 9443];
    ports.extend(usual.map(|port| format!(":{port}")));
    ports.retain(|port| *port != known.port);
    ports
}

fn paths(case: &Case<'_>, known: &str) -> Vec<String> {
    let own = case.head.path();
    let mut paths = vec![own.to_owned()];
    let path_of = |uri: &str| {
        let rest = uri
            .split_once("://")
            .map_or(uri, |(_, rest)| &rest[rest.find('/').unwrap_or(rest.len())..]);
        rest.split(['?', '#']).next().unwrap_or_default().to_owned()
    };
    for name in ORIGINAL_URIS {
        paths.extend(case.header(name).map(path_of));
    }
    for name in ["x-forwarded-prefix", "x-script-name", "x-original-prefix"] {
        if let Some(prefix) = case.header(name) {
            let prefix = prefix.trim_end_matches('/');
            paths.extend([format!("{prefix}{own}"), format!("{prefix}{known}")]);
        }
    }
    // A prefix that one of the two paths lacks, and slashes.
    let bases = [known.to_owned(), own.to_owned()];
    for base in &bases {
        let toggled = base.strip_suffix('/').map_or_else(|| format!("{base}/"), str::to_owned);
        paths.push(toggled);
        let mut rest = base.trim_start_matches('/');
        for _ in 0..MAX_SEGMENTS {
            let Some((_, after)) = rest.split_once('/') else { break };
            paths.extend([format!("/{after}"), format!("/{}", after.trim_end_matches('/'))]);
            rest = after;
        }
        // The name of a script that some servers add.
        paths.push(format!("{}/index.php", base.trim_end_matches('/')));
        paths.extend(base.strip_suffix("index.php").map(str::to_owned));
        paths.push(base.replace("//", "/"));
        paths.push(format!("/{}", base.trim_start_matches('/')));
        paths.push(base.to_ascii_lowercase());
        let decoded = percent_encoding::percent_decode_str(base).decode_utf8_lossy().into_owned();
        paths.push(decoded);
        for prefix in [
            "/api",
            "/v1",
            "/api/v1",
            "/webhooks",
            "/webhook",
            "/hooks",
            "/prod",
            "/dev",
            "/stage",
            "/staging",
            "/default",
            "/app",
            "/public",
        ] {
            paths.push(format!("{prefix}{base}"));
        }
    }
    paths.extend([String::new(), "/".to_owned()]);
    paths.retain(|path| path != known);
    remove_repeated(&mut paths);
    paths
}

/// Returns queries that the sender may have sent.
fn queries(case: &Case<'_>, known: &str) -> Vec<String> {
    let pairs: Vec<&str> =
        known.trim_start_matches('?').split('&').filter(|it| !it.is_empty()).collect();
    let join = |pairs: &[&str]| match pairs {
        [] => String::new(),
        pairs => format!("?{}", pairs.join("&")),
    };
    let mut queries = Vec::new();
    queries.extend(case.query.map(str::to_owned));
    for name in ORIGINAL_URIS {
        let query = case.header(name).and_then(|uri| Some(format!("?{}", uri.split_once('?')?.1)));
        queries.extend(query);
    }
    queries.push(String::new());
    // Parameters without a value, with and without `=`.
    let bare: Vec<_> = pairs.iter().map(|pair| pair.strip_suffix('=').unwrap_or(pair)).collect();
    queries.push(join(&bare));
    let mut sorted = pairs.clone();
    sorted.sort_unstable();
    queries.push(join(&sorted));
    sorted.reverse();
    queries.push(join(&sorted));
    let mut reversed = pairs.clone();
    reversed.reverse();
    queries.push(join(&reversed));
    // One parameter that was added on the way.
    for at in 0..pairs.len().min(16) {
        let mut fewer = pairs.clone();
        fewer.remove(at);
        queries.push(join(&fewer));
    }
    queries.extend((1..pairs.len().min(16)).map(|len| join(&pairs[..len])));
    // Other orders of a few parameters.
    if (3..=5).contains(&pairs.len()) {
        let mut order = pairs.clone();
        permute(&mut order, 0, &mut |order| queries.push(join(order)));
    }
    // Other encodings.
    for styled in form::encodings(known.trim_start_matches('?').as_bytes()) {
        queries.push(format!("?{styled}"));
    }
    let decoded = percent_encoding::percent_decode_str(known).decode_utf8_lossy().into_owned();
    queries.push(decoded);
    queries.push("?".to_owned());
    queries.retain(|query| query != known);
    remove_repeated(&mut queries);
    queries
}

/// Splits an authority before the colon of its port.
fn split_port(authority: &str) -> (&str, &str) {
    let is_port = |at: usize| {
        let digits = &authority[at + 1..];
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    match authority.rfind(':').filter(|at| is_port(*at)) {
        Some(at) => authority.split_at(at),
        None => (authority, ""),
    }
}

/// Recognizes a host that no sender on the internet can reach.
pub(super) fn private_host(case: &Case<'_>) -> Option<Finding> {
    if !case.verifier.as_ref()?.signs_url() {
        return None;
    }
    let url = Url::parse(case.settings.public_url.as_deref()?, "");
    let host = url.host.to_ascii_lowercase();
    let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().ok();
    let is_private = match ip {
        Some(std::net::IpAddr::V4(ip)) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        Some(std::net::IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local(),
        None => {
            let ends = [".local", ".internal", ".localhost", ".svc", ".lan", ".invalid"];
            !host.contains('.') || ends.iter().any(|end| host.ends_with(end))
        }
    };
    is_private.then(|| {
        Finding::new(
            Cause::UrlHost,
            "set the URL that the sender was given as the public URL",
            "the scheme signs the URL, and the host of the public URL is a private one, which is not \
             the host that the sender was given",
        )
    })
}
