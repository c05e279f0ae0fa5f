//! The proxies: how each is configured and started. A further one is a variant here.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use crate::client::Proof;
use crate::process::{Child, pinned};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Proxy {
    Nginx,
    Haproxy,
    Hyper,
    Gateway,
}

/// Where things are.
pub(crate) struct Site<'a> {
    /// The PKI, the configurations and what proxies leave behind.
    pub(crate) run: &'a Path,
    pub(crate) backend: SocketAddr,
    /// The program `countersign`.
    pub(crate) gateway: &'a Path,
    /// As taskset names it.
    pub(crate) core: String,
}

impl Proxy {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Hyper => "hyper",
            Self::Gateway => "gateway",
        }
    }

    /// How its clients prove who they are.
    pub(crate) fn proof(self) -> Proof {
        match self {
            Self::Nginx | Self::Haproxy | Self::Hyper => Proof::Handshake,
            Self::Gateway => Proof::Authenticator,
        }
    }

    /// The version of the program, as it says it.
    pub(crate) fn version(self, site: &Site<'_>) -> String {
        let (program, flag) = match self {
            Self::Nginx => (Path::new("nginx"), "-v"),
            Self::Haproxy => (Path::new("haproxy"), "-v"),
            Self::Hyper => return "hyper and rustls of Cargo.lock".into(),
            Self::Gateway => (site.gateway, "--version"),
        };
        let said = Command::new(program).arg(flag).output();
        let said = said.map(|out| [out.stdout, out.stderr].concat()).unwrap_or_default();
        String::from_utf8_lossy(&said).lines().next().unwrap_or("unknown version").to_owned()
    }

    /// Starts it on `address`, with one worker on its core.
    pub(crate) fn start(self, site: &Site<'_>, address: SocketAddr) -> anyhow::Result<Child> {
        let configured = |file: &str, template: &str| {
            let text = template
                .replace("@ADDRESS@", &address.to_string())
                .replace("@BACKEND@", &site.backend.to_string())
                .replace("@RUN@", &site.run.to_string_lossy());
            let path = site.run.join(file);
            fs::write(&path, text).context("writing a configuration")?;
            anyhow::Ok(path)
        };
        let mut command;
        match self {
            Self::Nginx => {
                let config = configured("nginx.conf", include_str!("../templates/nginx.conf"))?;
                command = pinned(&site.core, "nginx");
                command.arg("-p").arg(site.run).arg("-c").arg(config);
            }
            Self::Haproxy => {
                let config = configured("haproxy.cfg", include_str!("../templates/haproxy.cfg"))?;
                command = pinned(&site.core, "haproxy");
                command.args(["-db", "-q", "-f"]).arg(config);
            }
            Self::Hyper => {
                command = pinned(&site.core, std::env::current_exe()?);
                command.arg("hyper-proxy").arg(address.to_string()).arg(site.backend.to_string());
                command.arg(site.run);
            }
            Self::Gateway => {
                let config = configured("gateway.toml", include_str!("../templates/gateway.toml"))?;
                command = pinned(&site.core, site.gateway);
                command.args(["gateway", "--config"]).arg(config).env("TOKIO_WORKER_THREADS", "1");
                command.stdout(std::process::Stdio::null());
            }
        }
        Child::start(command, address).with_context(|| format!("starting {}", self.name()))
    }
}
