//! The only dependencies that each library may have. deny.toml has the other rules: which crate may
//! be used by which, tests included; versions, licences and sources. It cannot express "only
//! these".

use crate::workspace::{Kind, Package};

/// Every library crate, in the order of publication, and all normal dependencies that it may have.
const ALLOWED: &[(&str, &[&str])] = &[
    ("ws-core", &["bytes", "simdutf8"]),
    ("ws-handshake", &["ws-core", "http", "httparse", "sha1", "base64", "bytes", "thiserror"]),
    ("ws-ext-deflate", &["ws-core", "flate2", "bytes"]),
    (
        "ws-server",
        &[
            "ws-core",
            "ws-handshake",
            "ws-ext-deflate",
            "async-trait",
            // Only with `auth`: cookies, Basic, and comparing secrets in constant time.
            "base64",
            "constant_time_eq",
            "cookie",
            "bytes",
            // Only with `futures`: the traits alone.
            "futures-core",
            "futures-sink",
            "getrandom",
            "http",
            // Trusted proxies: their networks, and the PROXY protocol.
            "ipnet",
            "ppp",
            // Patterns of paths, and their escapes.
            "matchit",
            "percent-encoding",
            // Only with `prometheus`: the format in which it reads.
            "prometheus-client",
            // Only on Unix: the number of connections that the file descriptors allow (threats.md,
            // b).
            "rlimit",
            // Only with `tls`.
            "rustls-platform-verifier",
            "tokio-rustls",
            // Part of tokio's tree already: sets options of sockets that tokio does not.
            "socket2",
            "thiserror",
            "tokio",
            "tokio-util",
            "tracing",
        ],
    ),
    (
        "ws-tower",
        &[
            "ws-handshake",
            "ws-server",
            // Only with `axum`.
            "axum",
            "bytes",
            "http",
            "http-body",
            "http-body-util",
            "hyper",
            "hyper-util",
            "tokio",
            // Only with `tls`: to know the stream again.
            "tokio-rustls",
            // The traits alone.
            "tower-layer",
            "tower-service",
            "tracing",
        ],
    ),
    (
        "ws-nats",
        &[
            "ws-server",
            "async-nats",
            "bytes",
            "futures-util",
            "getrandom",
            // Keys in headers.
            "percent-encoding",
            // Only with `prometheus`.
            "prometheus-client",
            // The authorities of the system.
            "rustls-platform-verifier",
            // The JSON of JetStream's API that async-nats does not wrap, and of presence.
            "serde",
            "serde_json",
            "thiserror",
            "tokio",
            "tracing",
        ],
    ),
];

/// The libraries that need a newer Rust than the others, since a dependency does.
const NEWER_RUST: &[(&str, &str)] = &[("ws-nats", "1.89")];

/// The libraries that do not say the Rust that they are to build with: that of the first in the table,
/// or of theirs in [`NEWER_RUST`].
pub(crate) fn other_rust(packages: &[Package]) -> Vec<String> {
    let of =
        |name: &str| packages.iter().find(|package| package.name == name)?.rust_version.as_deref();
    let common = ALLOWED.first().and_then(|(name, _)| of(name));
    let expected = |name: &str| {
        let newer = NEWER_RUST.iter().find(|(listed, _)| *listed == name);
        newer.map(|(_, version)| *version).or(common)
    };
    ALLOWED
        .iter()
        .filter(|(name, _)| of(name) != expected(name))
        .map(|(name, _)| {
            let says = |version: Option<&str>| version.unwrap_or("nothing").to_owned();
            format!(
                "{name} has the rust-version {}, not {}: see NEWER_RUST",
                says(of(name)),
                says(expected(name))
            )
        })
        .collect()
}

/// The violations, one line each.
pub(crate) fn breaches(packages: &[Package]) -> Vec<String> {
    let mut found = Vec::new();
    for package in packages {
        let allowed = ALLOWED.iter().find(|(name, _)| *name == package.name).map(|(_, list)| *list);
        if package.published && package.library.is_some() && allowed.is_none() {
            found.push(format!("{} is not in the table of xtask/src/imports.rs", package.name));
        }
        for dependency in &package.dependencies {
            let (name, of) = (dependency.name.as_str(), package.name.as_str());
            let member = packages.iter().any(|package| package.name == name);
            match (allowed, dependency.kind) {
                (Some(list), Kind::Normal) if !list.contains(&name) => {
                    found.push(format!(
                        "{of} must not depend on {name}; it may depend on {}",
                        list.join(", ")
                    ));
                }
                (Some(_), Kind::Build) => {
                    found.push(format!(
                        "{of} has the build dependency {name}; library crates have no build script"
                    ));
                }
                (_, Kind::Dev)
                    if member
                        && !(dependency.by_path && dependency.requirement == "*")
                        && !is_published_before(name, of) =>
                {
                    found.push(format!(
                        "{of} takes {name} for its tests with version {}, and {name} is not published before it; by path alone, or packaging breaks",
                        dependency.requirement
                    ));
                }
                _ => {}
            }
        }
    }
    found
}

fn is_published_before(name: &str, of: &str) -> bool {
    let place = |name: &str| ALLOWED.iter().position(|(listed, _)| *listed == name);
    place(name).is_some_and(|place_of_name| place(of).is_none_or(|of| place_of_name < of))
}

/// Whether the root file of a library forbids unsafe code.
pub(crate) fn forbids_unsafe(source: &str) -> bool {
    source.lines().any(|line| line.trim() == "#![forbid(unsafe_code)]")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn package(name: &str, dependencies: &[Value]) -> Package {
        let metadata = json!({
            "name": name,
            "publish": null,
            "features": {},
            "targets": [{ "kind": ["lib"], "src_path": "/w/src/lib.rs" }],
            "dependencies": dependencies,
        });
        Package::from_metadata(&metadata).expect("a package")
    }

    fn normal(name: &str) -> Value {
        json!({ "name": name, "kind": null, "req": "^1" })
    }

    fn dev(name: &str, requirement: &str, path: Option<&str>) -> Value {
        json!({ "name": name, "kind": "dev", "req": requirement, "path": path })
    }

    #[test]
    fn dependencies_of_the_table_are_allowed() {
        let core =
            package("ws-core", &[normal("bytes"), normal("simdutf8"), dev("proptest", "^1", None)]);
        let handshake = package("ws-handshake", &[normal("ws-core"), normal("http")]);
        assert_eq!(breaches(&[core, handshake]), Vec::<String>::new());
    }

    #[test]
    fn one_library_alone_needs_a_newer_rust() {
        let packages = |nats: &str, server: &str| -> Vec<Package> {
            let version = |name: &str| match name {
                "ws-nats" => nats.to_owned(),
                "ws-server" => server.to_owned(),
                _ => "1.88".to_owned(),
            };
            let made = |(name, _): &(&str, _)| Package {
                rust_version: Some(version(name)),
                ..package(name, &[])
            };
            ALLOWED.iter().map(made).collect()
        };
        assert_eq!(other_rust(&packages("1.89", "1.88")), [""; 0]);
        assert_eq!(other_rust(&packages("1.90", "1.88")).len(), 1);
        assert_eq!(
            other_rust(&packages("1.89", "1.89")),
            ["ws-server has the rust-version 1.89, not 1.88: see NEWER_RUST"]
        );
    }

    #[test]
    fn dependency_outside_the_table_is_a_breach() {
        let found = breaches(&[package("ws-core", &[normal("bytes"), normal("tokio")])]);
        assert_eq!(found, ["ws-core must not depend on tokio; it may depend on bytes, simdutf8"]);
    }

    #[test]
    fn handshake_and_deflate_may_not_import_each_other() {
        assert_eq!(breaches(&[package("ws-handshake", &[normal("ws-ext-deflate")])]).len(), 1);
        assert_eq!(breaches(&[package("ws-ext-deflate", &[normal("ws-handshake")])]).len(), 1);
    }

    #[test]
    fn member_for_tests_is_taken_by_path_alone_unless_it_is_published_before() {
        let with = |of: &str, name: &str, requirement: &str, path: Option<&str>| {
            breaches(&[package(name, &[]), package(of, &[dev(name, requirement, path)])]).len()
        };
        assert_eq!(with("ws-core", "ws-handshake", "*", Some("/w/ws-handshake")), 0);
        assert_eq!(with("ws-core", "ws-handshake", "^0.1.0", Some("/w/ws-handshake")), 1);
        assert_eq!(with("ws-core", "ws-handshake", "*", None), 1);
        assert_eq!(with("ws-handshake", "ws-core", "^0.1.0", Some("/w/ws-core")), 0);
    }

    // RT-56
    #[test]
    fn floors_of_deny_toml_are_ranges() {
        let floors = include_str!("../../deny.toml").lines().filter(|line| line.contains('<'));
        assert!(floors.clone().count() > 4);
        // After an `@`, cargo-deny would take an exact version, and no minimum would ever be
        // violated.
        assert_eq!(floors.filter(|line| !line.contains(":<")).collect::<Vec<_>>(), [""; 0]);
    }

    #[test]
    fn build_script_dependency_and_unknown_library_are_breaches() {
        let build = json!({ "name": "cc", "kind": "build", "req": "^1" });
        assert_eq!(breaches(&[package("ws-core", &[build])]).len(), 1);
        assert_eq!(breaches(&[package("ws-new", &[])]).len(), 1);
    }

    #[test]
    fn forbid_is_an_attribute_of_the_crate() {
        assert!(forbids_unsafe("//! Docs.\n#![forbid(unsafe_code)]\n"));
        assert!(!forbids_unsafe("#![deny(unsafe_code)]\n// #![forbid(unsafe_code)]\n"));
    }
}
