//! `[audit]`: where the audit log goes.

use super::keys::{Key, Keys, Kind};
use super::table::{At, Table};
use crate::audit::Destination;

pub(super) const KEYS: Keys = &[Key::needed(
    "file",
    Kind::File,
    "Where the audit log goes: a path, or `-` for standard output.",
)];

/// Reads the table, if it is there.
pub(super) fn read(root: &Table<'_>) -> Option<Option<Destination>> {
    let Some(At { value, span }) = root.table("audit") else {
        return root.get("audit").is_none().then_some(None);
    };
    let source = root.source();
    let table = Table::new(source, "[audit]", value, span, KEYS);
    let At { value, span } = table.needed("file", "file = \"audit.log\"")?;
    if value == "-" {
        return Some(Some(Destination::Stdout));
    }
    let path = source.folder().join(value);
    if let Err(reason) = Destination::check(&path) {
        source.mistake(
            span,
            format!("the audit log `{}` cannot be written: {reason}", path.display()),
            "the path of a file in a folder that is there, or `-` for standard output".to_owned(),
        );
        return None;
    }
    Some(Some(Destination::File(path)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use toml::de::DeTable;

    use super::super::diagnostic::Source;
    use super::*;

    fn parse(folder: &Path, text: &str) -> Result<Option<Destination>, String> {
        let file = folder.join("gateway.toml");
        let source = Source::new(&file, text);
        let (document, _) = DeTable::parse_recoverable(text);
        let root = Table::new(
            &source,
            "the configuration",
            document.get_ref(),
            0..0,
            super::super::TABLES,
        );
        let read = read(&root);
        let said = source.finish_with(read).map_err(|error| error.to_string());
        said.map_err(|said| said.replace(&format!("{}/", folder.display()), ""))
    }

    #[test]
    fn a_path_or_standard_output() {
        let folder = tempfile::tempdir().unwrap();
        let at = |text| parse(folder.path(), text);
        assert_eq!(at(""), Ok(None));
        assert_eq!(at("[audit]\nfile = \"-\"\n"), Ok(Some(Destination::Stdout)));
        let log = folder.path().join("audit.log");
        let named = Ok(Some(Destination::File(log.clone())));
        assert_eq!(at("[audit]\nfile = \"audit.log\"\n"), named);
        assert!(!log.exists(), "whoever only checks makes no files");
        std::fs::write(&log, "before\n").unwrap();
        assert_eq!(at("[audit]\nfile = \"audit.log\"\n"), named);
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "before\n");
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("log")).unwrap();
        std::fs::write(folder.path().join("plain"), "").unwrap();
        let said = |text| parse(folder.path(), text).unwrap_err();
        assert_eq!(
            said("[audit]\nfile = \"log\"\n"),
            "\
gateway.toml:2:8: the audit log `log` cannot be written: it is a folder
 2 | file = \"log\"
   |        ^^^^^
   = the path of a file in a folder that is there, or `-` for standard output"
        );
        assert!(said("[audit]\nfile = \"gone/a.log\"\n").contains(": its folder: "));
        assert!(said("[audit]\nfile = \"plain/a.log\"\n").starts_with("gateway.toml:2:8: "));
        assert!(said("[audit]\n").starts_with("gateway.toml:1:1: [audit] lacks the key `file`"));
        assert!(said("[audit]\nfile = true\n").contains("must be a string"));
        assert!(said("[audit]\nflie = \"-\"\n").contains("did you mean `file`?"));
        assert!(said("audit = \"-\"\n").contains("must be a table"));
    }
}
