//! `--write-out`: a format with curl's variables, filled in after each transfer.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

/// What is known about a transfer, failed ones included.
#[derive(Clone, Debug, Default)]
pub(super) struct Stats {
    pub(super) url: String,
    pub(super) method: String,
    /// 0 without a response.
    pub(super) status: u16,
    /// `3`, `2`, `1.1`, or empty without a response.
    pub(super) http_version: &'static str,
    pub(super) content_type: String,
    /// How many connections this transfer opened.
    pub(super) num_connects: u32,
    pub(super) num_headers: usize,
    pub(super) size_download: u64,
    pub(super) remote: Option<SocketAddr>,
    /// Of a connection that this transfer opened.
    pub(super) time_connect: Duration,
    /// The same, TLS included.
    pub(super) time_appconnect: Duration,
    pub(super) time_starttransfer: Duration,
    pub(super) time_total: Duration,
    pub(super) exit_code: u8,
    pub(super) error: String,
}

impl Stats {
    fn variable(&self, name: &str) -> Option<String> {
        let seconds = |time: Duration| format!("{:.6}", time.as_secs_f64());
        Some(match name {
            "http_code" | "response_code" => format!("{:03}", self.status),
            "http_version" if self.http_version.is_empty() => "0".to_owned(),
            "http_version" => self.http_version.to_owned(),
            "num_connects" => self.num_connects.to_string(),
            "num_headers" => self.num_headers.to_string(),
            "size_download" => self.size_download.to_string(),
            "content_type" => self.content_type.clone(),
            "method" => self.method.clone(),
            "scheme" => "HTTPS".to_owned(),
            "url" | "url_effective" => self.url.clone(),
            "remote_ip" => self.remote.map(|remote| remote.ip().to_string()).unwrap_or_default(),
            "remote_port" => self.remote.map_or(0, |remote| remote.port()).to_string(),
            "time_connect" => seconds(self.time_connect),
            "time_appconnect" => seconds(self.time_appconnect),
            "time_starttransfer" => seconds(self.time_starttransfer),
            "time_total" => seconds(self.time_total),
            "exitcode" => self.exit_code.to_string(),
            "errormsg" => self.error.clone(),
            _ => return None,
        })
    }

    /// Fills in `format`; what it does not know it leaves as it stands and says so on standard error.
    pub(super) fn fill(&self, format: &str) -> String {
        let mut text = String::new();
        let mut rest = format;
        while let Some(at) = rest.find(['%', '\\']) {
            let (before, special) = rest.split_at(at);
            text.push_str(before);
            rest = self.special(special, &mut text);
        }
        text.push_str(rest);
        text
    }

    /// Takes what begins with `%` or a backslash; returns the rest.
    fn special<'a>(&self, special: &'a str, text: &mut String) -> &'a str {
        const ESCAPES: [(&str, &str); 5] =
            [("%%", "%"), ("\\n", "\n"), ("\\r", "\r"), ("\\t", "\t"), ("\\\\", "\\")];
        for (escape, plain) in ESCAPES {
            if let Some(rest) = special.strip_prefix(escape) {
                text.push_str(plain);
                return rest;
            }
        }
        if let Some((name, rest)) = special.strip_prefix("%{").and_then(|name| name.split_once('}'))
        {
            match self.variable(name) {
                Some(value) => text.push_str(&value),
                None => {
                    eprintln!("countersign: --write-out knows no variable {name:?}");
                    // Writing to a String cannot fail.
                    let _ = write!(text, "%{{{name}}}");
                }
            }
            return rest;
        }
        let mut characters = special.chars();
        text.extend(characters.next());
        characters.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_filled_in() {
        let stats = Stats {
            url: "https://a.test/".to_owned(),
            status: 200,
            http_version: "2",
            num_connects: 1,
            size_download: 12,
            time_total: Duration::from_micros(1_234_567),
            ..Stats::default()
        };
        let fill = |format: &str| stats.fill(format);
        assert_eq!(fill("%{http_code} %{http_version}\\n"), "200 2\n");
        assert_eq!(fill("%{time_total}|%{size_download}"), "1.234567|12");
        assert_eq!(fill("100%% %{num_connects}\\t%{url_effective}"), "100% 1\thttps://a.test/");
        assert_eq!(fill("%{unknown} %{open % \\x"), "%{unknown} %{open % \\x");
        assert_eq!(Stats::default().fill("%{response_code} %{http_version}"), "000 0");
    }
}
