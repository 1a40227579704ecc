//! The little XML that services speak: texts of elements, with every reference resolved.

use std::collections::HashMap;

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, Event};

/// Deepest element: documents of these services have four levels.
const DEEPEST: usize = 16;

/// What happens while a document is read.
pub enum Step<'a> {
    /// An element begins; its path ends with its own name.
    Open(&'a [String]),
    /// It ends: its path, and the text directly in it.
    Close(&'a [String], &'a str),
}

/// Reads `document` element by element.
///
/// # Errors
/// What is wrong with it, and where.
pub fn walk(document: &[u8], mut step: impl FnMut(Step<'_>)) -> Result<(), String> {
    let text = std::str::from_utf8(document).map_err(|error| format!("not UTF-8: {error}"))?;
    let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    let (mut path, mut texts) = (Vec::new(), vec![String::new()]);
    loop {
        let at = |error: quick_xml::Error| error.to_string();
        let event = reader.read_event().map_err(|error| format!("{error} at byte {}", reader.error_position()))?;
        match event {
            Event::Start(_) | Event::Empty(_) if path.len() == DEEPEST => return Err("elements too deep".to_owned()),
            Event::Start(start) => {
                path.push(String::from_utf8_lossy(start.local_name().as_ref()).into_owned());
                texts.push(String::new());
                step(Step::Open(&path));
            }
            Event::Empty(start) => {
                path.push(String::from_utf8_lossy(start.local_name().as_ref()).into_owned());
                step(Step::Open(&path));
                step(Step::Close(&path, ""));
                path.pop();
            }
            Event::End(_) => {
                let text = texts.pop().unwrap_or_default();
                step(Step::Close(&path, &text));
                path.pop();
            }
            Event::Text(part) => push(&mut texts, &part.decode().map_err(|error| at(error.into()))?),
            Event::CData(part) => push(&mut texts, &part.decode().map_err(|error| at(error.into()))?),
            Event::GeneralRef(reference) => {
                let text = resolve(&reference)?;
                push(&mut texts, &text);
            }
            Event::Eof if path.is_empty() => return Ok(()),
            Event::Eof => return Err(format!("ends within <{}>", path.join("><"))),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::DocType(_) => {}
        }
    }
}

fn push(texts: &mut [String], part: &str) {
    if let Some(text) = texts.last_mut() {
        text.push_str(part);
    }
}

fn resolve(reference: &BytesRef<'_>) -> Result<String, String> {
    if let Ok(Some(c)) = reference.resolve_char_ref() {
        return Ok(c.to_string());
    }
    let name = reference.decode().map_err(|error| error.to_string())?;
    // XML 1.0 has no control characters but these services refer to them all the same.
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => number.parse().ok(),
        };
        return code.and_then(char::from_u32).map(String::from).ok_or_else(|| format!("no character &{name};"));
    }
    resolve_predefined_entity(&name).map(str::to_owned).ok_or_else(|| format!("unknown entity &{name};"))
}

/// The first text of each element of a small document, by name; as far as it can be read.
pub fn first_texts(document: &[u8]) -> HashMap<String, String> {
    let mut texts = HashMap::new();
    let _ = walk(document, |step| {
        if let Step::Close([.., name], text) = step {
            texts.entry(name.clone()).or_insert_with(|| text.to_owned());
        }
    });
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_keep_their_spaces_and_every_reference_is_resolved() {
        let texts =
            first_texts(b"<?xml version=\"1.0\"?><E><A> a&amp;b&#x1;&#10;c </A><B/><A>2</A><C><![CDATA[<x>]]></C></E>");
        assert_eq!(texts["A"], " a&b\u{1}\nc ");
        assert_eq!((texts["B"].as_str(), texts["C"].as_str()), ("", "<x>"));
    }

    #[test]
    fn what_is_cut_or_odd_is_an_error_and_no_crash() {
        for document in
            ["<a><b>", "<a>&nope;</a>", "<a></b>", "<a>&#xFFFFFFFF;</a>", &"<a>".repeat(99), "\u{0}<", "<a b"]
        {
            assert!(walk(document.as_bytes(), |_| ()).is_err(), "{document}");
        }
        assert!(walk(b"\xff", |_| ()).is_err());
        assert!(first_texts(b"<E><Code>X</Code>").contains_key("Code"));
    }
}
