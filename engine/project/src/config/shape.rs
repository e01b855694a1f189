//! What the value of a setting must look like: its check, and the words for it.
//!
//! Invariant: a message shows no secret; it says what is wrong and what to write.
//!
//! Not here: which settings have which shape (`sections`), checks that need other settings (`reader`).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};
use serde::{Deserializer, de::Visitor, forward_to_deserialize_any};

use ingot_dialect::duration::parse_ms;

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 32;

/// What a value must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Anything.
    Text,
    /// A name that can stand before a dot in a query.
    CatalogName,
    /// A name without control characters.
    ProjectName,
    /// The beginning of a name of a namespace.
    Prefix,
    /// A path or URL that may also be a bare folder.
    Location,
    /// A positive whole number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// `host:port`, loopback only.
    Loopback,
    /// `host:port`, on any interface.
    Address,
    /// A length of time such as `500 ms`, `10 s` or `2 min`, in milliseconds.
    Duration,
    /// A length of time that is not zero, in milliseconds.
    Timeout,
    /// `KEY_BYTES` bytes, in hexadecimal or base64.
    Key,
    /// One of a few words.
    OneOf(&'static [&'static str]),
}

impl Shape {
    /// What the reference page says of it.
    pub(crate) fn describe(self) -> String {
        match self {
            Self::Text | Self::CatalogName | Self::ProjectName | Self::Prefix => "text".into(),
            Self::Location => "a folder or an `s3://` URL".into(),
            Self::Number => "a positive whole number".into(),
            Self::Boolean => "`true` or `false`".into(),
            Self::Loopback => "`host:port` on the loopback interface".into(),
            Self::Address => "`host:port`".into(),
            Self::Duration | Self::Timeout => "a duration such as `500 ms`, `10 s` or `2 min`".into(),
            Self::Key => format!("{KEY_BYTES} bytes in hexadecimal or base64"),
            Self::OneOf(values) => values.iter().map(|v| format!("`{v}`")).collect::<Vec<_>>().join(" or "),
        }
    }

    /// What to write instead of a value that is none.
    pub(crate) fn wanted(self) -> String {
        match self {
            Self::CatalogName => "a name without dots, slashes and quotes".into(),
            Self::Prefix => "a prefix such as dev_".into(),
            Self::Key => format!("{}; openssl rand -hex {KEY_BYTES} makes one", self.describe()),
            _ => self.describe(),
        }
    }

    /// The value of a text.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub(crate) fn read(self, text: &str) -> Result<Plain, &'static str> {
        let plain = || Ok(Plain::Text(text.to_owned()));
        match self {
            Self::Text | Self::Location => plain(),
            Self::CatalogName if text.is_empty() || text.contains(['.', '"', '/']) => {
                Err("which cannot stand before a dot in a query")
            }
            Self::ProjectName if text.is_empty() || text.contains(char::is_control) => Err("which names no project"),
            Self::Prefix if text.contains(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')) => {
                Err("which may hold lower-case letters, digits and underscores only")
            }
            Self::CatalogName | Self::ProjectName | Self::Prefix => plain(),
            Self::Number => match text.replace('_', "").parse::<u64>() {
                Ok(n) if n > 0 => Ok(Plain::Number(n)),
                _ => Err("which is not a positive whole number"),
            },
            Self::Boolean => text.parse().map(Plain::Boolean).map_err(|_| "which is neither true nor false"),
            Self::Loopback | Self::Address => {
                let address = address(text).ok_or("which is not an address with a port")?;
                Ok(Plain::Text(address.to_string()))
            }
            Self::Duration | Self::Timeout => match parse_ms(text).ok_or("which is not a duration")? {
                0 if self == Self::Timeout => Err("and nothing answers in no time"),
                ms => Ok(Plain::Number(ms)),
            },
            Self::Key => key(text).map(Plain::Bytes).ok_or("which is no key"),
            Self::OneOf(values) if values.contains(&text) => plain(),
            Self::OneOf(_) => Err("which is not one of its values"),
        }
    }
}

/// A socket's address; `localhost` is 127.0.0.1.
fn address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => port.parse().ok().map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        None => text.parse().ok(),
    }
}

/// A key's bytes, from hexadecimal digits or base64.
fn key(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    if text.len() == 2 * KEY_BYTES && text.bytes().all(|c| c.is_ascii_hexdigit()) {
        let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
        return (0..text.len()).step_by(2).map(byte).collect();
    }
    BASE64_STANDARD.decode(text).ok().filter(|k| k.len() == KEY_BYTES)
}

/// A checked value, as the structs of the sections take it.
#[derive(Clone)]
pub(crate) enum Plain {
    Text(String),
    Number(u64),
    Boolean(bool),
    Bytes(Vec<u8>),
}

impl<'de> IntoDeserializer<'de, Error> for Plain {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Plain {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Text(text) => visitor.visit_string(text),
            Self::Number(n) => visitor.visit_u64(n),
            Self::Boolean(b) => visitor.visit_bool(b),
            Self::Bytes(bytes) => visitor.visit_seq(serde::de::value::SeqDeserializer::new(bytes.into_iter())),
        }
    }

    /// What is not given is not in the map at all.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Self::Text(text) => {
                let word: StrDeserializer<'_, Error> = text.as_str().into_deserializer();
                word.deserialize_enum(name, variants, visitor)
            }
            other => other.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}
