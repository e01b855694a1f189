//! JSON documents, walked once, without building a tree.
//!
//! Invariants
//! * The whole document is checked against RFC 8259, values nobody reads included; surrogates must pair up.
//! * Values are given as places in the text: numbers keep their digits, nothing is rounded.
//! * Of equal keys the last wins, with everything below it.
//! * Work is bounded by the text's length, the stack by `DEPTH_MAX`.
//!
//! Not here: what a value means for a column (`convert`).

use crate::decode::path::{JsonPath, Step};
use std::borrow::Cow;

/// Containers within containers.
pub(crate) const DEPTH_MAX: usize = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JsonKind {
    Null,
    Boolean(bool),
    Number,
    /// Whether it holds backslashes.
    String {
        escaped: bool,
    },
    Array,
    Object,
}

/// A value's kind and its half-open byte range in the text; quotes are inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub kind: JsonKind,
    pub start: usize,
    pub end: usize,
}

/// A value's kind and its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Raw<'a> {
    pub kind: JsonKind,
    pub text: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Syntax(&'static str),
    /// A second document, or anything but whitespace, after the first.
    Trailing,
    TooDeep,
}

/// What is wrong with a text, and at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JsonError {
    pub fault: Fault,
    pub at: usize,
}

type Result<T, E = JsonError> = std::result::Result<T, E>;

impl Place {
    pub(crate) fn of<'a>(&self, text: &'a str) -> Raw<'a> {
        Raw { kind: self.kind, text: text.get(self.start..self.end).unwrap_or_default() }
    }
}

impl<'a> Raw<'a> {
    /// The string's value; other kinds give their text.
    pub(crate) fn string(&self) -> Cow<'a, str> {
        match self.kind {
            JsonKind::String { escaped } => {
                let inner = self.inside();
                if escaped { Cow::Owned(unescape(inner)) } else { Cow::Borrowed(inner) }
            }
            _ => Cow::Borrowed(self.text),
        }
    }

    /// A string's text between its quotes, escapes as written.
    pub(crate) fn inside(&self) -> &'a str {
        self.text.get(1..self.text.len().saturating_sub(1)).unwrap_or_default()
    }

    /// Calls `each` with the members of an object in order; nothing for other kinds.
    pub(crate) fn members<E>(&self, mut each: impl FnMut(Cow<'a, str>, Raw<'a>) -> Result<(), E>) -> Result<(), E> {
        let mut parser = Parser::new(self.text);
        // The text was checked when it was first walked: a syntax error cannot happen here.
        let mut outcome = Ok(());
        let _ = parser.object(0, |parser, key| {
            let value = parser.value(1)?;
            if outcome.is_ok() {
                outcome = each(key.of(self.text).string(), value.of(self.text));
            }
            Ok(())
        });
        outcome
    }

    /// Calls `each` with the elements of an array in order; nothing for other kinds.
    pub(crate) fn elements<E>(&self, mut each: impl FnMut(Raw<'a>) -> Result<(), E>) -> Result<(), E> {
        let mut parser = Parser::new(self.text);
        let mut outcome = Ok(());
        let _ = parser.array(0, |parser, _| {
            let value = parser.value(1)?;
            if outcome.is_ok() {
                outcome = each(value.of(self.text));
            }
            Ok(())
        });
        outcome
    }
}

/// Which places of a document are wanted, by slot.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    keys: Vec<Key>,
    indexes: Vec<(usize, usize)>,
    slots: Vec<usize>,
}

/// A key of an object, and the node below it.
#[derive(Debug)]
struct Key {
    name: String,
    /// As most documents have it: in quotes, without escapes. Empty where it needs them.
    quoted: Vec<u8>,
    node: usize,
}

impl Key {
    fn new(name: &str, node: usize) -> Self {
        let plain = name.bytes().all(|b| !STOPS.get(usize::from(b)).copied().unwrap_or(true));
        let quoted = if plain { format!("\"{name}\"").into_bytes() } else { Vec::new() };
        Self { name: name.to_string(), quoted, node }
    }
}

impl Wanted {
    /// Slot `i` is the place that path `i` names.
    pub(crate) fn new<'a>(paths: impl IntoIterator<Item = &'a JsonPath>) -> Self {
        let mut wanted = Self { nodes: vec![Node::default()] };
        for (slot, path) in paths.into_iter().enumerate() {
            let mut at = 0;
            for step in &path.0 {
                at = wanted.child(at, step);
            }
            if let Some(node) = wanted.nodes.get_mut(at) {
                node.slots.push(slot);
            }
        }
        wanted
    }

    fn child(&mut self, at: usize, step: &Step) -> usize {
        let new = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else { return at };
        let found = match step {
            Step::Key(key) => node.keys.iter().find(|k| k.name == *key).map(|k| k.node),
            Step::Index(index) => node.indexes.iter().find(|(i, _)| i == index).map(|(_, n)| *n),
        };
        if let Some(found) = found {
            return found;
        }
        match step {
            Step::Key(key) => node.keys.push(Key::new(key, new)),
            Step::Index(index) => node.indexes.push((*index, new)),
        }
        self.nodes.push(Node::default());
        new
    }

    /// Whether the document itself may be something else than an object.
    fn takes_any_root(&self) -> bool {
        self.nodes.first().is_some_and(|root| !root.slots.is_empty() || !root.indexes.is_empty())
    }

    /// Fills `slots` with the wanted places of one document and calls `unknown` with every key that no path asks for
    /// in an object that paths lead into. Returns whether the document's kind suits the paths.
    pub(crate) fn find(&self, text: &str, slots: &mut [Option<Place>], unknown: &mut dyn FnMut(&str)) -> Result<bool> {
        slots.fill(None);
        let mut parser = Parser::new(text);
        parser.skip_space();
        let place = parser.walk(self, 0, 0, slots, unknown)?;
        parser.skip_space();
        if parser.at < parser.bytes.len() {
            return Err(parser.error(Fault::Trailing));
        }
        Ok(place.kind == JsonKind::Object || self.takes_any_root())
    }

    /// Whether all that a node fills in is its own slots.
    fn is_leaf(&self, at: usize) -> bool {
        self.nodes.get(at).is_none_or(|node| node.keys.is_empty() && node.indexes.is_empty())
    }

    fn clear(&self, at: usize, slots: &mut [Option<Place>]) {
        let Some(node) = self.nodes.get(at) else { return };
        for slot in &node.slots {
            if let Some(slot) = slots.get_mut(*slot) {
                *slot = None;
            }
        }
        for child in node.keys.iter().map(|k| k.node).chain(node.indexes.iter().map(|(_, n)| *n)) {
            self.clear(child, slots);
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

/// Bytes that end a run of plain string content.
static STOPS: [bool; 256] = {
    let mut stops = [false; 256];
    let mut control = 0;
    while control < 0x20 {
        stops[control] = true;
        control += 1;
    }
    stops[b'"' as usize] = true;
    stops[b'\\' as usize] = true;
    stops
};

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0 }
    }

    fn error(&self, fault: Fault) -> JsonError {
        JsonError { fault, at: self.at }
    }

    fn syntax<T>(&self, reason: &'static str) -> Result<T> {
        let reason = if self.at >= self.bytes.len() { "the text ends early" } else { reason };
        Err(self.error(Fault::Syntax(reason)))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Eats `bytes`, which are not empty, if they come next.
    fn eat_all(&mut self, bytes: &[u8]) -> bool {
        let found = !bytes.is_empty() && self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(bytes));
        if found {
            self.at += bytes.len();
        }
        found
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// One value, whose places below `node` are filled in.
    fn walk(
        &mut self,
        wanted: &Wanted,
        node: usize,
        depth: usize,
        slots: &mut [Option<Place>],
        unknown: &mut dyn FnMut(&str),
    ) -> Result<Place> {
        let Some(below) = wanted.nodes.get(node) else { return self.value(depth) };
        let place = match self.peek() {
            Some(b'{') if !below.keys.is_empty() => {
                let whole = !below.slots.is_empty();
                let mut next = 0;
                self.members(depth, |parser| {
                    // Producers write keys in one order: look where the last one was found, and go round once.
                    let found = match below.keys.get(next).filter(|k| parser.eat_all(&k.quoted)) {
                        Some(_) => Some(next),
                        None => {
                            let key = parser.key()?.of(parser.text).string();
                            let count = below.keys.len();
                            let found = (next..count)
                                .chain(0..next)
                                .find(|i| below.keys.get(*i).is_some_and(|k| k.name == *key));
                            if found.is_none() && !whole {
                                unknown(&key);
                            }
                            found
                        }
                    };
                    parser.colon()?;
                    match found.and_then(|i| below.keys.get(i).map(|k| (i, k.node))) {
                        Some((i, child)) => {
                            next = if i + 1 < below.keys.len() { i + 1 } else { 0 };
                            // A leaf's slots are overwritten below.
                            if !wanted.is_leaf(child) {
                                wanted.clear(child, slots);
                            }
                            parser.walk(wanted, child, depth + 1, slots, unknown)?;
                        }
                        None => {
                            parser.value(depth + 1)?;
                        }
                    }
                    Ok(())
                })?
            }
            Some(b'[') if !below.indexes.is_empty() => {
                self.array(depth, |parser, index| match below.indexes.iter().find(|(i, _)| *i == index) {
                    Some((_, child)) => parser.walk(wanted, *child, depth + 1, slots, unknown).map(|_| ()),
                    None => parser.value(depth + 1).map(|_| ()),
                })?
            }
            _ => self.value(depth)?,
        };
        for slot in &below.slots {
            if let Some(slot) = slots.get_mut(*slot) {
                *slot = Some(place);
            }
        }
        Ok(place)
    }

    fn value(&mut self, depth: usize) -> Result<Place> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'{') => self.object(depth, |parser, _| parser.value(depth + 1).map(|_| ())),
            Some(b'[') => self.array(depth, |parser, _| parser.value(depth + 1).map(|_| ())),
            Some(b't') => self.word("true", JsonKind::Boolean(true)),
            Some(b'f') => self.word("false", JsonKind::Boolean(false)),
            Some(b'n') => self.word("null", JsonKind::Null),
            _ => self.syntax("a value was expected"),
        }
    }

    fn word(&mut self, word: &'static str, kind: JsonKind) -> Result<Place> {
        let start = self.at;
        if !self.bytes.get(start..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            return self.syntax("a value was expected");
        }
        self.at += word.len();
        Ok(Place { kind, start, end: self.at })
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { self.syntax("a digit was expected") } else { Ok(()) }
    }

    fn number(&mut self) -> Result<Place> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        Ok(Place { kind: JsonKind::Number, start, end: self.at })
    }

    fn string(&mut self) -> Result<Place> {
        let start = self.at;
        let mut escaped = false;
        self.at += 1;
        loop {
            self.skip_plain();
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Place { kind: JsonKind::String { escaped }, start, end: self.at });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return self.syntax("a control character in a string must be escaped"),
            }
        }
    }

    /// Goes to the next byte that ends a run of plain content, eight at a time where there are as many.
    fn skip_plain(&mut self) {
        const ONES: u64 = 0x0101_0101_0101_0101;
        const HIGHS: u64 = 0x8080_8080_8080_8080;
        let is_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
        let mut rest = self.bytes.get(self.at..).unwrap_or_default();
        while let Some((eight, after)) = rest.split_first_chunk::<8>() {
            let word = u64::from_le_bytes(*eight);
            // Below 0x20, a quote, or a backslash. The lowest mark is exact, later ones may be borrowed.
            let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
            let marks = control | is_zero(word ^ (ONES * u64::from(b'"'))) | is_zero(word ^ (ONES * u64::from(b'\\')));
            if marks != 0 {
                self.at += usize::try_from(marks.trailing_zeros() / 8).unwrap_or(0);
                return;
            }
            self.at += 8;
            rest = after;
        }
        let plain = rest.iter().position(|b| STOPS.get(usize::from(*b)).copied().unwrap_or(false));
        self.at += plain.unwrap_or(rest.len());
    }

    fn escape(&mut self) -> Result<()> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => match self.code_unit()? {
                0xD800..=0xDBFF => {
                    let low = if self.eat(b'\\') && self.peek() == Some(b'u') { self.code_unit()? } else { 0 };
                    if !(0xDC00..=0xDFFF).contains(&low) {
                        return self.syntax("a surrogate stands alone");
                    }
                }
                0xDC00..=0xDFFF => return self.syntax("a surrogate stands alone"),
                _ => {}
            },
            _ => return self.syntax("no such escape"),
        }
        Ok(())
    }

    /// `u` and four hexadecimal digits.
    fn code_unit(&mut self) -> Result<u32> {
        self.at += 1;
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|b| char::from(b).to_digit(16));
            let Some(digit) = digit else { return self.syntax("four hexadecimal digits were expected") };
            unit = unit * 16 + digit;
            self.at += 1;
        }
        Ok(unit)
    }

    fn enter(&mut self, depth: usize) -> Result<usize> {
        if depth >= DEPTH_MAX {
            return Err(self.error(Fault::TooDeep));
        }
        let start = self.at;
        self.at += 1;
        self.skip_space();
        Ok(start)
    }

    /// An object; `each` reads the value of every key.
    fn object(&mut self, depth: usize, mut each: impl FnMut(&mut Self, Place) -> Result<()>) -> Result<Place> {
        self.members(depth, |parser| {
            let key = parser.key()?;
            parser.colon()?;
            each(parser, key)
        })
    }

    /// An object; `each` reads a key, the colon and the value.
    fn members(&mut self, depth: usize, mut each: impl FnMut(&mut Self) -> Result<()>) -> Result<Place> {
        let start = self.enter(depth)?;
        if !self.eat(b'}') {
            loop {
                each(self)?;
                self.skip_space();
                if self.eat(b'}') {
                    break;
                }
                if !self.eat(b',') {
                    return self.syntax("a comma or a closing brace was expected");
                }
                self.skip_space();
            }
        }
        Ok(Place { kind: JsonKind::Object, start, end: self.at })
    }

    fn key(&mut self) -> Result<Place> {
        if self.peek() == Some(b'"') { self.string() } else { self.syntax("a key was expected") }
    }

    fn colon(&mut self) -> Result<()> {
        self.skip_space();
        if !self.eat(b':') {
            return self.syntax("a colon was expected");
        }
        self.skip_space();
        Ok(())
    }

    /// An array; `each` reads every element, with its index.
    fn array(&mut self, depth: usize, mut each: impl FnMut(&mut Self, usize) -> Result<()>) -> Result<Place> {
        let start = self.enter(depth)?;
        if !self.eat(b']') {
            let mut index = 0;
            loop {
                each(self, index)?;
                index += 1;
                self.skip_space();
                if self.eat(b']') {
                    break;
                }
                if !self.eat(b',') {
                    return self.syntax("a comma or a closing bracket was expected");
                }
                self.skip_space();
            }
        }
        Ok(Place { kind: JsonKind::Array, start, end: self.at })
    }
}

/// Whether the text is exactly one JSON number.
pub(crate) fn is_number(text: &str) -> bool {
    let mut parser = Parser::new(text);
    parser.number().is_ok_and(|place| place.end == text.len())
}

/// Undoes the escapes of a string that was checked.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let mut chars = after.chars();
        match chars.next() {
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('u') => {
                let unit = hex(chars.as_str());
                chars = chars.as_str().get(4..).unwrap_or_default().chars();
                let scalar = if (0xD800..0xDC00).contains(&unit) {
                    let low = hex(chars.as_str().get(2..).unwrap_or_default());
                    chars = chars.as_str().get(6..).unwrap_or_default().chars();
                    0x10000 + ((unit - 0xD800) << 10) + (low.wrapping_sub(0xDC00) & 0x3FF)
                } else {
                    unit
                };
                out.push(char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(c) => out.push(c),
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out
}

fn hex(text: &str) -> u32 {
    text.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
