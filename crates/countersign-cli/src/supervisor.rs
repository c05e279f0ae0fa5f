//! Telling a service manager how far the gateway is, as `systemd` wants to hear it (sd_notify(3)).

#[cfg(unix)]
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// What there is to tell.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    /// Connections are served from now on.
    Ready,
    /// No new connections are taken any more.
    Stopping,
}

impl State {
    fn message(self) -> &'static [u8] {
        match self {
            Self::Ready => b"READY=1",
            Self::Stopping => b"STOPPING=1",
        }
    }
}

/// Tells it, if somebody listens: NOTIFY_SOCKET names a socket.
#[cfg(unix)]
pub(crate) fn notify(state: State) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
        return;
    };
    let told = address(&name).and_then(|address| {
        UnixDatagram::unbound()?.send_to_addr(state.message(), &address).map(drop)
    });
    if let Err(error) = told {
        tracing::warn!(%error, ?state, "the service manager cannot be told");
    }
}

/// A path, or with a leading `@` a name in Linux's abstract namespace.
#[cfg(unix)]
fn address(name: &std::ffi::OsStr) -> std::io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::ffi::OsStrExt;
        if let Some(name) = name.as_bytes().strip_prefix(b"@") {
            return SocketAddr::from_abstract_name(name);
        }
    }
    SocketAddr::from_pathname(name)
}

/// There is none.
#[cfg(not(unix))]
pub(crate) fn notify(_state: State) {}
