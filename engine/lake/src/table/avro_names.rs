//! Partition field names in manifests, which are Avro and take ASCII letters, digits and underscores alone; and headers that
//! the parser refuses although the entries behind them can be read.
//!
//! ```text
//!   table's spec  "my col" ──written──▶ field "my_x20col", id 1000, iceberg-field-name "my col"
//!   bytes of a manifest ──readable()──▶ bytes with names that the parser takes, fields known by id
//!                       ──mended()────▶ the same, over columns that are gone or of types that the parser does not know
//! ```
//!
//! Invariants
//! * Only the header of an Avro file is touched: the blocks behind it do not hold names.
//! * Readers know partition fields by id; the names are the specification's and Java's, `_x` and hexadecimal.
//! * Files whose names Avro does not take, as some writers leave them, are read all the same.
//!
//! Not here: what a manifest holds (`manifest`).

use std::collections::HashSet;

use bytes::Bytes;
use iceberg::io::FileIO;
use iceberg::spec::{Manifest, ManifestFile, PartitionSpec, SchemaRef};
use serde_json::{Value, json};

use crate::catalog::unread;
use crate::error::{LakeError, Result};

const MAGIC: &[u8] = b"Obj\x01";
const AVRO_SCHEMA: &str = "avro.schema";
const PARTITION_SPEC: &str = "partition-spec";
const TABLE_SCHEMA: &str = "schema";
const FIELD_NAME: &str = "iceberg-field-name";
/// Where the parser finds a manifest that is in memory.
const IN_MEMORY: &str = "memory:/manifest.avro";

/// Whether Avro takes a name.
pub(crate) fn is_plain(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether Avro takes the names of all fields of a spec.
pub(crate) fn all_plain(spec: &PartitionSpec) -> bool {
    spec.fields().iter().all(|field| is_plain(&field.name))
}

/// A name that Avro takes, as Java's writers form it.
fn sanitized(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    // Java counts in units of UTF-16.
    for (place, unit) in name.encode_utf16().enumerate() {
        match u8::try_from(unit) {
            Ok(b) if b.is_ascii_alphabetic() || b == b'_' || place > 0 && b.is_ascii_digit() => out.push(b.into()),
            Ok(b) if b.is_ascii_digit() => {
                out.push('_');
                out.push(b.into());
            }
            _ => out.push_str(&format!("_x{unit:X}")),
        }
    }
    out
}

/// A spec like `spec`, with names that Avro takes and that are no columns'; `written` puts the real ones back.
pub(crate) fn neutral(spec: &PartitionSpec, schema: &SchemaRef) -> Result<PartitionSpec> {
    let columns: HashSet<&str> = schema.as_struct().fields().iter().map(|f| f.name.as_str()).collect();
    let fields = spec.fields().iter().map(|field| {
        let mut field = field.clone();
        field.name = neutral_name(field.field_id, &|name: &str| columns.contains(name));
        field.into_unbound()
    });
    let builder = PartitionSpec::builder(SchemaRef::clone(schema)).with_spec_id(spec.spec_id());
    Ok(builder.add_unbound_fields(fields)?.build()?)
}

fn neutral_name(field_id: i32, taken: &dyn Fn(&str) -> bool) -> String {
    let mut name = format!("p{field_id}");
    while taken(&name) {
        name.push('_');
    }
    name
}

/// The manifest that was written for `neutral(spec)`, with the names of `spec`.
pub(crate) fn written(bytes: &[u8], spec: &PartitionSpec) -> Result<Bytes> {
    let mut header = Header::parse(bytes)?;
    let mut schema = header.json(AVRO_SCHEMA)?;
    let mut taken = HashSet::new();
    for field in partition_fields(&mut schema)? {
        let id = field.get("field-id").and_then(Value::as_i64);
        let of = spec.fields().iter().find(|of| Some(i64::from(of.field_id)) == id);
        let of = of.ok_or_else(|| corrupt("a partition field that the spec does not have"))?;
        let mut name = sanitized(&of.name);
        while !taken.insert(name.clone()) {
            name.push('_');
        }
        if let Value::Object(field) = field {
            if name != of.name {
                field.insert(FIELD_NAME.into(), of.name.clone().into());
            }
            field.insert("name".into(), name.into());
        }
    }
    header.set(AVRO_SCHEMA, printed(&schema)?);
    header.set(PARTITION_SPEC, printed(&spec.fields())?);
    Ok(header.print())
}

/// Whether Avro takes the names of the partition fields in a manifest.
pub(crate) fn is_sound(bytes: &[u8]) -> Result<bool> {
    let mut schema = Header::parse(bytes)?.json(AVRO_SCHEMA)?;
    let fields = partition_fields(&mut schema)?;
    Ok(fields.iter().all(|field| field.get("name").and_then(Value::as_str).is_some_and(is_plain)))
}

/// The manifest with names by which the parser finds each partition field of its spec.
fn readable(bytes: Bytes) -> Result<Bytes> {
    let whole = bytes.clone();
    let header = Header::parse(&whole)?;
    let spec = header.json(PARTITION_SPEC)?;
    let fields = spec.as_array().ok_or_else(|| corrupt("its spec is no list"))?;
    if fields.iter().all(|field| field.get("name").and_then(Value::as_str).is_some_and(is_plain)) {
        return Ok(bytes);
    }
    let table = header.json(TABLE_SCHEMA)?;
    renamed(header, spec, table)
}

/// The manifest with a schema and a spec that the parser takes: without columns of types that it does not know, and with
/// a source for each partition field whose column is gone, a UUID or of nanoseconds. Fields that are void have a source of their own: one that was
/// dropped twice would be refused, and so would one that still has its column's name.
fn mended(bytes: &[u8]) -> Result<Bytes> {
    let mut header = Header::parse(bytes)?;
    let (mut spec, mut table, mut avro) =
        (header.json(PARTITION_SPEC)?, header.json(TABLE_SCHEMA)?, header.json(AVRO_SCHEMA)?);
    unread::take_out(&mut table, &mut Vec::new());
    let mut known = HashSet::new();
    unread::field_ids(&table, &mut known);
    let mut in_file = partition_fields(&mut avro)?;
    let fields = spec.as_array_mut().ok_or_else(|| corrupt("its spec is no list"))?;
    let columns = table.get_mut("fields").and_then(Value::as_array_mut);
    let columns = columns.ok_or_else(|| corrupt("its table has no columns"))?;
    let mut next = known.iter().max().copied().unwrap_or_default().max(0) + 1;
    for (place, field) in fields.iter_mut().enumerate() {
        let id = partition_id(field, place);
        let Value::Object(field) = field else { continue };
        field.insert("field-id".into(), id.into());
        let is_void = field.get("transform").and_then(Value::as_str) == Some("void");
        let source = field.get("source-id").and_then(Value::as_i64);
        let mut of = in_file.iter_mut().find(|of| of.get("field-id").and_then(Value::as_i64) == Some(id));
        let is_plain = of.as_mut().and_then(|of| of.get_mut("type")).is_some_and(plain);
        if !is_void && !is_plain && source.is_some_and(|id| known.contains(&id)) {
            continue;
        }
        let of = of.and_then(|of| of.get("type")).map_or("int".to_owned(), iceberg_type);
        columns.push(json!({"id": next, "name": format!("\u{1}{next}"), "required": false, "type": of}));
        field.insert("source-id".into(), next.into());
        // Its values are those in the file, whatever they were made of.
        field.insert("transform".into(), if is_void { "void" } else { "identity" }.into());
        next += 1;
    }
    header.set(AVRO_SCHEMA, printed(&avro)?);
    renamed(header, spec, table)
}

/// Makes a UUID the 16 bytes that it is in the file, and a time of nanoseconds the number: the parser takes neither. Gives
/// whether it was one.
fn plain(avro: &mut Value) -> bool {
    match avro {
        Value::Array(union) => union.iter_mut().any(plain),
        Value::Object(of) => {
            let text = |name: &str| of.get(name).and_then(Value::as_str).unwrap_or_default();
            let known = [("fixed", "uuid"), ("long", "timestamp-nanos"), ("long", "local-timestamp-nanos")];
            known.contains(&(text("type"), text("logicalType"))) && of.remove("logicalType").is_some()
        }
        _ => false,
    }
}

/// The id of a partition field. Writers of the first format version leave the ids out: they count from 1000.
fn partition_id(field: &Value, place: usize) -> i64 {
    let id = field.get("field-id").and_then(Value::as_i64);
    id.or_else(|| i64::try_from(place).ok().map(|place| 1000 + place)).unwrap_or_default()
}

/// The Iceberg type of values in an Avro file.
fn iceberg_type(avro: &Value) -> String {
    let text = |name: &str| avro.get(name).and_then(Value::as_str);
    let number = |name: &str| avro.get(name).and_then(Value::as_i64).unwrap_or_default();
    let is_utc = avro.get("adjust-to-utc").and_then(Value::as_bool).unwrap_or_default();
    let of = match avro {
        Value::String(name) => name.as_str(),
        Value::Array(union) => {
            let of = union.iter().find(|of| of.as_str() != Some("null"));
            return of.map_or("int".to_owned(), iceberg_type);
        }
        _ => match (text("logicalType"), text("type").unwrap_or_default()) {
            (Some("decimal"), _) => return format!("decimal({}, {})", number("precision"), number("scale")),
            (Some("date"), _) => "date",
            (Some("time-micros"), _) => "time",
            (Some("timestamp-micros"), _) if is_utc => "timestamptz",
            (Some("timestamp-micros"), _) => "timestamp",
            (_, "fixed") => return format!("fixed[{}]", number("size")),
            (_, of) => of,
        },
    };
    match of {
        "null" => "int",
        "bytes" => "binary",
        of => of,
    }
    .to_owned()
}

/// The manifest with this spec and table schema, its partition fields under names that no column has.
fn renamed(mut header: Header<'_>, mut spec: Value, table: Value) -> Result<Bytes> {
    let fields = spec.as_array_mut().ok_or_else(|| corrupt("its spec is no list"))?;
    let columns = table.get("fields").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let taken = |name: &str| columns.iter().any(|column| column.get("name").and_then(Value::as_str) == Some(name));
    let mut schema = header.json(AVRO_SCHEMA)?;
    let mut in_file = partition_fields(&mut schema)?;
    for (place, field) in fields.iter_mut().enumerate() {
        let id = partition_id(field, place);
        let name = neutral_name(i32::try_from(id).unwrap_or_default(), &taken);
        let found = in_file.iter_mut().find(|f| f.get("field-id").and_then(Value::as_i64) == Some(id));
        if let Some(Value::Object(found)) = found {
            found.insert("name".into(), name.clone().into());
        }
        if let Value::Object(field) = field {
            field.insert("name".into(), name.into());
        }
    }
    header.set(AVRO_SCHEMA, printed(&schema)?);
    header.set(PARTITION_SPEC, printed(&spec)?);
    header.set(TABLE_SCHEMA, printed(&table)?);
    Ok(header.print())
}

/// A manifest, parsed, whatever its partition fields are called, and whatever became of the columns behind them.
///
/// # Errors
/// Bytes that are no manifest.
pub(crate) async fn parse(file: &ManifestFile, bytes: Bytes) -> Result<Manifest> {
    let error = match load(file, readable(bytes.clone())?).await {
        Ok(manifest) => return Ok(manifest),
        Err(error) => error,
    };
    // What is wrong with the file is told by the first try.
    let Ok(mended) = mended(&bytes) else { return Err(error) };
    load(file, mended).await.map_err(|_| error)
}

async fn load(file: &ManifestFile, bytes: Bytes) -> Result<Manifest> {
    let io = FileIO::new_with_memory();
    io.new_output(IN_MEMORY)?.write(bytes).await?;
    let in_memory = ManifestFile { manifest_path: IN_MEMORY.into(), ..file.clone() };
    Ok(in_memory.load_manifest(&io).await?)
}

/// The fields of the partition in the Avro schema of manifest entries.
fn partition_fields(schema: &mut Value) -> Result<Vec<&mut Value>> {
    fn field<'a>(record: &'a mut Value, name: &str) -> Option<&'a mut Value> {
        let fields = record.get_mut("fields")?.as_array_mut()?;
        let found = fields.iter_mut().find(|f| f.get("name").and_then(Value::as_str) == Some(name))?;
        found.get_mut("type")
    }
    let partition = field(schema, "data_file").and_then(|data_file| field(data_file, "partition"));
    let fields = partition.and_then(|partition| partition.get_mut("fields")).and_then(Value::as_array_mut);
    Ok(fields.ok_or_else(|| corrupt("its schema has no partition"))?.iter_mut().collect())
}

fn corrupt(what: &str) -> LakeError {
    LakeError::Corrupt(format!("manifest: {what}"))
}

fn printed(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| corrupt(&error.to_string()))
}

/// The header of an Avro file, and what follows it.
struct Header<'a> {
    metadata: Vec<(String, Vec<u8>)>,
    /// The marker between blocks, and the blocks.
    rest: &'a [u8],
}

impl<'a> Header<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut at = bytes.strip_prefix(MAGIC).ok_or_else(|| corrupt("it is no Avro file"))?;
        let mut metadata = Vec::new();
        loop {
            let mut count = long(&mut at)?;
            if count == 0 {
                return Ok(Header { metadata, rest: at });
            }
            if count < 0 {
                // Then the size of the block stands before its entries.
                long(&mut at)?;
                count = count.checked_neg().ok_or_else(|| corrupt("its header is damaged"))?;
            }
            for _ in 0..count {
                let name = String::from_utf8(piece(&mut at)?.to_vec());
                let name = name.map_err(|_| corrupt("its header is damaged"))?;
                metadata.push((name, piece(&mut at)?.to_vec()));
            }
        }
    }

    fn json(&self, name: &str) -> Result<Value> {
        let found = self.metadata.iter().find(|(known, _)| known == name);
        let (_, text) = found.ok_or_else(|| corrupt(&format!("its header has no \"{name}\"")))?;
        serde_json::from_slice(text).map_err(|error| corrupt(&format!("\"{name}\" in its header: {error}")))
    }

    fn set(&mut self, name: &str, value: Vec<u8>) {
        if let Some((_, old)) = self.metadata.iter_mut().find(|(known, _)| known == name) {
            *old = value;
        }
    }

    fn print(&self) -> Bytes {
        let mut out = MAGIC.to_vec();
        if !self.metadata.is_empty() {
            put_long(&mut out, self.metadata.len());
        }
        for (name, value) in &self.metadata {
            for piece in [name.as_bytes(), value] {
                put_long(&mut out, piece.len());
                out.extend_from_slice(piece);
            }
        }
        put_long(&mut out, 0);
        out.extend_from_slice(self.rest);
        out.into()
    }
}

/// A number as Avro writes it: zigzag, seven bits a byte, the low ones first.
fn long(at: &mut &[u8]) -> Result<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = at.split_first().ok_or_else(|| corrupt("its header is cut off"))?;
        *at = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    Err(corrupt("its header is damaged"))
}

fn piece<'a>(at: &mut &'a [u8]) -> Result<&'a [u8]> {
    let length = usize::try_from(long(at)?).map_err(|_| corrupt("its header is damaged"))?;
    let (piece, rest) = at.split_at_checked(length).ok_or_else(|| corrupt("its header is cut off"))?;
    *at = rest;
    Ok(piece)
}

fn put_long(out: &mut Vec<u8>, value: usize) {
    let mut value = (value as u64) << 1;
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The values of Java's AvroSchemaUtil.sanitize, but that letters outside ASCII are no names of Avro's.
    #[test]
    fn names_are_those_of_javas_writers() {
        for (name, expected) in [
            ("plain_1", "plain_1"),
            ("my col", "my_x20col"),
            ("9x", "_9x"),
            ("123", "_123"),
            ("☃", "_x2603"),
            ("a.b", "a_x2Eb"),
            ("ev-time", "ev_x2Dtime"),
            ("a#b", "a_x23b"),
            ("é", "_xE9"),
            ("日本語", "_x65E5_x672C_x8A9E"),
            ("😎", "_xD83D_xDE0E"),
        ] {
            assert_eq!(sanitized(name), expected);
            assert_eq!(is_plain(name), name == expected, "{name}");
        }
    }

    #[test]
    fn a_damaged_header_is_an_error() {
        for bytes in
            [&b""[..], b"Obj", b"Obj\x01", b"Obj\x01\x02", b"Obj\x01\x02\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"]
        {
            assert!(Header::parse(bytes).is_err(), "{bytes:?}");
        }
        // A count below zero, and the size of the block after it.
        let whole = Header::parse(b"Obj\x01\x01\x0c\x02a\x02b\x00rest").unwrap();
        assert_eq!((whole.metadata, whole.rest), (vec![("a".to_owned(), b"b".to_vec())], &b"rest"[..]));
    }

    proptest! {
        #[test]
        fn every_name_becomes_one_of_avros(name in "\\PC{1,12}") {
            prop_assert!(is_plain(&sanitized(&name)));
        }

        #[test]
        fn headers_come_back(pairs in prop::collection::vec(("[a-z]{0,200}", prop::collection::vec(any::<u8>(), 0..300)), 0..5)) {
            let header = Header { metadata: pairs, rest: b"marker and blocks" };
            let printed = header.print();
            let parsed = Header::parse(&printed).unwrap();
            prop_assert_eq!(parsed.metadata, header.metadata);
            prop_assert_eq!(parsed.rest, header.rest);
        }
    }
}
