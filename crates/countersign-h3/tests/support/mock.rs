//! A [`Link`] without rules: sends what it is told to, and remembers what it is told.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use countersign_proto::link::{Closed, Frame, Link, Place, Transmit};
use countersign_proto::{CodePoints, FrameKind, Role, Setting, Violation};

/// The entry that the mock announces.
pub(crate) const OURS: Setting = Setting { id: 0xff0c, value: 8 };

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    SettingsSent,
    PeerSettings(Vec<Setting>),
    Header(FrameKind, Place, u64),
    Frame(FrameKind, Bytes),
    Origin(Bytes),
    Closed(Closed),
}

impl Event {
    /// The entries, if it is the peer's SETTINGS.
    pub(crate) fn settings(&self) -> Option<&[Setting]> {
        if let Self::PeerSettings(settings) = self { Some(settings) } else { None }
    }
}

#[derive(Debug)]
pub(crate) struct MockLink {
    role: Role,
    /// Announced, unless empty.
    pub(crate) settings: Vec<Setting>,
    pub(crate) max_frame_len: usize,
    /// What every frame of the extension gets.
    pub(crate) refusal: Option<Violation>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Transmit>,
    events: Vec<Event>,
    waker: Option<Waker>,
    watchers: Vec<Waker>,
}

impl MockLink {
    pub(crate) fn new(role: Role) -> Self {
        Self {
            role,
            settings: vec![OURS],
            max_frame_len: 1 << 20,
            refusal: None,
            state: Mutex::default(),
        }
    }

    /// The same without an announcement.
    pub(crate) fn silent(role: Role) -> Self {
        Self { settings: Vec::new(), ..Self::new(role) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn push(&self, transmit: Transmit) {
        let waker = {
            let mut state = self.state();
            state.queue.push_back(transmit);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Queues the frame that this side may send.
    pub(crate) fn push_frame(&self, payload: impl Into<Bytes>) {
        let kind = sent_by(self.role);
        self.push(Transmit::Frame(Frame { kind, payload: payload.into() }));
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.state().events.clone()
    }

    /// The payloads that arrived.
    pub(crate) fn frames(&self) -> Vec<Bytes> {
        let frame = |event| {
            if let Event::Frame(_, payload) = event { Some(payload) } else { None }
        };
        self.events().into_iter().filter_map(frame).collect()
    }

    /// The peer's SETTINGS, one for each frame.
    pub(crate) fn peer_settings(&self) -> Vec<Vec<Setting>> {
        self.events().iter().filter_map(Event::settings).map(<[_]>::to_vec).collect()
    }

    pub(crate) fn violation(&self) -> Option<Violation> {
        let violation = |event| {
            if let Event::Closed(Closed::Violation(it)) = event { Some(it) } else { None }
        };
        self.events().into_iter().find_map(violation)
    }

    /// Waits until the events are as `wanted`.
    pub(crate) async fn until(&self, wanted: impl Fn(&[Event]) -> bool) {
        std::future::poll_fn(|cx| {
            let mut state = self.state();
            if wanted(&state.events) {
                return Poll::Ready(());
            }
            state.watchers.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn log(&self, event: Event) {
        let watchers = {
            let mut state = self.state();
            state.events.push(event);
            std::mem::take(&mut state.watchers)
        };
        for watcher in watchers {
            watcher.wake();
        }
    }
}

/// The frame that one side may send; the first of two for servers.
pub(crate) fn sent_by(role: Role) -> FrameKind {
    match role {
        Role::Client => FrameKind::Certificate,
        Role::Server => FrameKind::AuthenticatorRequests,
    }
}

impl Link for MockLink {
    fn role(&self) -> Role {
        self.role
    }

    fn code_points(&self) -> CodePoints {
        CodePoints::default()
    }

    fn local_settings(&self) -> Vec<Setting> {
        self.settings.clone()
    }

    fn max_frame_len(&self) -> usize {
        self.max_frame_len
    }

    fn settings_sent(&self) {
        self.log(Event::SettingsSent);
    }

    fn settings_acked(&self) {
        panic!("HTTP/3 acknowledges no settings");
    }

    fn peer_settings(&self, settings: &[Setting]) -> Result<(), Violation> {
        self.log(Event::PeerSettings(settings.to_vec()));
        Ok(())
    }

    fn frame_header(&self, kind: FrameKind, place: Place, len: u64) -> Result<(), Violation> {
        self.log(Event::Header(kind, place, len));
        match place {
            Place::Control => self.refusal.map_or(Ok(()), Err),
            Place::Stream(_) => Err(Violation::WrongStream),
        }
    }

    fn frame(&self, kind: FrameKind, payload: Bytes) -> Result<(), Violation> {
        let malformed = payload.starts_with(b"malformed");
        self.log(Event::Frame(kind, payload));
        if malformed { Err(Violation::MalformedAuthenticator) } else { Ok(()) }
    }

    fn origin(&self, payload: &Bytes) {
        self.log(Event::Origin(payload.clone()));
    }

    fn poll_transmit(&self, cx: &mut Context<'_>, _max_payload: usize) -> Poll<Transmit> {
        let mut state = self.state();
        match state.queue.pop_front() {
            Some(transmit) => Poll::Ready(transmit),
            None => {
                match &mut state.waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
        }
    }

    fn closed(&self, how: Closed) {
        self.log(Event::Closed(how));
    }
}
