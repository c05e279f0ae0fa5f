//! What all rows of cases have in common.

use std::collections::HashSet;

use countersign_conform::{against_client, against_server};

#[test]
fn ids_are_unique_and_name_document_section_and_side() {
    let mut seen = HashSet::new();
    let servers = against_server::cases().map(|case| ("s", case.about));
    let clients = against_client::cases().map(|case| ("c", case.about));
    for (side, about) in servers.chain(clients) {
        assert!(seen.insert(about.id), "{} twice", about.id);
        let parts: Vec<_> = about.id.split('/').collect();
        let [document, section, number] = parts[..] else { panic!("{}", about.id) };
        assert!(
            ["client", "server", "rfc9261", "rfc8336", "http2", "http3"].contains(&document),
            "{}",
            about.id
        );
        assert!(section.starts_with(|digit: char| digit.is_ascii_digit()), "{}", about.id);
        assert!(number.strip_prefix(side).is_some_and(|rest| rest.parse::<u32>().is_ok()));
        for text in [about.says, about.sends, about.expects] {
            assert!(!text.is_empty() && !text.contains('|'), "{}", about.id);
        }
        assert!(about.says.ends_with('.'), "{}", about.id);
    }
}
