//! The queue, with a sink that does not do what it should.

use std::fmt::Debug;
use std::sync::Condvar;

use super::queue::CAPACITY;
use super::*;

/// A sink of a test.
pub(super) trait Other: Debug + Send {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
}

/// What became of what was written, and whether that works.
#[derive(Debug, Default)]
struct Disk {
    state: Mutex<(Vec<u8>, Mood)>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mood {
    #[default]
    Good,
    /// A write does not come back.
    Stuck,
    /// So many more bytes fit.
    Full(usize),
}

#[derive(Debug)]
struct Handle(Arc<Disk>);

impl Other for Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.state.lock().unwrap();
        while state.1 == Mood::Stuck {
            state = self.0.changed.wait(state).unwrap();
        }
        let fits = match &mut state.1 {
            Mood::Full(0) => return Err(io::ErrorKind::StorageFull.into()),
            Mood::Full(left) => {
                let fits = bytes.len().min(*left);
                *left -= fits;
                fits
            }
            Mood::Good | Mood::Stuck => bytes.len(),
        };
        state.0.extend_from_slice(&bytes[..fits]);
        self.0.changed.notify_all();
        Ok(fits)
    }
}

impl Disk {
    fn set(&self, mood: Mood) {
        self.state.lock().unwrap().1 = mood;
        self.changed.notify_all();
    }

    fn wait_for(&self, text: &str) {
        let state = self.state.lock().unwrap();
        let missing =
            |state: &mut (Vec<u8>, Mood)| !String::from_utf8_lossy(&state.0).contains(text);
        let (_state, waited) =
            self.changed.wait_timeout_while(state, Duration::from_secs(20), missing).unwrap();
        assert!(!waited.timed_out(), "{text} was not written");
    }

    fn lines(&self) -> Vec<serde_json::Value> {
        let text = String::from_utf8(self.state.lock().unwrap().0.clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn audit_on(disk: &Arc<Disk>) -> Audit {
    let audit = Audit::default();
    audit.queue.start().unwrap();
    audit.switch(Some(to(disk)));
    audit
}

fn to(disk: &Arc<Disk>) -> Opened {
    let sink = Sink::Other(Box::new(Handle(Arc::clone(disk))));
    Opened { destination: Destination::Stdout, sink }
}

fn say(audit: &Audit, route: &str) {
    audit.write(&Line { event: "request", route: Some(route), ..Line::default() });
}

#[test]
fn lines_are_written_in_order_and_the_end_waits_for_them() {
    let disk = Arc::new(Disk::default());
    let audit = audit_on(&disk);
    for number in 0..1000 {
        say(&audit, &number.to_string());
    }
    audit.finish();
    let lines = disk.lines();
    assert_eq!(lines.len(), 1000);
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(line["route"], number.to_string());
    }
    assert_eq!(audit.totals(), (1000, 0));
}

#[test]
fn what_a_stuck_disk_cannot_take_is_counted_and_said() {
    let disk = Arc::new(Disk::default());
    disk.set(Mood::Stuck);
    let audit = audit_on(&disk);
    let long = "x".repeat(64 * 1024);
    let count = 3 * CAPACITY / long.len();
    for _ in 0..count {
        say(&audit, &long);
    }
    let (_, lost) = audit.totals();
    assert!(lost > 0 && (lost as usize) < count, "{lost}");
    disk.set(Mood::Good);
    disk.wait_for("lines-lost");
    say(&audit, "after");
    audit.finish();
    let lines = disk.lines();
    let told: u64 = lines.iter().filter_map(|line| line["lines"].as_u64()).sum();
    assert_eq!(told, lost);
    assert_eq!(lines.last().unwrap()["route"], "after");
    assert_eq!(
        lines.iter().filter(|line| line["route"] == *long).count() as u64 + lost,
        count as u64
    );
}

#[test]
fn a_disk_that_is_full_gets_the_rest_of_the_line_later() {
    let disk = Arc::new(Disk::default());
    disk.set(Mood::Full(10));
    let audit = audit_on(&disk);
    say(&audit, "one");
    say(&audit, "two");
    disk.wait_for("{\"time\":\"2");
    disk.set(Mood::Good);
    disk.wait_for("two");
    audit.finish();
    assert_eq!(disk.lines().len(), 2);
    assert_eq!(audit.totals(), (2, 0));
}

#[test]
fn a_line_that_was_cut_is_whole_in_the_next_file() {
    let (full, next) = (Arc::new(Disk::default()), Arc::new(Disk::default()));
    full.set(Mood::Full(10));
    let audit = audit_on(&full);
    say(&audit, "one");
    full.wait_for("{\"time\":\"2");
    audit.switch(Some(to(&next)));
    next.wait_for("one");
    audit.finish();
    assert_eq!(next.lines()[0]["route"], "one");
    assert_eq!(audit.totals(), (1, 0));
}

#[test]
fn what_is_left_at_the_end_is_counted_as_lost() {
    let disk = Arc::new(Disk::default());
    disk.set(Mood::Full(0));
    let audit = audit_on(&disk);
    say(&audit, "one");
    audit.finish();
    say(&audit, "too late");
    assert_eq!(audit.totals(), (0, 2));
}

#[test]
fn lines_before_a_switch_go_to_the_old_file_and_later_ones_to_the_new() {
    let (old, new) = (Arc::new(Disk::default()), Arc::new(Disk::default()));
    old.set(Mood::Stuck);
    let audit = audit_on(&old);
    say(&audit, "before");
    audit.switch(Some(to(&new)));
    say(&audit, "after");
    old.set(Mood::Good);
    audit.finish();
    let routes =
        |disk: &Disk| disk.lines().iter().map(|line| line["route"].to_string()).collect::<Vec<_>>();
    assert_eq!((routes(&old), routes(&new)), (vec!["\"before\"".into()], vec!["\"after\"".into()]));
}

#[test]
fn no_text_can_look_like_anything_but_itself() {
    let hostile = "\"},\n{\"event\":\"x\"}\r\u{2028}\u{202e}\u{1F600}\u{7f}\u{0}\\u0022";
    let disk = Arc::new(Disk::default());
    let audit = audit_on(&disk);
    audit.write(&Line {
        event: "request",
        request: Some(Request {
            id: 1,
            method: hostile,
            authority: hostile,
            path: hostile,
            trace: None,
        }),
        credentials: Some(&[Credential::named(Some(hostile), "held")]),
        ..Line::default()
    });
    audit.finish();
    let written = disk.state.lock().unwrap().0.clone();
    assert!(written.iter().all(|byte| matches!(byte, b'\n' | b' '..=b'~')));
    let lines = disk.lines();
    assert_eq!(lines.len(), 1);
    for value in ["method", "authority", "path"].map(|key| &lines[0]["request"][key]) {
        assert_eq!(value, hostile);
    }
    assert_eq!(lines[0]["credentials"][0]["credential"], hostile);
    let time = lines[0]["time"].as_str().unwrap();
    assert!(time.len() == "2026-01-01T00:00:00.000000Z".len() && time.ends_with('Z'), "{time}");
}

#[test]
fn what_is_very_long_is_cut() {
    let disk = Arc::new(Disk::default());
    let audit = audit_on(&disk);
    let path = "/ä".repeat(1024 * 1024);
    let request = Request { id: 1, method: "GET", authority: "a", path: &path, trace: None };
    audit.write(&Line { event: "request", request: Some(request), ..Line::default() });
    audit.finish();
    let told = disk.lines()[0]["request"]["path"].as_str().unwrap().to_owned();
    assert!(
        told.len() < 9000 && told.ends_with('…') && path.starts_with(told.trim_end_matches('…'))
    );
}

#[test]
fn it_knows_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let audit = Audit::default();
    assert!(!audit.goes_to(&path));
    audit.switch(audit.open(Some(&Destination::File(path.clone()))).unwrap());
    assert!(audit.goes_to(&path) && !audit.goes_to(&folder.path().join("gateway.toml")));
    audit.switch(audit.open(Some(&Destination::Stdout)).unwrap());
    assert!(!audit.goes_to(&path));
}
