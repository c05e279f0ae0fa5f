//! Outcomes, for people and for machines.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::case::{About, Over, Verdict, Version};

/// What became of a case over one version.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The case.
    pub about: About,
    /// The version.
    pub version: Version,
    /// What became of it.
    pub verdict: Verdict,
    /// How long it took.
    pub took: Duration,
}

impl Outcome {
    fn word_and_reason(&self) -> (&'static str, Option<&str>) {
        match &self.verdict {
            Verdict::Pass => ("pass", None),
            Verdict::Fail(reason) => ("fail", Some(reason)),
            Verdict::Skipped(reason) => ("skipped", Some(reason)),
        }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let (word, reason) = self.word_and_reason();
        let About { id, level, says, .. } = self.about;
        let reason = reason.map(|reason| format!(" -- {reason}")).unwrap_or_default();
        format!("{word:7} {} {level:10} {id:18} {says}{reason}", self.version.alpn())
    }

    /// One object for machines.
    pub fn json(&self) -> Value {
        let (word, reason) = self.word_and_reason();
        json!({
            "case": self.about.id,
            "http": match self.version { Version::Http2 => 2, Version::Http3 => 3 },
            "level": self.about.level.to_string(),
            "verdict": word,
            "reason": reason,
            "milliseconds": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

/// How many of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
    /// Not tried.
    pub skipped: usize,
}

impl Summary {
    /// Counts.
    pub fn of(outcomes: &[Outcome]) -> Self {
        let mut summary = Self::default();
        for outcome in outcomes {
            match outcome.verdict {
                Verdict::Pass => summary.passed += 1,
                Verdict::Fail(_) => summary.failed += 1,
                Verdict::Skipped(_) => summary.skipped += 1,
            }
        }
        summary
    }

    /// For people.
    pub fn line(&self) -> String {
        format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }

    /// For machines.
    pub fn json(&self) -> Value {
        json!({ "passed": self.passed, "failed": self.failed, "skipped": self.skipped })
    }
}

/// JUnit's XML, one suite for each version.
pub fn junit(name: &str, outcomes: &[Outcome]) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for version in [Version::Http2, Version::Http3] {
        let of_it: Vec<_> = outcomes.iter().filter(|one| one.version == version).cloned().collect();
        if of_it.is_empty() {
            continue;
        }
        let summary = Summary::of(&of_it);
        let seconds: f64 = of_it.iter().map(|one| one.took.as_secs_f64()).sum();
        let _ = writeln!(
            text,
            "  <testsuite name=\"{name} {}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\" time=\"{seconds:.3}\">",
            version.alpn(),
            of_it.len(),
            summary.failed,
            summary.skipped,
        );
        for one in &of_it {
            let inner = match &one.verdict {
                Verdict::Pass => String::new(),
                Verdict::Fail(reason) => format!("<failure message=\"{}\"/>", escaped(reason)),
                Verdict::Skipped(reason) => format!("<skipped message=\"{}\"/>", escaped(reason)),
            };
            let _ = writeln!(
                text,
                "    <testcase classname=\"{name}.{}\" name=\"{} {}\" time=\"{:.3}\">{inner}</testcase>",
                version.alpn(),
                one.about.id,
                escaped(one.about.says),
                one.took.as_secs_f64(),
            );
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(' '),
            // XML 1.0 has no place for other control characters.
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

fn versions(over: Over) -> &'static str {
    match over {
        Over::Both => "HTTP/2, HTTP/3",
        Over::Http2 => "HTTP/2",
        Over::Http3 => "HTTP/3",
    }
}

/// One line for each case.
pub fn list<'a>(cases: impl IntoIterator<Item = &'a About>) -> String {
    let mut text = String::new();
    for About { id, level, over, says, .. } in cases {
        let _ = writeln!(text, "{id:18} {level:10} {:14} {says}", versions(*over));
    }
    text
}

/// A case as an object.
pub fn about_json(about: &About) -> Value {
    json!({
        "case": about.id,
        "level": about.level.to_string(),
        "versions": versions(about.over),
        "says": about.says,
        "sends": about.sends,
        "expects": about.expects,
    })
}

/// A table of cases in Markdown.
pub fn markdown<'a>(cases: impl IntoIterator<Item = &'a About>) -> String {
    let mut text = String::from(
        "| case | level | over | rule | the tool sends | it expects |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for About { id, level, over, says, sends, expects } in cases {
        let _ = writeln!(
            text,
            "| `{id}` | {level} | {} | {says} | {sends} | {expects} |",
            versions(*over)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;

    #[test]
    fn junit_escapes_what_xml_cannot_have() {
        let about = About {
            id: "client/1/s1",
            level: Level::Must,
            over: Over::Both,
            says: "a < b",
            sends: "",
            expects: "",
        };
        let verdict = Verdict::Fail("\"x\" & \u{1}".to_owned());
        let outcome = Outcome { about, version: Version::Http2, verdict, took: Duration::ZERO };
        let text = junit("server", &[outcome]);
        assert!(text.contains("<failure message=\"&quot;x&quot; &amp; \u{fffd}\"/>"), "{text}");
        assert!(text.contains("tests=\"1\" failures=\"1\" skipped=\"0\""), "{text}");
        assert!(text.contains("name=\"client/1/s1 a &lt; b\""), "{text}");
    }
}
