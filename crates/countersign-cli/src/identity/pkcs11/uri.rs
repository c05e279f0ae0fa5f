//! `pkcs11:` URIs (RFC 7512): which token, which objects in it, and what opens it.

use std::fs;

/// What a URI says. It has no `Debug`, since it may hold a PIN.
#[derive(Default)]
pub(super) struct Uri {
    pub(super) token: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) manufacturer: Option<String>,
    pub(super) model: Option<String>,
    pub(super) slot_id: Option<u64>,
    pub(super) object: Option<String>,
    pub(super) id: Option<Vec<u8>>,
    pub(super) module_path: Option<String>,
    pin_value: Option<String>,
    pin_source: Option<String>,
}

impl Uri {
    /// Parses the URI. The error is the end of a sentence and repeats no value, which may be a PIN.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("pkcs11:").ok_or("it does not begin with pkcs11:")?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut uri = Self::default();
        for (name, value) in attributes(path, ';')? {
            match name {
                "token" => uri.token = Some(string(name, value)?),
                "serial" => uri.serial = Some(string(name, value)?),
                "manufacturer" => uri.manufacturer = Some(string(name, value)?),
                "model" => uri.model = Some(string(name, value)?),
                "object" => uri.object = Some(string(name, value)?),
                "id" => uri.id = Some(value),
                "slot-id" => {
                    let number = string(name, value)?.parse();
                    uri.slot_id = Some(number.map_err(|_| "slot-id is not a number")?);
                }
                // The key and its certificate are looked for in any case.
                "type" => {}
                "pin-value" | "pin-source" | "module-path" => {
                    return Err(format!("{name} has to stand after a \"?\""));
                }
                _ => return Err("an attribute before the \"?\" is not supported".to_owned()),
            }
        }
        for (name, value) in attributes(query, '&')? {
            match name {
                "module-path" => uri.module_path = Some(string(name, value)?),
                "pin-value" => uri.pin_value = Some(string(name, value)?),
                "pin-source" => uri.pin_source = Some(string(name, value)?),
                _ => return Err("an attribute after the \"?\" is not supported".to_owned()),
            }
        }
        Ok(uri)
    }

    /// The PIN, from the URI or from the file it names.
    pub(super) fn pin(&self) -> Result<Option<String>, String> {
        let Some(source) = &self.pin_source else {
            return Ok(self.pin_value.clone());
        };
        let path = source.strip_prefix("file:").unwrap_or(source);
        let path = path.strip_prefix("//").unwrap_or(path);
        let text = fs::read_to_string(path)
            .map_err(|error| format!("its pin-source {path} cannot be read: {error}"))?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

/// Name and percent-decoded value of each attribute.
fn attributes(text: &str, separator: char) -> Result<Vec<(&str, Vec<u8>)>, String> {
    text.split(separator)
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').ok_or("an attribute in it has no value")?;
            Ok((name, decode(value).ok_or("a \"%\" in it is not followed by two hex digits")?))
        })
        .collect()
}

fn string(name: &str, value: Vec<u8>) -> Result<String, String> {
    String::from_utf8(value).map_err(|_| format!("{name} is not UTF-8"))
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            *hex::decode(digits).ok()?.first()?
        } else {
            byte
        });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_taken_apart() {
        let uri = Uri::parse(
            "pkcs11:token=My%20token;serial=07;slot-id=3;object=alice;id=%01a%fF;type=private\
             ?module-path=/lib/a.so&pin-value=12%3B34",
        );
        let uri = uri.ok().unwrap();
        assert_eq!(uri.token.as_deref(), Some("My token"));
        assert_eq!(uri.serial.as_deref(), Some("07"));
        assert_eq!((uri.slot_id, uri.object.as_deref()), (Some(3), Some("alice")));
        assert_eq!(uri.id.as_deref(), Some(&[1, b'a', 0xff][..]));
        assert_eq!(uri.module_path.as_deref(), Some("/lib/a.so"));
        assert_eq!(uri.pin().unwrap().as_deref(), Some("12;34"));
        assert!(Uri::parse("pkcs11:").is_ok());
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_its_value() {
        for text in [
            "pkcs11:token",
            "pkcs11:object=%4",
            "pkcs11:object=%zz",
            "pkcs11:slot-id=x",
            "pkcs11:token=%ff",
            "pkcs11:pin-value=hunter2",
            "pkcs11:hunter2=1",
            "pkcs11:?hunter2=1",
        ] {
            let error = Uri::parse(text).err().unwrap();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let uri = Uri::parse("pkcs11:?pin-source=file:///no/such/pin").ok().unwrap();
        assert!(uri.pin().unwrap_err().contains("/no/such/pin"));
    }
}
